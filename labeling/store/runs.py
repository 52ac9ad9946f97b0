"""Runs of automatic labeling as they are kept: begun, paused, stopped; their rounds and labels; tasks kept from people.

While a run is going, people are asked for the tasks that it drew, and for no others: only then is it known with what
chance each task came to be answered, and so what the answers say of the rest. Slots of all other tasks are withheld.
A task that people had begun before stays with them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, exists, func, insert, select, update

from labeling.store.definition import Project
from labeling.store.tables import ANSWERED, FREE, answers, automatic, projects, rounds, runs, skips, slots, tasks
from palate.errors import ConflictError, UnknownIdError
from palate.store.types import clock

RUNNING, PAUSED, STOPPING, STOPPED, DONE, FAILED = "running", "paused", "stopping", "stopped", "done", "failed"
OVER = (STOPPED, DONE, FAILED)
BATCH = 500


@dataclass(frozen=True)
class Run:
    """One run, without its arrays. labels: how many of the model's count now."""

    id: int
    project_id: int
    state: str
    settings: dict[str, Any]
    config: str
    step: int
    tries: int
    job: int | None
    phase: str
    round: int
    positions: int
    audits: list[dict[str, Any]]
    error: str | None
    person: str
    started: datetime
    ended: datetime | None


_COLUMNS = [getattr(runs.c, name) for name in Run.__dataclass_fields__]


@dataclass(frozen=True)
class Label:
    """A label that a model gave to a task, with what it rests on."""

    task_id: int
    external_id: str
    label: str
    confidence: float
    model: str
    round: int
    threshold: float | None
    withdrawn: bool


def begin(connection: Connection, project: Project, settings: dict[str, Any], person: str) -> Run:
    """A new run, whose labels count from now on instead of an earlier one's. Raises ConflictError while one goes on."""
    locked = select(projects.c.id).where(projects.c.id == project.id).with_for_update()
    connection.execute(locked)
    last = latest(connection, project)
    if last is not None:
        require_over(last)
    row = {"project_id": project.id, "state": RUNNING, "settings": settings, "config": project.config}
    row |= {"phase": "seed", "positions": project.tasks, "audits": [], "person": person, "started": clock(connection)}
    run = connection.execute(insert(runs).returning(runs.c.id), row).scalar_one()
    connection.execute(update(projects).where(projects.c.id == project.id).values(run=run))
    return get(connection, run)


def get(connection: Connection, run_id: int, *, hold: bool = False) -> Run:
    """The run. Raises UnknownIdError. hold: nobody else changes it until the transaction ends."""
    query = select(*_COLUMNS).where(runs.c.id == run_id)
    row = connection.execute(query.with_for_update() if hold else query).mappings().first()
    if row is None:
        raise UnknownIdError(f"there is no run {run_id}.")
    return Run(**row)


def latest(connection: Connection, project: Project) -> Run | None:
    """The project's latest run, None if it never had one."""
    query = select(*_COLUMNS).where(runs.c.project_id == project.id).order_by(runs.c.id.desc()).limit(1)
    row = connection.execute(query).mappings().first()
    return None if row is None else Run(**row)


def require_over(run: Run) -> None:
    """Raises ConflictError, which says what to do, while the run goes on or is stopping."""
    if run.state == STOPPING:
        raise ConflictError(
            f"run {run.id} is stopping: its tasks are being given back to people.",
            where="autolabel",
            hint="Try again once its state is stopped, as a rule within seconds; a worker (palate label work) does it.",
        )
    if run.state not in OVER:
        raise ConflictError(
            f"run {run.id} is {run.state}: its labels are provisional.",
            where="autolabel",
            hint="Stop it first, or let it go on.",
        )


def active(connection: Connection) -> list[Run]:
    """All runs for which there may be something to do."""
    query = select(*_COLUMNS).where(runs.c.state.in_([RUNNING, STOPPING])).order_by(runs.c.id)
    return [Run(**row) for row in connection.execute(query).mappings()]


def arrays(connection: Connection, run: Run) -> bytes | None:
    """The loop's memory, None before its first step."""
    found: bytes | None = connection.execute(select(runs.c.arrays).where(runs.c.id == run.id)).scalar_one()
    return found


