"""One step of a run of automatic labeling, as a job: what people have answered in, the next decision out.

Everything that a step decides becomes visible in one transaction at its end: the loop's memory, whose labels count, the
tasks that people are asked for. Labels are written before it, batch by batch, under a round that does not count yet. So
a worker that is killed leaves nothing that anybody sees, and whoever takes the job up again starts from the same state.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import Connection, Engine

from labeling.answers import kept
from labeling.autolabel.sets import Sets, of_names
from labeling.autolabel.state import State
from labeling.config import Control
from labeling.store import projects, runs
from labeling.store.definition import Project
from labeling.store.forecasts import forget_predictions, store_predictions
from labeling.store.runs import Run
from labeling.work import coding
from labeling.work.images import pixels_of
from labeling.work.settings import RunSettings, control_of, learner_for_tasks, text_of
from palate.errors import MissingDependencyError, ParameterError
from palate.store import JobContext, clock, reading, writing

if TYPE_CHECKING:
    from labeling.autolabel.learners import Learner

KIND = "labeling.autolabel"
_BATCH = 2_000
_POSITIONS = 5_000
log = logging.getLogger("palate.labeling")

Step = dict[str, Any]


class Rounds:
    """The handler of these jobs. It keeps the latest run's model in memory, since making it anew takes longest."""

    def __init__(self, engine: Engine, cache: Path | None) -> None:
        self._engine, self._cache = engine, cache
        self._kept: tuple[int, list[int], Learner] | None = None

    def __call__(self, context: JobContext) -> Step:
        run_id, step = context.payload["run"], context.payload["step"]
        with reading(self._engine) as db:
            run = runs.get(db, run_id)
            project = projects.get(db, run.project_id)
        if run.state == runs.STOPPING:
            return self._stop(context, run)
        if run.state != runs.RUNNING or run.step != step:
            return {"done": False}  # it was paused meanwhile, or done by a worker that died before it could say so
        if project.config != run.config:
            raise ParameterError("the labels or the interface changed since the run began.", hint="Start another run.")
        if run.step == 0:
            self._in_batches(context, run, runs.withhold, "Keeping tasks back")
        tasks, learner = self._learner(context, project, run)
        return self._decide(context, project, run, tasks, learner)

    def _in_batches(self, context: JobContext, run: Run, what: Any, message: str) -> None:
        for first in range(0, run.positions, _POSITIONS):
            context.progress(0.1 * first / run.positions, message)
            with writing(self._engine) as db:
                what(db, run, first, first + _POSITIONS)

    def _stop(self, context: JobContext, run: Run) -> Step:
        """The labels given so far stay; everything else goes back to people."""
        self._in_batches(context, run, runs.release, "Giving tasks back")
        with writing(self._engine) as db:
            runs.change(db, run, state=runs.STOPPED, ended=clock(db))
        self._kept = None
        return {"done": True, "state": runs.STOPPED}

    # The model

    def _learner(self, context: JobContext, project: Project, run: Run) -> tuple[list[int], Learner]:
        if self._kept is not None and self._kept[0] == run.id:
            return self._kept[1], self._kept[2]
        context.progress(0.1, "Reading the tasks")
        with reading(self._engine) as db:
            rows = [(row.id, row.data) for row in runs.items(db, run)]
        settings = RunSettings(**_settings(run))
        context.progress(0.15, "Looking at the tasks")
        data = [each for _, each in rows]
        earlier = self._earlier(project, settings)
        if earlier:
            from labeling.autolabel.warm import WarmStarted

            shown = project.interface.objects[0].field or "text"
            both = [*data, *({shown: text} for text, _ in earlier)]
            whole = learner_for_tasks(project.interface, both, settings.model, self._cache)
            control, said = control_of(project), [labels for _, labels in earlier]
            several = coding.new_sets(control) is not None
            taught = of_names(said, control.labels) if several else coding.codes(control, None, said)
            learner: Learner = WarmStarted(whole, taught)
        else:
            pixels = partial(pixels_of, self._engine, project.id, check=context.check)
            learner = learner_for_tasks(project.interface, data, settings.model, self._cache, pixels)
        self._kept = run.id, [task for task, _ in rows], learner
        return self._kept[1], learner

    def _earlier(self, project: Project, settings: RunSettings) -> list[tuple[str, coding.Said]]:
        """Texts of an earlier project and their labels, if this one has them, too; only where all answers are equal."""
        if settings.warm_from is None:
            return []
        known = control_of(project)
        with reading(self._engine) as db:
            other = projects.get(db, settings.warm_from)
            control = control_of(other)
            said: dict[int, set[coding.Said | None]] = {}
            texts: dict[int, str] = {}
            for row in projects.answered(db, other):
                said.setdefault(row.task_id, set()).add(coding.said(control, row.value or []))
                texts[row.task_id] = text_of(other.interface, row.data)
        agreed_on = [(texts[task], next(iter(labels))) for task, labels in said.items() if len(labels) == 1]
        most = len(known.labels) if known.kind == coding.SEVERAL else 1
        return [
            (text, labels)
            for text, labels in agreed_on
            if text and labels and len(labels) <= most and set(labels) <= set(known.labels)
        ]

    # The decision

    def _decide(self, context: JobContext, project: Project, run: Run, tasks: list[int], learner: Learner) -> Step:
        from labeling.autolabel import advance

        settings = RunSettings(**_settings(run))
        with reading(self._engine) as db:
            state = _loaded(runs.arrays(db, run), len(tasks), coding.new_sets(control_of(project)))
            heard = _fold(state, project, tasks, runs.said(db, run))
        if run.step > 0 and not heard and not _may_go_on(state):
            with writing(self._engine) as db:
                runs.change(db, run, state=runs.PAUSED, error="Everybody skipped all that was asked.")
            return {"done": False, "state": runs.PAUSED}
        state.pass_by()  # by now people have answered all that they will
        goal = settings.goal(run.settings["before"])
        context.progress(0.3, "Learning" if state.phase != "seed" else "Drawing the first tasks")
        rounds = state.round
        decided = advance(state, learner, goal, settings.seed)
        while not len(decided.ask) and decided.phase != "done":
            context.check()
            decided = advance(state, learner, goal, settings.seed)
        context.progress(0.7, "Writing labels")
        self._write_labels(context, project, run, state, tasks)
        doubted = _doubted(state, learner, settings.seed) if state.phase == "done" else []
        context.progress(0.95)
        old = run.round
        with writing(self._engine) as db:
            run = runs.get(db, run.id, hold=True)
            if run.step != context.payload["step"]:
                return {"done": False}
            self._show(db, project, run, state, tasks, rounds, settings, doubted)
        if old != state.round:
            self._clear(run, old)
        return {"done": True, "phase": state.phase, "round": state.round, "asked": len(state.asked)}

    def _write_labels(self, context: JobContext, project: Project, run: Run, state: State, tasks: list[int]) -> None:
        if state.round == run.round:
            return
        self._clear(run, state.round)  # of an attempt that did not end
        if state.automatic is None:
            return
        made, control = state.automatic, control_of(project)
        said = [kept(control, labels) for labels in coding.answers(control, state.sets, made.labels)]
        rows = [
            (tasks[item], label, round(sure, 6))
            for item, label, sure in zip(made.items.tolist(), said, made.confidence.tolist(), strict=True)
        ]
        for first in range(0, len(rows), _BATCH):
            context.progress(0.7 + 0.2 * first / len(rows), "Writing labels")
            with writing(self._engine) as db:
                runs.write(db, run, state.round, rows[first : first + _BATCH])

    def _clear(self, run: Run, round_: int) -> None:
        more = 1
        while more:
            with writing(self._engine) as db:
                more = runs.clear(db, run, round_, _BATCH)

    def _show(
        self,
        db: Connection,
        project: Project,
        run: Run,
        state: State,
        tasks: list[int],
        rounds: int,
        settings: RunSettings,
        doubted: Sequence[int],
    ) -> None:
        """All that the step decided, in the caller's one transaction."""
        for each in state.rounds[rounds:]:
            runs.add_round(db, run, asdict(each))
        if state.round == run.round:
            kept = set() if state.automatic is None else set(state.automatic.items.tolist())
            runs.forget(db, run, [tasks[item] for item in state.audited.tolist() if item not in kept])
        over = state.phase == "done"
        values: dict[str, Any] = {"step": run.step + 1, "phase": state.phase, "round": state.round, "error": None}
        values |= {"arrays": _dumped(state), "audits": [asdict(each) for each in state.audits]}
        if over and run.state == runs.RUNNING:
            values |= {"state": runs.DONE, "ended": clock(db)}
        runs.change(db, run, **values)
        asked = [(tasks[item], float(state.confidence[item])) for item in state.asked.tolist()]
        runs.ask(db, asked if state.phase == "rounds" else [(task, 0.0) for task, _ in asked])
        ids = [task for task, _ in asked]
        forget_predictions(db, ids)
        if settings.suggest and state.phase == "rounds" and state.round:
            said = _predicted(project, state, tasks)
            store_predictions(db, project, f"{state.rounds[-1].model}", said)
        if over:
            runs.suspect(db, run, [tasks[item] for item in doubted])


