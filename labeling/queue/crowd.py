"""Turns of several people at once, on PostgreSQL: what came in while others were done is one transaction.

A statement costs as much there for being one, with its way there and back, as for what it does, and a turn has ten.
Here each is for all who wait. A turn that is out of the ordinary is left to be done by itself, by `turns` and `leases`.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import Connection, Engine

from labeling.queue.progress import MANY, Recent, progress_of_each
from labeling.queue.several import Ask, next_tasks, submit_all
from labeling.queue.step import Step, is_learning
from labeling.store.life import require_open
from labeling.store.members import workers
from labeling.store.projects import enter_all
from palate.errors import PalateError
from palate.store import writing
from palate.waiting import Asked, Together

log = logging.getLogger("palate.labeling")
MOST = 32
"""Turns in one transaction."""


class Crowd:
    """The turns that one process is asked for. Safe to share between threads."""

    def __init__(self, engine: Engine, lease: timedelta, recent: Recent) -> None:
        self._engine, self._lease, self._recent = engine, lease, recent
        self._together: Together[Ask, Step | None] = Together(self._do)

    def __len__(self) -> int:
        """How many wait."""
        return len(self._together)

    def turn(self, ask: Ask) -> Step | None:
        """What it leaves the person with, after what was written is on disk; None if nothing was: it is out of the
        ordinary, and to be done by itself. An answer is the person's first to its task.
        """
        return self._together.ask(ask)

    def _do(self, waiting: deque[Asked[Ask, Step | None]]) -> None:
        asked = [waiting.popleft() for _ in range(min(len(waiting), MOST))]
        for project_id in {one.what.project: None for one in asked}:
            these = [one for one in asked if one.what.project == project_id]
            done: dict[int, Step] = {}
            try:
                with writing(self._engine) as db:
                    steps = self._turns(db, project_id, [one.what for one in these])
                done = steps
            except PalateError:  # each is told by itself what is wrong
                pass
            except Exception:
                log.exception("turns of %d people failed together; each is done by itself", len(these))
            finally:
                for one in these:
                    one.finish(done.get(id(one.what)))

    def _turns(self, db: Connection, project_id: int, asks: Sequence[Ask]) -> dict[int, Step]:
        """What is done, by the turn's `id`."""
        first: dict[str, Ask] = {}
        for ask in asks:
            first.setdefault(ask.person, ask)  # what they sent beside it comes after it
        entered = enter_all(db, project_id, list(first))
        if entered is None:
            return {}
        project, now, people = entered
        if project.budgeted:
            return {}
        require_open(project, now)
        if project.closed:
            people &= workers(db, project, people)
        ours = [ask for person, ask in first.items() if person in people]
        done = submit_all(db, project, ours, now)
        ours = [ask for ask in ours if ask.answer is None or ask.person in done]
        many = self._recent.counts(db, project)[1].slots > MANY
        wanting = [ask for ask in ours if ask.holding is not None]
        turns = next_tasks(db, project, wanting, many=many, lease=self._lease, now=now)
        ours = [ask for ask in ours if ask.answer is not None or ask.person in turns]
        far = progress_of_each(db, project, [ask.person for ask in ours], self._recent)
        learning = None in turns.values() and is_learning(db, project)
        return {
            id(ask): Step(
                project,
                turn := turns.get(ask.person),
                far[ask.person],
                learning and turn is None and ask.person in turns,
            )
            for ask in ours
        }