def change(connection: Connection, run: Run, **values: Any) -> None:
    connection.execute(update(runs).where(runs.c.id == run.id).values(**values))


def is_due(connection: Connection, run: Run) -> bool:
    """Whether people have answered all that the run asked. What everybody may still be asked for and somebody has
    skipped is not waited for.
    """
    passed = exists().where(skips.c.task_id == slots.c.task_id)
    waiting = exists().where(
        slots.c.project_id == run.project_id,
        slots.c.state != ANSWERED,
        ~slots.c.withheld,
        ~slots.c.gold,
        slots.c.position < run.positions,
        ~((slots.c.state == FREE) & passed),
    )
    return run.step == 0 or not connection.execute(select(waiting)).scalar_one()


def items(connection: Connection, run: Run) -> Iterator[Any]:
    """The run's tasks, task_id and data, in order; gold ones are none of them."""
    query = select(tasks.c.id, tasks.c.data).where(
        tasks.c.project_id == run.project_id, tasks.c.gold.is_(None), tasks.c.position < run.positions
    )
    yield from connection.execute(query.order_by(tasks.c.position).execution_options(yield_per=1000))


def said(connection: Connection, run: Run) -> list[Any]:
    """All answers to the run's tasks as they stand: task_id, person, value, verdict."""
    query = (
        select(answers.c.task_id, answers.c.person, answers.c.value, answers.c.verdict)
        .join(tasks, tasks.c.id == answers.c.task_id)
        .where(answers.c.project_id == run.project_id, tasks.c.gold.is_(None), tasks.c.position < run.positions)
        .order_by(answers.c.id)
    )
    return list(connection.execute(query))


# Tasks that are kept from people


def withhold(connection: Connection, run: Run, first: int, last: int) -> None:
    """Keep tasks at positions from `first` up to, not including, `last` from people, if nobody has begun them."""
    other = slots.alias("other")
    begun = exists().where(other.c.task_id == slots.c.task_id, other.c.state != FREE)
    these = (slots.c.project_id == run.project_id) & (slots.c.position >= first) & (slots.c.position < last)
    connection.execute(update(slots).where(these, ~slots.c.gold, ~begun).values(withheld=True))


def ask(connection: Connection, ranks: Sequence[tuple[int, float]]) -> None:
    """Hand these tasks out, the lowest rank first."""
    for first in range(0, len(ranks), BATCH):
        for task, rank in ranks[first : first + BATCH]:
            connection.execute(update(tasks).where(tasks.c.id == task).values(rank=rank))
            mine = (slots.c.task_id == task) & (slots.c.state != ANSWERED)
            connection.execute(update(slots).where(mine).values(rank=rank, withheld=False))


def release(connection: Connection, run: Run, first: int, last: int) -> None:
    """Let people have the withheld tasks at these positions that the run has no label for; those that it has labeled
    and asked about, and that nobody has begun, are withheld again.
    """
    labeled = select(automatic.c.task_id).where(current(run), ~automatic.c.withdrawn)
    these = (slots.c.project_id == run.project_id) & (slots.c.position >= first) & (slots.c.position < last)
    held = these & slots.c.withheld & slots.c.task_id.not_in(labeled)
    connection.execute(update(slots).where(held).values(withheld=False))
    other = slots.alias("other")
    begun = exists().where(other.c.task_id == slots.c.task_id, other.c.state != FREE)
    connection.execute(update(slots).where(these, slots.c.task_id.in_(labeled), ~begun).values(withheld=True))


# Labels


def current(run: Run) -> ColumnElement[bool]:
    """Which rows of `automatic` count."""
    return (automatic.c.run_id == run.id) & (automatic.c.round == run.round)


def write(connection: Connection, run: Run, round_: int, new: Sequence[tuple[int, str, float]]) -> None:
    """Add labels of a round: task, label, confidence."""
    rows = [{"run_id": run.id, "round": round_, "task_id": t, "label": name, "confidence": p} for t, name, p in new]
    if rows:
        connection.execute(insert(automatic), rows)


def clear(connection: Connection, run: Run, round_: int, limit: int) -> int:
    """Delete up to so many labels of a round; how many there were to delete."""
    mine = (automatic.c.run_id == run.id) & (automatic.c.round == round_)
    some = select(automatic.c.task_id).where(mine).order_by(automatic.c.task_id).limit(limit).subquery()
    edge = connection.execute(select(func.max(some.c.task_id))).scalar_one()
    if edge is None:
        return 0
    return connection.execute(delete(automatic).where(mine, automatic.c.task_id <= edge)).rowcount