def _settings(run: Run) -> dict[str, Any]:
    return {name: value for name, value in run.settings.items() if name != "before"}


def _loaded(arrays: bytes | None, n: int, sets: Sets | None) -> State:
    if arrays is None:
        return State.new(n, sets)
    with np.load(io.BytesIO(arrays), allow_pickle=False) as kept:
        return State.from_arrays(kept)


def _dumped(state: State) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **state.to_arrays())  # type: ignore[arg-type]
    return buffer.getvalue()


def _fold(state: State, project: Project, tasks: Sequence[int], rows: Sequence[Any]) -> bool:
    """Let the state know what people say now; whether any task that it asked for, or its first seed, was answered.

    A task that people answered without being asked trains the model, and is no evidence: nobody knows what chance it
    had of being answered. Its survival, and so its weight, is nothing.
    """
    control = control_of(project)
    place = {task: item for item, task in enumerate(tasks)}
    given = [
        (place[row.task_id], row.person, said, row.verdict)
        for row in rows
        if row.task_id in place and (said := coding.said(control, row.value)) is not None
    ]
    labels = _together(control, given) if project.overlap > 1 else {item: (said, 1.0) for item, _, said, _ in given}
    if not labels:
        return False
    found = sorted(labels)
    items = np.array(found, dtype=np.intp)
    new = items[state.labels[items] < 0]
    asked = np.isin(new, state.asked)
    state.survival[new[~asked]] = 0.0
    values = coding.codes(control, state.sets, [labels[item][0] for item in found])
    sure = np.array([min(max(labels[item][1], 1e-3), 1.0) for item in found])
    state.answer(items, values, sure, answers=len(given) - state.answers)
    return bool(asked.any())


