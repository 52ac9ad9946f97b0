"""Answers that people gave in Label Studio, here: stored, changed, withdrawn.

Every function is part of a transaction that the caller opened.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, delete, insert, select, update

from labeling.label_studio.ledger import Task, batched
from labeling.label_studio.remote import Result
from labeling.queue.drafts import forget
from labeling.queue.turns import withdraw
from labeling.store.definition import Project
from labeling.store.tables import ANSWERED, FREE, PERSON_LENGTH, answers, slots
from palate.store.types import clock


def our_answers(connection: Connection, task_ids: Sequence[int]) -> dict[int, dict[str, Result]]:
    """By task and person."""
    found: dict[int, dict[str, Result]] = {task: {} for task in task_ids}
    for batch in batched(list(task_ids)):
        query = select(answers.c.task_id, answers.c.person, answers.c.value).where(answers.c.task_id.in_(batch))
        for row in connection.execute(query):
            found[row.task_id][row.person] = row.value
    return found


def answer(
    connection: Connection, project: Project, task: Task, person: str, value: Result, seconds: float | None
) -> None:
    """Store what somebody answered there. If every place of the task is taken, there is one more: nothing is lost."""
    now = clock(connection)
    query = select(slots.c.id, slots.c.state, slots.c.person, slots.c.number).where(slots.c.task_id == task.id)
    places = connection.execute(query.order_by(slots.c.number).with_for_update()).all()
    mine = next((place for place in places if place.person == person), None)
    free = mine or next((place for place in places if place.state == FREE), None)
    if free is not None:
        slot = free.id
        taken = {"state": ANSWERED, "person": person, "leased": None, "expires": None}
        connection.execute(update(slots).where(slots.c.id == slot).values(taken))
    else:
        number = max((place.number for place in places), default=-1) + 1
        row = {"project_id": project.id, "task_id": task.id, "number": number, "position": task.position}
        made = insert(slots).values(**row, rank=task.rank, state=ANSWERED, person=person).returning(slots.c.id)
        slot = connection.execute(made).scalar_one()
    # What people answer is theirs, also if a run of automatic labeling had not asked them.
    held = (slots.c.task_id == task.id) & slots.c.withheld
    connection.execute(update(slots).where(held).values(withheld=False))
    forget(connection, person, task.id)
    row = {"project_id": project.id, "task_id": task.id, "slot_id": slot, "person": person, "value": value}
    connection.execute(insert(answers).values(**row, seconds=seconds, created=now, updated=now))


def change_answer(connection: Connection, task_id: int, person: str, value: Result) -> None:
    """As if the person had submitted another one: it waits for a review again."""
    anew = {"verdict": None, "reviewer": None, "review_expires": None, "note": None, "original": None, "suspect": None}
    mine = (answers.c.task_id == task_id) & (answers.c.person == person)
    now = clock(connection)
    connection.execute(update(answers).where(mine).values(value=value, updated=now, changed=now, **anew))


def withdraw_answer(connection: Connection, project: Project, task_id: int, person: str) -> None:
    """Take an answer away and free its place, if it was not one more than the overlap."""
    withdraw(connection, project, task_id, person)
    mine = (slots.c.task_id == task_id) & (slots.c.person == person)
    connection.execute(delete(slots).where(mine, slots.c.number >= project.overlap))
    freed = {"state": FREE, "person": None, "leased": None, "expires": None}
    connection.execute(update(slots).where(mine).values(freed))


def name_for(person: str, taken: Iterable[str]) -> str:
    """The person's name, or one like it that has not answered the task yet."""
    named, number = person[:PERSON_LENGTH], 1
    while named in set(taken):
        suffix = " (Label Studio)" if number == 1 else f" (Label Studio {number})"
        named, number = person[: PERSON_LENGTH - len(suffix)] + suffix, number + 1
    return named
