"""One trial: a candidate, fitted to the training side of each validation cut and measured on the other.

Trials run in this process, or wherever a runner takes them, such as on the executors of a Spark cluster.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import PalateError
from palate.evaluation.metrics import accuracy
from palate.evaluation.ranking import rows_of
from palate.models.part_list import Part
from palate.models.validation import Validation

K = 20
"""The rank cut-off of the NDCG that the search looks for."""
_SCORES, _FEWEST = 125_000_000, 1000
"""A trial ranks for as many users as make so many scores, which takes some seconds; and for so many at least."""


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

    fitting, ranking: seconds of one fit, and of ranking for each user.
    """

    candidate: Candidate
    ndcg: float
    fitting: float = 0.0
    ranking: float = 0.0
    failure: str = ""
    pruned: bool = False

    @property
    def whole(self) -> bool:
        """Whether it succeeded, on all users."""
        return self.ndcg == self.ndcg and self.candidate.share == 1


@dataclass(frozen=True)
class Task:
    """What all trials of a search share.

    cuts: what is learned from and what is held out, in one or more ways; a trial is their mean. Of each cut at most
    `limit` users, drawn by the seed, are ranked for.
    """

    cuts: Sequence[Validation]
    items: Items | None = None
    users: Users | None = None
    seed: int = 0

    @property
    def limit(self) -> int:
        """Users that are ranked for: as many as make so many scores, and a thousand at least."""
        return max(_FEWEST, _SCORES // self.cuts[0].train.n_items)

    @cached_property
    def testers(self) -> int:
        """Users that a trial ranks for, over all cuts."""
        return sum(min(self.limit, len(np.unique(cut.held.user_codes))) for cut in self.cuts)

    def run(self, candidate: Candidate) -> Outcome:
        """Fits and measures. A model that refuses the data or its settings is a failed trial, not the end.

        The seconds are those of one fit.
        """
        started = time.perf_counter()
        try:
            found = [self._run(candidate, cut) for cut in self.cuts]
        except (PalateError, MemoryError) as error:
            return Outcome(candidate, float("nan"), time.perf_counter() - started, failure=str(error)[:500])
        ndcg, fitting, ranking = np.mean(found, axis=0).tolist()
        return Outcome(candidate, ndcg, fitting, ranking)

    def _run(self, candidate: Candidate, cut: Validation) -> tuple[float, float, float]:
        """NDCG, seconds of the fit, seconds of the ranking for each user."""
        train, held = cut.train, cut.held
        if candidate.share < 1:
            chosen = np.random.default_rng(self.seed).random(train.n_users) < candidate.share
            train, held = (each.take(chosen[each.user_codes]) for each in (train, held))
        started = time.perf_counter()
        model = candidate.part.make(self.seed).fit(train, self.items, self.users)
        fitting = time.perf_counter() - started
        testers = self._testers(train, held)
        masked = rows_of(train, testers, model.items)
        relevant = rows_of(held, testers, model.items, positive=True)
        found = model.recommend(testers.ids, min(K, len(model.items)), exclude=masked)
        ranking = (time.perf_counter() - started - fitting) / max(1, len(testers))
        values = accuracy(found.codes, relevant, (K,))[f"ndcg@{K}"]
        return float(np.nanmean(values)) if len(values) else 0.0, fitting, ranking

    def _testers(self, train: Interactions, held: Interactions) -> IdMap:
        known = np.bincount(train.user_codes, minlength=train.n_users) > 0
        users = np.unique(held.user_codes)
        users = users[known[users]]
        drawn = np.random.default_rng(self.seed + 1).permutation(users)[: self.limit]
        return IdMap(train.users.ids.take(np.sort(drawn)))


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
