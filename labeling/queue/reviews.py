"""Reviews: a second pair of eyes on every answer, which accepts, corrects or sends it back.

In a blind review the reviewer does not see the answer, but answers as well: the same is accepted, another corrects.
An answer that was sent back still counts as its person's, and comes to them before anything else until they submit it
again; then it waits for a review as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, exists, or_, select, update

from labeling.answers import check, same
from labeling.queue.leases import LEASE
from labeling.store.definition import Project
from labeling.store.remarks import check_remark
from labeling.store.tables import answers, slots, tasks
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store.types import clock

ACCEPTED, CORRECTED, RETURNED = "accepted", "corrected", "returned"
ALLOWED: dict[str, tuple[str | None, ...]] = {
    "open": ("accept", "correct", "return"),
    "blind": (None, "return"),
    "none": ("accept", "correct"),
}
"""Which verdicts there are, by the project's kind of review. Where answers are not reviewed, those that a model doubts
are, and stay where they are."""
VERDICTS = {"accept": ACCEPTED, "correct": CORRECTED, "return": RETURNED}


@dataclass(frozen=True)
class Review:
    """An answer in a reviewer's hands; in a blind review without the answer and its person."""

    id: int
    task_id: int
    external_id: str
    data: dict[str, Any]
    person: str | None
    value: list[dict[str, Any]] | None
    returns: int
    expires: datetime


def next_review(
    connection: Connection, project: Project, reviewer: str, *, lease: timedelta = LEASE, now: datetime | None = None
) -> Review | None:
    """The answer of others that nobody has judged or is judging, leased to the reviewer; None if there is none.

    One that the reviewer holds already comes first, then those that a model doubts, then the oldest. In a project
    whose answers are not reviewed, only those that are doubted.
    """
    now = now or clock(connection)
    gold = exists().where(slots.c.id == answers.c.slot_id, slots.c.gold)
    waiting = (answers.c.project_id == project.id) & answers.c.verdict.is_(None) & (answers.c.person != reviewer)
    free = or_(answers.c.reviewer.is_(None), answers.c.review_expires <= now)
    held = (answers.c.reviewer == reviewer) & answers.c.review_expires.is_not(None)
    # One after the other, each looked up in an index: to put all that waits in one order would be to sort all of it.
    doubted = answers.c.suspect.is_not(None)
    places = [
        (held, (answers.c.suspect.asc().nulls_last(), answers.c.id)),
        (free & doubted, (answers.c.suspect, answers.c.id)),
        (free, (answers.c.id,)),
    ]
    if project.review == "none":  # nothing else waits, and to look for it would be to go through every answer
        waiting &= doubted
        places.pop()
    row = None
    for which, order in places:
        found = select(answers.c.id).where(waiting, which, ~gold).order_by(*order).limit(1)
        first = answers.c.id == found.with_for_update(skip_locked=True).scalar_subquery()
        taken = update(answers).where(first).values(reviewer=reviewer, review_expires=now + lease)
        row = connection.execute(taken.returning(answers)).mappings().first()
        if row is not None:
            break
    if row is None:
        return None
    task = connection.execute(select(tasks.c.external_id, tasks.c.data).where(tasks.c.id == row["task_id"])).one()
    blind = project.review == "blind"
    return Review(
        id=row["id"],
        task_id=row["task_id"],
        external_id=task.external_id,
        data=task.data,
        person=None if blind else row["person"],
        value=None if blind else row["value"],
        returns=row["returns"],
        expires=now + lease,
    )


def judge(
    connection: Connection,
    project: Project,
    reviewer: str,
    review_id: int,
    verdict: str | None,
    *,
    value: Any = None,
    note: str | None = None,
    now: datetime | None = None,
) -> str:
    """Store what the reviewer says of an answer; the verdict that stands, of `VERDICTS`.

    verdict: accept, correct (with the right `value`) or return (with a note, if any). In a blind review None, with the
    reviewer's own answer in `value`, or return. The same verdict again changes nothing. Raises ConflictError if the
    answer is not, or no longer, in the reviewer's hands.
    """
    if note is not None:
        check_remark(note, "note")
    mine = (answers.c.id == review_id) & (answers.c.project_id == project.id)
    row = None
    if 0 < review_id < 2**63:
        row = connection.execute(select(answers).where(mine).with_for_update()).mappings().first()
    if row is None:
        raise UnknownIdError(f"project {project.id} has no answer {review_id}.")
    said = _said(connection, project, row["task_id"], verdict, value)
    theirs = row["value"] if row["original"] is None else row["original"]
    if project.review == "none" and row["suspect"] is None and row["verdict"] is None:
        raise ConflictError(
            "the answers of this project are not reviewed, and no model doubts this one.",
            hint='Change it: {"review": "open"} or "blind".',
        )
    wanted, result = _verdict(project, theirs, verdict, said)
    if row["reviewer"] != reviewer or (row["verdict"] is not None and row["verdict"] != wanted):
        raise ConflictError(
            f"answer {review_id} is not in your hands: somebody else reviews it, it was changed meanwhile, or it has "
            "been judged. Nothing was stored.",
            hint="Ask for the next review.",
        )
    if row["verdict"] is None:
        now = now or clock(connection)
        changes: dict[str, Any] = {"verdict": wanted, "review_expires": None, "note": note, "changed": now}
        if wanted == CORRECTED:
            changes |= {"original": row["value"], "value": result, "updated": now}
        if wanted == RETURNED:
            changes["returns"] = row["returns"] + 1
        connection.execute(update(answers).where(mine).values(changes))
    return wanted


def _said(connection: Connection, project: Project, task_id: int, verdict: str | None, value: Any) -> Any:
    allowed = ALLOWED[project.review]
    if verdict not in allowed:
        known = ", ".join(each or "none with your own answer as value" for each in allowed)
        raise ParameterError(f"{str(verdict)[:40]!r} is no verdict here.", where="verdict", hint=f"Use {known}.")
    if verdict in ("accept", "return"):
        if value is not None:
            raise ParameterError(f"goes with correct, not with {verdict}.", where="value")
        return None
    data = connection.execute(select(tasks.c.data).where(tasks.c.id == task_id)).scalar_one()
    return check(project.interface, data, value)


def _verdict(project: Project, stored: list[dict[str, Any]], verdict: str | None, said: Any) -> tuple[str, Any]:
    if verdict in ("accept", "return"):
        return VERDICTS[verdict], stored
    return (ACCEPTED, stored) if same(project.interface, stored, said) else (CORRECTED, said)
