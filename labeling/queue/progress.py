"""How far a project is, for everybody and for one person."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, exists, func, select, union

from labeling.store.definition import Project
from labeling.store.life import is_pending
from labeling.store.tables import answers, automatic, is_open, runs, skips, slots

AGE = 1.0
MANY = 500
"""Open answers from which on counting all of them for every turn would be most of the turn's work."""
_OWN = select(
    *(
        select(func.count())
        .where(table.c.project_id == bindparam("project"), table.c.person == bindparam("who"))
        .scalar_subquery()
        .label(table.name)
        for table in (answers, skips)
    )
)
"""How much of a project somebody has answered, and skipped."""


@dataclass(frozen=True)
class Progress:
    """tasks = done + automatic + remaining, without gold ones; a task is done when it has as many answers as the
    project's overlap; automatic are those that a model has labeled and nobody was asked about.

    answers of needed were given; mine are this person's, skipped are the tasks they passed by. Where answers are
    reviewed, a task is done once all of its are accepted or corrected; to_review wait for that, or are doubted.
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


class Recent:
    """Counts for everybody, remembered for `AGE` seconds where there is so much open that counting takes long.

    A project that is nearly done is always counted, and so is one that got more tasks. Safe to share between threads.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._kept: dict[int, tuple[Project, float, Counts]] = {}

    def counts(self, connection: Connection, project: Project) -> Counts:
        """The project's counts, at most `AGE` seconds old."""
        kept = self._kept.get(project.id)
        now = self._clock()
        if kept is not None and kept[0] == project and now - kept[1] < AGE and kept[2].open > MANY:
            return kept[2]
        found = counts(connection, project)
        self._kept[project.id] = (project, now, found)
        return found


def counts(connection: Connection, project: Project) -> Counts:
    """Counted from the slots still open, which are few when a project is nearly done."""
    still = (slots.c.project_id == project.id) & is_open & ~slots.c.withheld & ~slots.c.gold
    open_slots, open_tasks = connection.execute(
        select(func.count(), func.count(slots.c.task_id.distinct())).where(still)
    ).one()
    withheld, automatic = _with_models(connection, project)
    if project.review == "none":
        doubted = (answers.c.project_id == project.id) & answers.c.suspect.is_not(None) & answers.c.verdict.is_(None)
        reviews = connection.execute(select(func.count()).where(doubted)).scalar_one()
        return Counts(open_slots, open_tasks, reviews, withheld, automatic)
    gold = exists().where(slots.c.id == answers.c.slot_id, slots.c.gold)
    pending = (answers.c.project_id == project.id) & is_pending() & ~gold
    reviews = connection.execute(select(func.count()).where(pending)).scalar_one()
    unfinished = union(select(slots.c.task_id).where(still), select(answers.c.task_id).where(pending)).subquery()
    open_tasks = connection.execute(select(func.count()).select_from(unfinished)).scalar_one()
    return Counts(open_slots, open_tasks, reviews, withheld, automatic)


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
    still = counts(connection, project) if recent is None else recent.counts(connection, project)
    plain = project.tasks - project.golds
    needed = plain * project.overlap
    mine, skipped = connection.execute(_OWN, {"project": project.id, "who": person}).one()
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
    )
