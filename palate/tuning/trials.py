"""One trial: a candidate, fitted to the training side of a validation cut and measured on the other.

Trials run in this process, or wherever a runner takes them, such as on the executors of a Spark cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import PalateError
from palate.evaluation.metrics import accuracy
from palate.evaluation.ranking import rows_of
from palate.models.part_list import Part

K = 20
"""The rank cut-off of the NDCG that the search looks for."""


@dataclass(frozen=True)
class Candidate:
    """A model with its settings. share: of the users that it is fitted to, for a first look."""

    kind: str
    values: Mapping[str, Any]
    share: float = 1.0

    @property
    def part(self) -> Part:
        return Part(self.kind, self.values)


@dataclass(frozen=True)
class Outcome:
    """What a trial found. ndcg: at 20, on the validation data; NaN where the trial failed, and `failure` says why.

    fitting, ranking: seconds, the latter for each user.
    """

    candidate: Candidate
    ndcg: float
    fitting: float = 0.0
    ranking: float = 0.0
    failure: str = ""
    pruned: bool = False


@dataclass(frozen=True)
class Task:
    """What all trials of a search share. At most `limit` users, drawn by the seed, are ranked for."""

    train: Interactions
    held: Interactions
    items: Items | None = None
    users: Users | None = None
    limit: int = 3000
    seed: int = 0

    def thinned(self, share: float) -> Task:
        """The same with a share of the users, drawn by the seed."""
        chosen = np.random.default_rng(self.seed).random(self.train.n_users) < share
        return replace(
            self,
            train=self.train.take(chosen[self.train.user_codes]),
            held=self.held.take(chosen[self.held.user_codes]),
        )

    def run(self, candidate: Candidate) -> Outcome:
        """Fits and measures. A model that refuses the data or its settings is a failed trial, not the end."""
        task = self if candidate.share >= 1 else self.thinned(candidate.share)
        started = time.perf_counter()
        try:
            model = candidate.part.make(self.seed).fit(task.train, self.items, self.users)
            fitting = time.perf_counter() - started
            testers = self._testers(task)
            masked = rows_of(task.train, testers, model.items)
            relevant = rows_of(task.held, testers, model.items, positive=True)
            found = model.recommend(testers.ids, min(K, len(model.items)), exclude=masked)
        except (PalateError, MemoryError) as error:
            return Outcome(candidate, float("nan"), time.perf_counter() - started, failure=str(error)[:500])
        ranking = (time.perf_counter() - started - fitting) / max(1, len(testers))
        values = accuracy(found.codes, relevant, (K,))[f"ndcg@{K}"]
        return Outcome(candidate, float(np.nanmean(values)) if len(values) else 0.0, fitting, ranking)

    def _testers(self, task: Task) -> IdMap:
        known = np.bincount(task.train.user_codes, minlength=task.train.n_users) > 0
        users = np.unique(task.held.user_codes)
        users = users[known[users]]
        drawn = np.random.default_rng(self.seed + 1).permutation(users)[: self.limit]
        return IdMap(task.train.users.ids.take(np.sort(drawn)))


Runner: TypeAlias = Callable[[Task, Sequence[Candidate]], list[Outcome]]


@dataclass(frozen=True)
class Place:
    """Where trials run. width: how many at once."""

    runner: Runner = field(default=lambda task, candidates: [task.run(each) for each in candidates])
    width: int = 1


HERE = Place()
_place: ContextVar[Place] = ContextVar("trials_place", default=HERE)


def place() -> Place:
    """Where trials of this thread run."""
    return _place.get()


@contextmanager
def using(other: Place) -> Iterator[None]:
    """Trials that this thread starts inside the block run there."""
    token = _place.set(other)
    try:
        yield
    finally:
        _place.reset(token)
