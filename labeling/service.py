"""What the labeling service does, one transaction per call: the one door for API, pages and command line."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from labeling import figures
from labeling.config import KINDS, generate
from labeling.exports import FORMATS, Format, format_of
from labeling.exports.final import Final, finals
from labeling.hooks.announce import announce
from labeling.overview import Overview, Overviews
from labeling.queue import drafts, leases, reviews, turns
from labeling.queue.crowd import Crowd
from labeling.queue.progress import Progress, Recent, progress
from labeling.queue.reviews import Review
from labeling.queue.several import Answer, Ask
from labeling.queue.step import Step, is_learning
from labeling.store import MIGRATIONS, life, members, projects, remarks
from labeling.store.arrivals import Arrival, take_in
from labeling.store.definition import Definition, NewTask, Project, config_of
from labeling.store.forecasts import Prediction, predict
from labeling.store.relabel import LabelMap, relabel
from labeling.store.remarks import Comment
from labeling.work.automation import Automation
from palate.errors import ConflictError, ParameterError
from palate.store import Commits, migrate, open_engine, reading, writing

__all__ = ["FORMATS", "Labeling", "Step"]

T = TypeVar("T")


class Labeling:
    """One labeling store. Safe to share between threads. `person` is whoever the work is counted for."""

    def __init__(self, engine: Engine, *, lease: timedelta = leases.LEASE) -> None:
        self._engine = engine
        self._lease = lease
        self._commits = Commits(engine)
        self._recent = Recent(engine)
        self._crowd = Crowd(engine, lease, self._recent) if engine.dialect.name == "postgresql" else None
        self._overviews = Overviews(engine, self._recent)
        self.automation = Automation(engine)

    @classmethod
    def open(cls, url: str, *, lease: timedelta = leases.LEASE) -> Labeling:
        """The store at a database address, its tables brought up to date."""
        engine = open_engine(url)
        migrate(engine, "labeling", MIGRATIONS)
        return cls(engine, lease=lease)

    @property
    def engine(self) -> Engine:
        return self._engine

    # Projects

    def create(self, definition: Definition, tasks: Sequence[NewTask] = ()) -> tuple[Project, bool, int]:
        """The project, whether it was made now, and how many tasks were added; all of it or nothing."""
        with writing(self._engine) as db:
            project, made = projects.create(db, definition)
            added = projects.add_tasks(db, project, tasks)
            return projects.get(db, project.id), made, added

    def add_tasks(self, project_id: int, tasks: Sequence[NewTask]) -> tuple[Project, int]:
        """The project and how many tasks were new; all of them are added or none."""
        with writing(self._engine) as db:
            added = projects.add_tasks(db, projects.get(db, project_id), tasks)
            return projects.get(db, project_id), added

    def take_in(self, project_id: int, arrivals: Sequence[Arrival]) -> tuple[int, int]:
        """How many tasks and how many answers were new; all of them are taken in or none."""
        with writing(self._engine) as db:
            return take_in(db, projects.get(db, project_id, hold=True), arrivals)

    def projects(self, person: str) -> list[tuple[Project, Progress]]:
        with reading(self._engine) as db:
            return [(project, progress(db, project, person, self._recent)) for project in projects.listed(db)]

    def listed(self) -> list[Project]:
        """All projects, the newest first, without counting how far they are."""
        with reading(self._engine) as db:
            return projects.listed(db)

    def project(self, project_id: int, person: str) -> tuple[Project, Progress]:
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
            return project, progress(db, project, person, self._recent)

    def change(self, project_id: int, changes: dict[str, Any]) -> Project:
        """The project with other instructions, another deadline or budget, paused or taken up again."""
        with writing(self._engine) as db:
            life.change(db, projects.get(db, project_id), changes)
            return projects.get(db, project_id)

    def relabel(
        self, project_id: int, *, config: str = "", labels: Sequence[str] = (), mapping: LabelMap | None = None
    ) -> tuple[Project, int]:
        """The project with another interface, or other labels for its kind, and how many answers were mapped."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            if bool(config) == bool(labels):
                raise ParameterError("give either the XML or the labels.", where="config")
            written = project.kind in KINDS and project.config == generate(project.kind, project.labels)
            if not config and not written:
                raise ParameterError(
                    "this project's interface is XML of your own, so its labels are changed there.", where="labels"
                )
            mapped = relabel(db, project, config or config_of(project.kind, labels), mapping or {})
            changed = projects.get(db, project_id)
            announce(db, changed, "interface.changed", labels=changed.labels, map=mapping or {}, answers=mapped)
            return changed, mapped

    def remove(self, project_id: int) -> Project:
        """Delete the project with all its answers; what it was."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            life.remove(db, project)
            return project

    # Tasks

    def predict(self, project_id: int, model: str, predictions: Sequence[Prediction]) -> int:
        """Store what a model says of tasks, all of it or nothing; how many."""
        with writing(self._engine) as db:
            return predict(db, projects.get(db, project_id, hold=True), model, predictions)

    def task(self, project_id: int, task_id: int) -> life.TaskState:
        with reading(self._engine) as db:
            return life.task_state(db, projects.get(db, project_id), task_id)

    def comment(self, project_id: int, task_id: int, person: str, text: str, *, flag: bool = False) -> Comment:
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            members.require_worker(db, project, person)
            leases.require_task(db, project, task_id)
            return remarks.comment(db, project, task_id, person, text, flag=flag)

    def comments(
        self, project_id: int, *, task_id: int | None = None, flag: bool | None = None, resolved: bool | None = None
    ) -> Sequence[Comment]:
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
            if task_id is not None:
                leases.require_task(db, project, task_id)
            return remarks.listed(db, project, task_id=task_id, flag=flag, resolved=resolved)

    def resolve(self, project_id: int, comment_id: int, *, resolved: bool) -> Comment:
        with writing(self._engine) as db:
            return remarks.resolve(db, projects.get(db, project_id), comment_id, resolved=resolved)

    # Turns

    def next_task(self, project_id: int, person: str, holding: Collection[int] = ()) -> Step:
        def work(db: Connection, project: Project, now: datetime) -> Step:
            return self._next(db, project, person, holding, now)

        step = self._ordinary(Ask(project_id, person, None, holding))
        return self._turn(project_id, person, work) if step is None else step

    def submit(
        self,
        project_id: int,
        person: str,
        task_id: int,
        value: Any,
        seconds: float | None = None,
        *,
        holding: Collection[int] | None = None,
    ) -> tuple[Step, bool]:
        """Where the project stands, and whether the answer is the person's first to this task.

        When this returns, the answer is on disk. holding: hand out the next task with it, as `next_task` does; none if
        none is handed out now.
        """

        def work(db: Connection, project: Project, now: datetime) -> tuple[Step, bool]:
            new = turns.submit(db, project, person, task_id, value, seconds=seconds, now=now)
            if holding is not None:
                try:
                    return self._next(db, project, person, holding, now), new
                except ConflictError:  # paused, over, or hands full: whoever asks for the next task is told
                    pass
            return self._step(db, project, person), new

        step = self._ordinary(
            Ask(project_id, person, Answer(task_id, value, None if seconds is None else float(seconds)), holding)
        )
        return self._turn(project_id, person, work, hold=True) if step is None else (step, True)

    def skip(self, project_id: int, person: str, task_id: int, reason: str | None = None) -> Step:
        def work(db: Connection, project: Project, now: datetime) -> Step:
            turns.skip(db, project, person, task_id, reason=reason, now=now)
            self._recent.own.forget(project_id, person)  # an answer may be gone with it
            return self._step(db, project, person)

        return self._turn(project_id, person, work)

    def keep_draft(self, project_id: int, person: str, task_id: int, value: Any) -> None:
        """Keep what the person has begun to answer; None forgets it."""

        def work(db: Connection, project: Project, now: datetime) -> None:
            drafts.keep(db, project, person, task_id, value, now=now)

        self._turn(project_id, person, work, hold=True)

    def undo(self, project_id: int, person: str, before: int | None = None) -> Step:
        def work(db: Connection, project: Project, now: datetime) -> Step:
            turn = turns.undo(db, project, person, before=before, lease=self._lease, now=now)
            return self._step(db, project, person, turn)

        return self._turn(project_id, person, work)

    def return_skipped(self, project_id: int, person: str) -> Step:
        def work(db: Connection, project: Project, now: datetime) -> Step:
            turns.return_skipped(db, project, person)
            return self._step(db, project, person)

        return self._turn(project_id, person, work)

    def _ordinary(self, ask: Ask) -> Step | None:
        """What comes of a turn that is done with those of others; None if it is to be done by itself."""
        if self._crowd is None:
            return None
        self._know(ask.project, ask.person)
        return self._crowd.turn(ask)

    def _know(self, project_id: int, person: str) -> None:
        """The first count of what is open may take long: not while others wait to write."""
        if not self._recent.knows(project_id):
            self.project(project_id, person)

    def _turn(
        self,
        project_id: int,
        person: str,
        work: Callable[[Connection, Project, datetime], T],
        *,
        hold: bool = False,
    ) -> T:
        """What comes of one turn. A person's turns come one after the other, also those sent twice at once."""

        def alone(db: Connection) -> T:
            project, now = projects.enter(db, project_id, person, hold=hold)
            members.require_worker(db, project, person)
            return work(db, project, now)

        self._know(project_id, person)
        return self._commits.write(alone)

    def _next(self, db: Connection, project: Project, person: str, holding: Collection[int], now: datetime) -> Step:
        turn = leases.next_task(db, project, person, holding=holding, lease=self._lease, now=now)
        return self._step(db, project, person, turn, more=turn is None and is_learning(db, project))

    def _step(
        self, db: Connection, project: Project, person: str, turn: leases.Turn | None = None, *, more: bool = False
    ) -> Step:
        return Step(project, turn, progress(db, project, person, self._recent), more)

    # Who does what

    def members(self, project_id: int) -> dict[str, str]:
        with reading(self._engine) as db:
            return members.listed(db, projects.get(db, project_id))

    def set_members(self, project_id: int, roles: Mapping[str, str]) -> dict[str, str]:
        """Make these the project's members, and nobody else."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            members.set_all(db, project, roles)
            return members.listed(db, project)

    def require_role(self, project_id: int, person: str, roles: Collection[str]) -> None:
        """Raises ForbiddenError unless the person has one of these roles in the project."""
        with reading(self._engine) as db:
            members.require_role(db, projects.get(db, project_id), person, roles)

    def role(self, project_id: int, person: str) -> str | None:
        """The person's role in the project, None if they are no member."""
        with reading(self._engine) as db:
            return members.role_of(db, projects.get(db, project_id), person)

    def next_review(self, project_id: int, reviewer: str) -> tuple[Project, Review | None, int]:
        """The project, the next answer to judge, if there is one for this reviewer, and how many wait."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            review = reviews.next_review(db, project, reviewer, lease=self._lease)
        with reading(self._engine) as db:  # to count may take a while, and nobody shall wait for that to write
            return project, review, progress(db, project, reviewer, self._recent).to_review

    def judge(
        self,
        project_id: int,
        reviewer: str,
        review_id: int,
        verdict: str | None,
        *,
        value: Any = None,
        note: str | None = None,
    ) -> str:
        """Store a reviewer's verdict; which one stands."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id, hold=True)
            return reviews.judge(db, project, reviewer, review_id, verdict, value=value, note=note)

    def agreement(self, project_id: int) -> list[figures.ControlAgreement]:
        """For each question; where there are many answers, as it was made last."""
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
            kept = self._overviews.kept(db, project) if project.overlap > 1 else None
            if kept is not None:
                return kept.agreement
            return figures.project_agreement(project, figures.given(db, project))

    def overview(self, project_id: int, person: str) -> Overview:
        """All there is to see of a project; where that takes long, it may be a while old."""
        with reading(self._engine) as db:
            return self._overviews.of(db, projects.get(db, project_id), person)

    def people(self, project_id: int) -> dict[str, figures.Person]:
        """Everybody's work; where there are many answers, as it was counted last."""
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
            kept = self._overviews.kept(db, project)
            return figures.people(db, project) if kept is None else kept.people

    # Answers

    def export(self, project_id: int, form: str, *, every_task: bool = False) -> Iterator[Any]:
        """The answers in pieces, text or (Parquet) bytes, from one consistent view. Raises before the first piece, not
        in the middle.
        """
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
        return self._pieces(project, format_of(form, project), every_task)

    def finals(self, project_id: int) -> tuple[Project, Iterator[Final]]:
        """The project, and one label for each of its tasks, from one consistent view."""
        with reading(self._engine) as db:
            project = projects.get(db, project_id)
        return project, self._finals(project)

    def _finals(self, project: Project) -> Iterator[Final]:
        with reading(self._engine) as db:
            yield from finals(project, projects.answered(db, project, unanswered=True))

    def _pieces(self, project: Project, form: Format, every_task: bool) -> Iterator[Any]:
        with reading(self._engine) as db:
            yield from form.write(project, projects.answered(db, project, unanswered=every_task))
