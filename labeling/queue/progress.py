"""How far a project is, for everybody and for one person."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from sqlalchemy import ColumnElement, Connection, Engine, exists, func, select, union

from labeling.beside import Beside
from labeling.queue.own import Own
from labeling.store import budgets
from labeling.store.budgets import Budget
from labeling.store.definition import Project
from labeling.store.life import is_pending
from labeling.store.projects import get
from labeling.store.tables import answers, automatic, is_open, runs, slots, tasks
from palate.store import reading

AGE = 1.0
MANY = 500
"""Open answers from which on counting all of them for every turn would be most of the turn's work."""
LOTS = 5_000
"""Open answers from which on no turn waits until they are counted."""
_COSTS = 20.0
"""How many times as long as it took to count them, such counts are used again."""


@dataclass(frozen=True)
class Progress:
    """tasks = done + automatic + remaining, without gold ones; a task is done when it has as many answers as the
    project's overlap; automatic are those that a model has labeled and nobody was asked about.

    answers of needed were given; mine are this person's, skipped are the tasks they passed by. Where answers are
    reviewed, a task is done once all of its are accepted or corrected; to_review wait for that, or are doubted.
    budget: what the project may come to, and has; gold tasks count there.
    """

    tasks: int
    done: int
    remaining: int
    answers: int
    needed: int
    mine: int
    skipped: int
    to_review: int = 0
    automatic: int = 0
    budget: Budget | None = None


@dataclass(frozen=True)
class Counts:
    """What is open in a project: places for answers, tasks that are not done, answers that wait for a verdict; tasks
    that a run keeps from people, and how many of these a model has labeled.
    """

    slots: int
    tasks: int
    reviews: int
    withheld: int = 0
    automatic: int = 0

    @property
    def open(self) -> int:
        """What counting it all anew costs."""
        return self.slots + self.reviews + self.withheld


@dataclass(frozen=True)
class _Kept:
    """Counts, what they are of, and until when they are good."""

    project: Project
    until: float
    found: Counts


class Recent:
    """Counts for everybody, remembered for `AGE` seconds where there is so much open that counting takes long; where it
    takes very long they are counted anew beside the turns, and may be a little older. Of those who find them too old at
    once one counts, the others take what there is: a crowd that counts is what all would wait for.

    A project that is nearly done is always counted. Safe to share between threads.
    """

    def __init__(self, engine: Engine, clock: Callable[[], float] = time.monotonic) -> None:
        self._engine, self._clock = engine, clock
        self.own = Own(clock)
        """What is each person's."""
        self._kept: dict[int, _Kept] = {}
        self._beside = Beside()
        self._turn = threading.Lock()
        """Of whoever counts anew what is kept."""

    def knows(self, project_id: int) -> bool:
        """Whether it was ever counted."""
        return project_id in self._kept

    def counts(self, connection: Connection, project: Project) -> tuple[Project, Counts]:
        """The project as it was counted last, and its counts."""
        kept = self._kept.get(project.id)
        if kept is not None and kept.found.open > MANY:
            same = kept.project == project
            if same and self._clock() < kept.until:
                return kept.project, kept.found
            if kept.found.open > LOTS:
                self._beside.start(project.id, partial(self._count_again, project.id))
                return kept.project, kept.found
            if same and not self._turn.acquire(blocking=False):
                return kept.project, kept.found
            if same:
                try:
                    return project, self._count(connection, project)
                finally:
                    self._turn.release()
        return project, self._count(connection, project)

    def _count(self, connection: Connection, project: Project) -> Counts:
        began = self._clock()
        found = counts(connection, project)
        now = self._clock()
        self._kept[project.id] = _Kept(project, now + max(AGE, _COSTS * (now - began)), found)
        return found

    def _count_again(self, project_id: int) -> None:
        with reading(self._engine) as db:
            self._count(db, get(db, project_id))