def forget(connection: Connection, run: Run, gone: Collection[int]) -> None:
    """Delete the labels of these tasks, which people have answered."""
    batch = list(gone)
    for first in range(0, len(batch), BATCH):
        some = automatic.c.task_id.in_(batch[first : first + BATCH])
        connection.execute(delete(automatic).where(current(run), some))


def add_round(connection: Connection, run: Run, row: dict[str, Any]) -> None:
    """Note what a round came to."""
    connection.execute(insert(rounds), {"run_id": run.id, "finished": clock(connection), **row})


def history(connection: Connection, run: Run) -> list[dict[str, Any]]:
    """What each round came to."""
    query = select(rounds).where(rounds.c.run_id == run.id).order_by(rounds.c.round)
    return [{key: row[key] for key in row if key != "run_id"} for row in connection.execute(query).mappings()]


def labels(connection: Connection, run: Run, after: int = 0, limit: int = 100) -> list[Label]:
    """The run's labels on tasks with ids above `after`, in the order of ids."""
    joined = automatic.join(tasks, tasks.c.id == automatic.c.task_id).outerjoin(
        rounds, (rounds.c.run_id == automatic.c.run_id) & (rounds.c.round == automatic.c.round)
    )
    own = (automatic.c.task_id, automatic.c.label, automatic.c.confidence, automatic.c.round, automatic.c.withdrawn)
    query = (
        select(*own, tasks.c.external_id, rounds.c.model, rounds.c.threshold)
        .select_from(joined)
        .where(current(run), automatic.c.task_id > after)
        .order_by(automatic.c.task_id)
        .limit(limit)
    )
    return [Label(**row) for row in connection.execute(query).mappings()]


def count(connection: Connection, run: Run) -> tuple[int, int]:
    """How many of the run's labels count, and how many are withdrawn."""
    query = select(automatic.c.withdrawn, func.count()).where(current(run)).group_by(automatic.c.withdrawn)
    found = {bool(row[0]): int(row[1]) for row in connection.execute(query)}
    return found.get(False, 0), found.get(True, 0)


def withdraw(connection: Connection, run: Run, only: Sequence[int] | None = None) -> int:
    """Take the model's labels back, all or those of some tasks; people are asked for them, the least sure first."""
    which = current(run) & ~automatic.c.withdrawn
    if only is not None:
        which &= automatic.c.task_id.in_(only)
    confidence = (
        select(automatic.c.confidence).where(current(run), automatic.c.task_id == slots.c.task_id).scalar_subquery()
    )
    concerned = slots.c.task_id.in_(select(automatic.c.task_id).where(which))
    connection.execute(
        update(slots)
        .where(slots.c.project_id == run.project_id, slots.c.withheld, concerned)
        .values(withheld=False, rank=confidence)
    )
    return connection.execute(update(automatic).where(which).values(withdrawn=True)).rowcount


def restore(connection: Connection, run: Run) -> int:
    """Let withdrawn labels count again, but for tasks that people have begun since; how many."""
    begun = exists().where(slots.c.task_id == automatic.c.task_id, slots.c.state != FREE)
    which = current(run) & automatic.c.withdrawn & ~begun
    concerned = slots.c.task_id.in_(select(automatic.c.task_id).where(which))
    back = update(slots).where(slots.c.project_id == run.project_id, concerned, ~slots.c.gold)
    connection.execute(back.values(withheld=True))
    return connection.execute(update(automatic).where(which).values(withdrawn=False)).rowcount


def suspect(connection: Connection, run: Run, doubted: Sequence[int]) -> None:
    """Put the answers to these tasks up for review, in this order; earlier ones that nobody judged are forgotten."""
    mine = answers.c.project_id == run.project_id
    connection.execute(update(answers).where(mine, answers.c.suspect.is_not(None)).values(suspect=None))
    for place, task in enumerate(doubted, 1):
        open_ = (answers.c.task_id == task) & answers.c.verdict.is_(None)
        connection.execute(update(answers).where(mine, open_).values(suspect=place))
