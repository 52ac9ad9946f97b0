"""From Label Studio to here: a page of tasks, with all that is new about them, in one transaction.

An annotation and an answer that were alike once are a pair. What changed since on one side only goes over to the other;
what changed on both is kept on both: theirs becomes one more answer here, ours one more annotation there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from labeling.answers import check
from labeling.label_studio import answers, ledger
from labeling.label_studio.ledger import Pair, Task, digest, meaning
from labeling.label_studio.remote import RemoteAnnotation, RemoteTask, Result
from labeling.label_studio.report import Report
from labeling.label_studio.tables import linked_tasks
from labeling.store import remarks
from labeling.store.definition import NewTask, Project
from labeling.store.forecasts import MAX_MODEL, Prediction, predict
from labeling.store.projects import add_tasks
from labeling.store.tables import predictions
from palate.errors import ParameterError

BY = "label-studio"
"""Whose comments tell of conflicts."""


def prediction_digest(result: Any, score: float | None, model: str) -> str:
    """By which a prediction is known again on either side."""
    return digest([meaning(result), None if score is None else round(score, 6), model])


def region_mark(pair: int) -> str:
    """What the ids of regions begin with that were sent for a pair."""
    return f"palate-{pair}-"


class Pull:
    """One page. people: addresses of e-mail by Label Studio's numbers; me: whose token is used."""

    def __init__(self, db: Connection, project: Project, people: Mapping[int, str], me: int, report: Report) -> None:
        self._db = db
        self._project = project
        self._people = people
        self._me = me
        self._report = report

    def page(self, theirs: Sequence[RemoteTask]) -> None:
        """Take in what is new about these tasks."""
        ours = self._tasks(theirs)
        numbers = [task.id for task in ours.values()]
        pairs, ours_said = ledger.pairs_of(self._db, numbers), answers.our_answers(self._db, numbers)
        refusals = ledger.refusals(self._db, self._project)
        for remote in theirs:
            task = ours.get(remote.id)
            if task is not None:
                _Answers(self, task, pairs[task.id], ours_said[task.id], refusals).take_in(remote.annotations)
        self._predictions(theirs, ours)

    def _tasks(self, theirs: Sequence[RemoteTask]) -> dict[int, Task]:
        """Ours by theirs; those that are new are added."""
        db, project = self._db, self._project
        ours = ledger.our_tasks(db, project, [remote.id for remote in theirs])
        left = [remote for remote in theirs if remote.id not in ours]
        waiting = ledger.unlinked(db, project, [name for remote in left if (name := _named(remote)) is not None])
        new: dict[str, RemoteTask] = {}
        found: dict[str, RemoteTask] = {}
        for remote in left:
            name = _named(remote)
            if name is not None and name in waiting and name not in found:
                found[name] = remote
                continue
            task = self._fitting(remote)
            if task is not None:
                new[task.external_id] = remote
        if new:
            fresh = [NewTask(name, remote.data) for name, remote in new.items()]
            self._report.tasks_in += add_tasks(db, project, fresh)
            waiting |= ledger.unlinked(db, project, new)
        together = {name: remote for name, remote in {**found, **new}.items() if name in waiting}
        ledger.link_tasks(db, project, [(waiting[name].id, remote.id) for name, remote in together.items()])
        return ours | {remote.id: waiting[name] for name, remote in together.items()}

    def _fitting(self, remote: RemoteTask) -> NewTask | None:
        """The task as one of ours, under a name that nothing else here has; None, and told, if it does not fit."""
        try:
            task = NewTask(f"label-studio:{remote.id}", remote.data)
            missing = self._project.interface.missing(task.data)
            if missing is not None:
                raise ParameterError(f"has no {missing!r}.")
        except ParameterError as error:
            self._report.refuse(f"task {remote.id} there: {error}")
            return None
        return task

    def _predictions(self, theirs: Sequence[RemoteTask], ours: Mapping[int, Task]) -> None:
        """Of tasks of which nothing is predicted here, the latest prediction there."""
        numbers = [task.id for task in ours.values()]
        present: set[int] = set()
        for batch in ledger.batched(numbers):
            query = select(predictions.c.task_id).where(predictions.c.task_id.in_(batch))
            present.update(self._db.execute(query).scalars())
        by_model: dict[str, list[Prediction]] = {}
        for remote in theirs:
            task = ours.get(remote.id)
            said = [each for each in remote.predictions if each.score is not None and 0 <= each.score <= 1]
            if task is None or task.id in present or not said:
                continue
            last = max(said, key=lambda each: each.id)
            proper = last.model.strip() and last.model.isprintable() and len(last.model) <= MAX_MODEL
            model = last.model if proper else "unnamed"
            try:
                check(self._project.interface, task.data, last.result, whole=False)
            except ParameterError as error:
                self._report.refuse(f"prediction {last.id} there: {error}")
                continue
            by_model.setdefault(model, []).append(Prediction(task.external_id, last.result, last.score or 0.0))
            known = prediction_digest(last.result, last.score, model)
            self._db.execute(
                update(linked_tasks)
                .where(linked_tasks.c.task_id == task.id)
                .values(prediction_digest=known, prediction_sent=known)
            )
        for model, new in by_model.items():
            self._report.predictions_in += predict(self._db, self._project, model, new)