def counts(connection: Connection, project: Project) -> Counts:
    """Counted from the slots still open, which are few when a project is nearly done."""
    mine = (slots.c.project_id == project.id) & is_open & ~slots.c.withheld
    open_slots, open_tasks = _open(connection, project, mine)
    if project.golds:  # the indexes that count know nothing of gold: what is gold's is taken off
        known = select(tasks.c.id).where(tasks.c.project_id == project.id, tasks.c.gold.is_not(None))
        golden = _open(connection, project, mine & slots.c.task_id.in_(known))
        open_slots, open_tasks = open_slots - golden[0], open_tasks - golden[1]
    withheld, automatic = _with_models(connection, project)
    if project.review == "none":
        doubted = (answers.c.project_id == project.id) & answers.c.suspect.is_not(None) & answers.c.verdict.is_(None)
        return Counts(open_slots, open_tasks, _number(connection, doubted), withheld, automatic)
    golden_slot = exists().where(slots.c.id == answers.c.slot_id, slots.c.gold)
    pending = (answers.c.project_id == project.id) & is_pending() & ~golden_slot
    reviews = _number(connection, pending)
    still = select(slots.c.task_id).where(mine, ~slots.c.gold)
    unfinished = union(still, select(answers.c.task_id).where(pending)).subquery()
    open_tasks = connection.execute(select(func.count()).select_from(unfinished)).scalar_one()
    return Counts(open_slots, open_tasks, reviews, withheld, automatic)


def _open(connection: Connection, project: Project, which: ColumnElement[bool]) -> tuple[int, int]:
    """How many slots, and of how many tasks."""
    if project.overlap == 1 and not project.golds:
        number = _number(connection, which)
        return number, number
    both = select(func.count(), func.count(slots.c.position.distinct())).where(which)
    return tuple(connection.execute(both).one())  # type: ignore[return-value]


def _number(connection: Connection, which: ColumnElement[bool]) -> int:
    return connection.execute(select(func.count()).where(which)).scalar_one()


def _with_models(connection: Connection, project: Project) -> tuple[int, int]:
    """Tasks that are withheld, and how many of them the project's latest run has labeled."""
    if project.run is None:
        return 0, 0
    held = select(func.count()).where(slots.c.project_id == project.id, slots.c.withheld)
    withheld = connection.execute(held).scalar_one() // project.overlap
    now = select(runs.c.round).where(runs.c.id == project.run).scalar_subquery()
    labeled = (automatic.c.run_id == project.run) & (automatic.c.round == now) & ~automatic.c.withdrawn
    one = slots.join(automatic, (automatic.c.task_id == slots.c.task_id) & labeled)
    kept = select(func.count()).select_from(one).where(slots.c.project_id == project.id, slots.c.withheld)
    return withheld, connection.execute(kept).scalar_one() // project.overlap


def progress(connection: Connection, project: Project, person: str, recent: Recent | None = None) -> Progress:
    """How far the project is; with `recent`, what is everybody's may be as old as that remembers."""
    own = Own() if recent is None else recent.own
    return _progress(connection, project, recent, *own.of(connection, project.id, person))


def progress_of_each(
    connection: Connection, project: Project, people: Sequence[str], recent: Recent
) -> dict[str, Progress]:
    """As `progress` for each of several people. On PostgreSQL only."""
    if not people:
        return {}
    everybody = _progress(connection, project, recent, 0, 0)
    return {
        person: replace(everybody, mine=mine, skipped=skipped)
        for person, (mine, skipped) in recent.own.of_each(connection, project.id, people).items()
    }


def _progress(connection: Connection, project: Project, recent: Recent | None, mine: int, skipped: int) -> Progress:
    budget = budgets.of(connection, project)
    if recent is None:
        still = counts(connection, project)
    else:
        project, still = recent.counts(connection, project)
    plain = project.tasks - project.golds
    needed = plain * project.overlap
    return Progress(
        tasks=plain,
        done=plain - still.tasks - still.withheld,
        remaining=still.tasks + still.withheld - still.automatic,
        answers=needed - still.slots - still.withheld * project.overlap,
        needed=needed,
        mine=mine,
        skipped=skipped,
        to_review=still.reviews,
        automatic=still.automatic,
        budget=budget,
    )
