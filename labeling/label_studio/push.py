"""From here to Label Studio: what it lacks, and what has changed here since both were alike.

Before anything is sent it is noted that it is being sent, and afterwards what it has become there. What was under way
when either side broke off is thus found again: tasks by the name that they carry, answers by the ids of their regions,
predictions by what they say.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from sqlalchemy import Column, Engine, Select, and_, select, update

from labeling.label_studio import ledger
from labeling.label_studio.ledger import Task, digest
from labeling.label_studio.pull import prediction_digest, region_mark
from labeling.label_studio.remote import Result
from labeling.label_studio.report import Report
from labeling.label_studio.server import Server
from labeling.label_studio.tables import linked_answers, linked_tasks
from labeling.store.definition import Project
from labeling.store.tables import answers, predictions
from palate.errors import RemoteError
from palate.store import reading, writing

BATCH = 100
PART = 1000
DUPLICATE = 409


class Push:
    """One project's. remote: its number there. mark: the link's. said: called between two steps."""

    def __init__(
        self,
        engine: Engine,
        server: Server,
        project: Project,
        remote: int,
        mark: str,
        report: Report,
        said: Callable[[str], None],
    ) -> None:
        self._engine = engine
        self._server = server
        self._project = project
        self._remote = remote
        self._mark = uuid.uuid5(uuid.NAMESPACE_URL, mark)
        self._report = report
        self._said = said

    # Tasks

    def tasks(self) -> None:
        """Those that are not there; gold tasks stay here."""
        after = -1
        while True:
            with reading(self._engine) as db:
                new = ledger.next_unlinked(db, self._project, after, BATCH)
            if not new:
                return
            after = new[-1].position
            self._each_or_all(new, self._send_tasks, lambda task: f"task {task.external_id!r}")
            self._said(f"{self._report.tasks_out} tasks sent")

    def _send_tasks(self, new: Sequence[Task]) -> None:
        sent = [(task.data, {"external_id": task.external_id}) for task in new]
        numbers = self._server.add_tasks(self._remote, sent)
        with writing(self._engine) as db:
            ledger.link_tasks(db, self._project, [(task.id, theirs) for task, theirs in zip(new, numbers, strict=True)])
        self._report.tasks_out += len(new)

    # Answers

    def answers(self, people: dict[str, int]) -> None:
        """New, changed and withdrawn ones. people: Label Studio's numbers by address of e-mail."""
        for pair, remote in self._withdrawn():
            self._withdraw(pair, remote)
        for row in self._differing():
            new = row.pair is None or row.remote_id is None
            send = partial(self._send, row, people) if new else partial(self._change, row)
            self._try(send, f"{row.person}'s answer to task {row.remote_task}")
            self._said(f"{self._report.answers_out} answers sent")

    def _differing(self) -> Iterator[Any]:
        """Answers that are not there, or not as they are here now: all are looked at, as also a change of labels
        changes them."""
        joined = answers.join(linked_tasks, linked_tasks.c.task_id == answers.c.task_id).outerjoin(
            linked_answers,
            and_(linked_answers.c.task_id == answers.c.task_id, linked_answers.c.person == answers.c.person),
        )
        query = (
            select(
                answers.c.id,
                answers.c.task_id,
                answers.c.person,
                answers.c.value,
                answers.c.seconds,
                linked_tasks.c.remote_id.label("remote_task"),
                linked_answers.c.id.label("pair"),
                linked_answers.c.remote_id,
                linked_answers.c.digest,
                linked_answers.c.remote_digest,
            )
            .select_from(joined)
            .where(answers.c.project_id == self._project.id)
        )
        for row in self._in_parts(query, answers.c.id):
            if row.remote_id is None or digest(row.value) != row.digest:
                yield row

    def _in_parts(self, query: Select[Any], by: Column[int]) -> Iterator[Any]:
        """A query's rows by a growing number, which is their first column; nothing is held while they are used."""
        after = 0
        while True:
            with reading(self._engine) as db:
                rows = db.execute(query.where(by > after).order_by(by).limit(PART)).all()
            yield from rows
            if len(rows) < PART:
                return
            after = rows[-1][0]

    def _send(self, row: Any, people: dict[str, int]) -> None:
        ours = digest(row.value)
        with writing(self._engine) as db:
            pair = row.pair or ledger.add_pair(db, self._project, row.task_id, row.person, None, ours, "")
            result = _with_ids(row.value, region_mark(pair))
            ledger.set_pair(db, pair, digest=ours, remote_digest=digest(result))
        try:
            unique = str(uuid.uuid5(self._mark, str(pair)))
            made = self._server.add_annotation(row.remote_task, result, row.seconds, people.get(row.person), unique)
        except RemoteError as error:
            # It came after all, later than its synchronisation had waited: the next one will find it.
            if error.code is not None and error.code != DUPLICATE:
                with writing(self._engine) as db:
                    ledger.drop_pair(db, pair)
            if error.code == DUPLICATE:
                return
            raise
        with writing(self._engine) as db:
            ledger.set_pair(db, pair, remote_id=made.id)
        self._report.answers_out += 1

    def _change(self, row: Any) -> None:
        theirs = self._server.annotation(row.remote_id)
        if theirs is None or digest(theirs.result) != row.remote_digest:
            return  # changed there since we looked: the next synchronisation will see both
        result = _with_ids(row.value, region_mark(row.pair))
        self._server.change_annotation(row.remote_id, result, row.seconds)
        with writing(self._engine) as db:
            ledger.set_pair(db, row.pair, digest=digest(row.value), remote_digest=digest(result))
        self._report.answers_out += 1

    def _withdrawn(self) -> list[tuple[ledger.Pair, int]]:
        """Pairs whose answer here is gone."""
        same = and_(linked_answers.c.task_id == answers.c.task_id, linked_answers.c.person == answers.c.person)
        columns = [linked_answers.c[name] for name in ledger.Pair.__dataclass_fields__]
        query = select(*columns).select_from(linked_answers.outerjoin(answers, same))
        mine = query.where(linked_answers.c.project_id == self._project.id, answers.c.id.is_(None))
        with reading(self._engine) as db:
            pairs = [ledger.Pair(*row) for row in db.execute(mine)]
        return [(pair, pair.remote_id) for pair in pairs if pair.remote_id is not None]

    def _withdraw(self, pair: ledger.Pair, remote: int) -> None:
        theirs = self._server.annotation(remote)
        if theirs is not None and digest(theirs.result) != pair.remote_digest:
            return
        if theirs is not None:
            self._server.remove_annotation(remote)
            self._report.withdrawn_out += 1
        with writing(self._engine) as db:
            ledger.drop_pair(db, pair.id)

    # Predictions

    def predictions(self) -> None:
        """New ones, and those that say something else than before, which take the old ones' place."""
        joined = predictions.join(linked_tasks, linked_tasks.c.task_id == predictions.c.task_id)
        columns = (predictions.c.task_id, predictions.c.value, predictions.c.score, predictions.c.model)
        more = (linked_tasks.c.remote_id, linked_tasks.c.prediction_digest, linked_tasks.c.prediction_sent)
        query = select(*columns, *more).select_from(joined).where(predictions.c.project_id == self._project.id)
        fresh: list[tuple[Any, str]] = []
        for row in self._in_parts(query, predictions.c.task_id):
            known = prediction_digest(row.value, row.score, row.model)
            if row.prediction_digest != known and not self._replaced(row, known):
                fresh.append((row, known))
            if len(fresh) == BATCH:
                self._send_all(fresh)
                fresh = []
        if fresh:
            self._send_all(fresh)

    def _send_all(self, fresh: Sequence[tuple[Any, str]]) -> None:
        self._each_or_all(fresh, self._send_predictions, lambda pair: f"the prediction of task {pair[0].remote_id}")
        self._said(f"{self._report.predictions_out} predictions sent")

    def _replaced(self, row: Any, known: str) -> bool:
        """Take away what was sent of the task before; True if what is to be sent has arrived already."""
        before = {row.prediction_digest, row.prediction_sent} - {None}
        arrived = False
        if before:
            for each in self._server.predictions(row.remote_id):
                said = prediction_digest(each.result, each.score, each.model)
                if said == known and not arrived:
                    arrived = True
                elif said in before:
                    self._server.remove_prediction(each.id)
        if arrived:
            self._note([row.task_id], [known])
        return arrived

    def _send_predictions(self, fresh: Sequence[tuple[Any, str]]) -> None:
        numbers, known = [row.task_id for row, _ in fresh], [each for _, each in fresh]
        self._note(numbers, known, arrived=False)
        self._server.add_predictions(
            self._remote, [(row.remote_id, row.value, row.score, row.model) for row, _ in fresh]
        )
        self._note(numbers, known)
        self._report.predictions_out += len(fresh)

    def _note(self, task_ids: Sequence[int], known: Sequence[str], *, arrived: bool = True) -> None:
        with writing(self._engine) as db:
            for task, each in zip(task_ids, known, strict=True):
                values = {"prediction_sent": each} | ({"prediction_digest": each} if arrived else {})
                db.execute(update(linked_tasks).where(linked_tasks.c.task_id == task).values(values))

    # What Label Studio refuses

    def _each_or_all(
        self, new: Sequence[Any], send: Callable[[Sequence[Any]], None], named: Callable[[Any], str]
    ) -> None:
        """Send all at once; if that is refused, one by one, so that one that does not fit keeps back no other."""
        if not new:
            return
        try:
            send(new)
        except RemoteError as error:
            if not _is_refusal(error):
                raise
            for each in new:
                self._try(partial(send, [each]), named(each))

    def _try(self, send: Callable[[], None], named: str) -> None:
        try:
            send()
        except RemoteError as error:
            if not _is_refusal(error):
                raise
            self._report.refuse(f"{named}: {error.message}")


def _is_refusal(error: RemoteError) -> bool:
    """Whether it is about what was sent, not about the token or the server."""
    return error.code in (400, 404, 413, 422)


def _with_ids(result: Result, mark: str) -> Result:
    """The regions with ids, which Label Studio's editor needs, and by which they are known again."""
    return [
        region if region.get("type") == "relation" or region.get("id") else {"id": f"{mark}{number}", **region}
        for number, region in enumerate(result)
    ]