class _Answers:
    """The answers to one task, ours by person."""

    def __init__(
        self, pull: Pull, task: Task, pairs: list[Pair], ours: dict[str, Result], refusals: Mapping[int, str]
    ) -> None:
        self._db, self._project, self._report = pull._db, pull._project, pull._report
        self._people, self._me = pull._people, pull._me
        self._task = task
        self._pairs = pairs
        self._ours = ours
        self._refusals = refusals

    def take_in(self, theirs: Sequence[RemoteAnnotation]) -> None:
        left = {annotation.id: annotation for annotation in theirs}
        self._arrived(left)
        for pair in list(self._pairs):
            if pair.remote_id is not None:
                self._pair(pair, left)
        for annotation in left.values():
            self._new(annotation)

    def _arrived(self, left: Mapping[int, RemoteAnnotation]) -> None:
        """Find what was sent by a synchronisation that never heard whether it had arrived."""
        known = {pair.remote_id for pair in self._pairs}
        for pair in self._pairs:
            if pair.remote_id is None:
                mark = region_mark(pair.id)
                for annotation in left.values():
                    ids = [str(region.get("id", "")) for region in annotation.result]
                    empty = not ids and annotation.user == self._me and pair.remote_digest == digest([])
                    if annotation.id not in known and (empty or any(each.startswith(mark) for each in ids)):
                        pair.remote_id = annotation.id
                        known.add(annotation.id)
                        ledger.set_pair(self._db, pair.id, remote_id=annotation.id)
                        break

    def _pair(self, pair: Pair, left: dict[int, RemoteAnnotation]) -> None:
        """What became of both sides of a pair; takes theirs out of `left` unless it is to be taken in anew."""
        assert pair.remote_id is not None  # noqa: S101 - the caller looked
        theirs, ours = left.get(pair.remote_id), self._ours.get(pair.person)
        we_changed = ours is None or digest(ours) != pair.digest
        they_changed = theirs is None or digest(theirs.result) != pair.remote_digest
        if theirs is None:
            self._drop(pair)
            if ours is not None and not we_changed:
                answers.withdraw_answer(self._db, self._project, self._task.id, pair.person)
                del self._ours[pair.person]
                self._report.withdrawn_in += 1
            elif ours is not None:
                self._conflict(f"{pair.person}'s answer was changed here and deleted there: it is sent there again")
            return
        if ours is None:
            if they_changed:
                self._drop(pair)
                self._conflict(f"{pair.person}'s answer was withdrawn here and changed there: it is taken in again")
            else:
                del left[pair.remote_id]
            return
        del left[pair.remote_id]
        if not they_changed:
            return
        if not we_changed:
            if self._fits(theirs):
                answers.change_answer(self._db, self._task.id, pair.person, theirs.result)
                self._ours[pair.person] = theirs.result
                known = digest(theirs.result)
                ledger.set_pair(self._db, pair.id, digest=known, remote_digest=known)
                self._report.answers_in += 1
        elif meaning(ours) == meaning(theirs.result):
            ledger.set_pair(self._db, pair.id, digest=digest(ours), remote_digest=digest(theirs.result))
        elif self._fits(theirs):
            self._drop(pair)
            kept = self._store(theirs, pair.person)
            self._conflict(
                f"{pair.person}'s answer was changed on both sides: both are kept, theirs here as {kept!r}, "
                "ours there as another annotation"
            )

    def _new(self, theirs: RemoteAnnotation) -> None:
        """An annotation that was made there."""
        if not self._fits(theirs):
            return
        person = self._person(theirs)
        ours = self._ours.get(person)
        paired = any(pair.person == person for pair in self._pairs)
        if ours is not None and not paired and meaning(ours) == meaning(theirs.result):
            self._add_pair(theirs, person, digest(ours))
            return
        kept = self._store(theirs, person)
        if ours is not None and not paired:
            self._conflict(f"{person} answered here and there, not the same: theirs is kept here as {kept!r}")

    def _store(self, theirs: RemoteAnnotation, person: str) -> str:
        """Keep theirs as an answer of its own; under whose name."""
        named = answers.name_for(person, [*self._ours, *(pair.person for pair in self._pairs)])
        seconds = theirs.seconds if theirs.seconds is not None and theirs.seconds >= 0 else None
        answers.answer(self._db, self._project, self._task, named, theirs.result, seconds)
        self._ours[named] = theirs.result
        self._add_pair(theirs, named, digest(theirs.result))
        self._report.answers_in += 1
        return named

    def _add_pair(self, theirs: RemoteAnnotation, person: str, ours: str) -> None:
        known = digest(theirs.result)
        number = ledger.add_pair(self._db, self._project, self._task.id, person, theirs.id, ours, known)
        self._pairs = [*self._pairs, Pair(number, self._task.id, person, theirs.id, ours, known)]

    def _drop(self, pair: Pair) -> None:
        ledger.drop_pair(self._db, pair.id)
        self._pairs = [each for each in self._pairs if each is not pair]

    def _person(self, theirs: RemoteAnnotation) -> str:
        return self._people.get(theirs.user or 0) or f"{BY}:{theirs.user}"

    def _fits(self, theirs: RemoteAnnotation) -> bool:
        """Whether it is an answer to what is asked here. If not that is noted, and it is not looked at again until it
        changes."""
        known = digest(theirs.result)
        if self._refusals.get(theirs.id) == known:
            return False
        try:
            check(self._project.interface, self._task.data, theirs.result, whole=False)
        except ParameterError as error:
            ledger.refuse(self._db, self._project, theirs.id, known, str(error))
            self._report.refuse(f"annotation {theirs.id} there: {error}")
            return False
        if theirs.id in self._refusals:
            ledger.allow(self._db, self._project, theirs.id)
        return True

    def _conflict(self, text: str) -> None:
        """Told in the report and to reviewers, who can clear it up."""
        self._report.conflict(f"task {self._task.external_id!r}: {text}")
        remarks.comment(self._db, self._project, self._task.id, BY, f"Label Studio: {text}.", flag=True)


def _named(remote: RemoteTask) -> str | None:
    """Our name for a task, if it carries one."""
    name = remote.meta.get("external_id")
    return name if isinstance(name, str) else None