def _may_go_on(state: State) -> bool:
    """Whether something can be decided although all that was asked for was skipped."""
    if state.phase == "audit":
        return bool((state.labels[state.audited] >= 0).any())
    return state.automatic is not None


def _together(
    control: Control, given: Sequence[tuple[int, str, coding.Said, str | None]]
) -> Mapping[int, tuple[coding.Said, float]]:
    """By item what several people's answers come to, and how surely; a reviewer's correction is final."""
    if not given:
        return {}
    from labeling.consensus import labels_together, sets_together

    said = [(item, person, labels) for item, person, labels, _ in given]
    if control.kind == coding.SEVERAL:
        found = sets_together(said, control.labels, empty=not control.required)
    else:
        one = labels_together([(item, person, labels[0]) for item, person, labels in said])
        found = {item: ((label,), sure) for item, (label, sure) in one.items()}
    return found | {item: (labels, 1.0) for item, _, labels, verdict in given if verdict == "corrected"}


def _predicted(project: Project, state: State, tasks: Sequence[int]) -> list[tuple[int, list[dict[str, Any]], float]]:
    said = coding.answers(control_of(project), state.sets, state.predicted[state.asked])
    sure = state.confidence[state.asked].tolist()
    return [
        (tasks[item], [project.interface.choice(labels)], how)
        for item, labels, how in zip(state.asked.tolist(), said, sure, strict=True)
        if labels
    ]


def _doubted(state: State, learner: Learner, seed: int) -> list[int]:
    """Items whose human label the model doubts, the most doubtful first."""
    from labeling.autolabel import suspects

    if not len(state.answered):
        return []
    try:
        return [int(item) for item in suspects(state, learner, seed)]
    except MissingDependencyError as error:
        log.warning("No answers are doubted: %s", error)
        return []
