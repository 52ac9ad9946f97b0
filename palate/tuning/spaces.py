"""What may be tuned of each kind, and how its cost grows: data of the search, a row per kind.

Ranges reach as far as the best settings did on held-out interactions of small and large, dense and thin data sets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from palate.dataset.schema import Interactions, Items
from palate.models.validation import told

if TYPE_CHECKING:
    from optuna.trial import Trial

_GRID = 3
_CUBE = 25_000
"""Items for which a dense matrix is still tried, in the square."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, to three digits, on a logarithmic scale or as whole numbers where told."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def suggest(self, trial: Trial, name: str) -> float:
        return self._short(trial.suggest_float(name, self.low, self.high, log=self.log))

    def grid(self) -> list[float]:
        space = np.geomspace if self.log else np.linspace
        return [self._short(value) for value in space(self.low, self.high, _GRID)]

    def _short(self, value: float) -> float:
        return round(value) if self.whole else float(f"{value:.3g}")


@dataclass(frozen=True)
class Choice:
    """One of some values."""

    values: tuple[Any, ...]

    def suggest(self, trial: Trial, name: str) -> Any:
        return trial.suggest_categorical(name, self.values)

    def grid(self) -> list[Any]:
        return list(self.values)


@dataclass(frozen=True)
class Facts:
    """What the cost of a fit depends on. pairs: pairs of items that a user has touched both of, over all users."""

    users: int
    items: int
    interactions: int
    pairs: float
    weighted: bool
    timed: bool
    told: bool

    @property
    def inverse(self) -> float:
        """Operations of EASE's inverse: of items by items, or by way of users where they are fewer."""
        few = min(self.users, self.items)
        return float(few**3 / 3 + few**2 * self.items) if self.users < 0.7 * self.items else float(self.items) ** 3

    @classmethod
    def of(cls, interactions: Interactions, items: Items | None) -> Facts:
        matrix = interactions.matrix(binary=True)
        lengths = np.diff(matrix.indptr).astype(np.float64)
        weights = interactions.weights
        return cls(
            users=int((lengths > 0).sum()),
            items=len(np.unique(matrix.indices)),
            interactions=matrix.nnz,
            pairs=float((lengths**2).sum()),
            weighted=weights is not None and len(weights) > 0 and bool((weights != weights[0]).any()),
            timed=interactions.timestamps is not None,
            told=items is not None and told(items),
        )


@dataclass(frozen=True)
class Space:
    """The search space of a kind.

    ranges: what is tuned. first: the setting that is tried first. work: what a fit costs, in seconds of one core of
    2024 for want of anything better; the search corrects that by what it measures. suits: whether to try it at all.
    by_users: whether a fit to a part of the users costs a part.
    """

    ranges: Mapping[str, Range | Choice]
    first: Mapping[str, Any]
    work: Callable[[Facts, Mapping[str, Any]], float]
    suits: Callable[[Facts], bool] = lambda facts: True
    by_users: bool = True

    def grid(self) -> dict[str, list[Any]]:
        return {name: each.grid() for name, each in self.ranges.items()}

    def points(self, seed: int, limit: int) -> list[dict[str, Any]]:
        """At most `limit` points of the grid, in a random order."""
        grid = self.grid()
        points = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
        return [points[at] for at in np.random.default_rng(seed).permutation(len(points))[:limit]]

    def suggest(self, trial: Trial) -> dict[str, Any]:
        return {**self.first, **{name: each.suggest(trial, name) for name, each in self.ranges.items()}}


_WEIGHTING = Choice(("binary", "weights"))
_RECENCY, _OFTEN = Range(0, 1.2), 0.5
_LINEAR: dict[str, Range | Choice] = {
    "regularization": Range(20, 3000, log=True),
    "user_power": Range(0, 0.7),
    "item_power": Range(0, 0.5),
    "debias": Range(0, 0.5),
}
_NEIGHBOURS: dict[str, Range | Choice] = {
    "neighbours": Range(20, 400, log=True, whole=True),
    "similarity": Choice(("cosine", "tf-idf", "bm25")),
    "shrinkage": Range(0, 30),
    "bm25_b": Range(0.1, 0.9),
}

SPACES: dict[str, Space] = {
    "popularity": Space({}, {}, lambda facts, values: 1e-7 * facts.interactions + 0.01),
    "item-knn": Space(
        _NEIGHBOURS,
        {"neighbours": 100, "similarity": "cosine", "shrinkage": 10.0},
        lambda facts, values: 1.5e-8 * facts.pairs + 0.02,
    ),
    "user-knn": Space(
        _NEIGHBOURS,
        {"neighbours": 100, "similarity": "bm25", "shrinkage": 0.0},
        lambda facts, values: 1e-6 * facts.interactions + 0.02,
    ),
    "graph-filter": Space(
        {
            "factors": Choice((32, 64, 128, 256, 512)),
            "alpha": Range(0.05, 2.0, log=True),
            "user_power": Range(0.2, 0.7),
            "item_power": Range(0.2, 0.6),
        },
        {"factors": 64, "alpha": 0.3, "user_power": 0.5, "item_power": 0.5},
        lambda facts, values: (
            values["factors"] * (1.2e-8 * facts.interactions + 5e-9 * values["factors"] * (facts.users + facts.items))
            + 0.1
        ),
        by_users=False,
    ),
    "ease": Space(
        _LINEAR,
        {"regularization": 300.0, "user_power": 0.3, "item_power": 0.0, "debias": 0.1},
        lambda facts, values: 4e-11 * facts.inverse + 5e-9 * facts.pairs + 0.05,
        suits=lambda facts: min(facts.items, facts.users) <= _CUBE and facts.inverse < _CUBE**3,
        by_users=False,
    ),
    "sparse-ease": Space(
        {**_LINEAR, "neighbours": Choice((50, 100, 200))},
        {"regularization": 300.0, "user_power": 0.3, "item_power": 0.0, "debias": 0.1, "neighbours": 100},
        lambda facts, values: 1e-9 * facts.items * values["neighbours"] ** 3 + 1e-8 * facts.pairs + 0.1,
        suits=lambda facts: facts.items > 6000,
        by_users=False,
    ),
    "ials": Space(
        {
            "factors": Choice((64, 128, 256, 512)),
            "regularization": Range(0.001, 0.1, log=True),
            "unobserved": Range(2, 200, log=True),
        },
        {"factors": 64, "regularization": 0.01, "unobserved": 40.0, "iterations": 12},
        lambda facts, values: (
            1e-9
            * values["factors"]
            * values.get("iterations", 12)
            * (12 * facts.interactions + values["factors"] * (facts.users + facts.items))
            + 0.1
        ),
    ),
    "content": Space(
        {"regularization": Range(0.3, 30, log=True), "words": Range(0, 1), "tags": Range(0, 2)},
        {},
        lambda facts, values: 1e-3 * facts.items + 0.2,
        suits=lambda facts: facts.told,
        by_users=False,
    ),
}
"""The kinds that are tried unless others are named."""

UNTUNED = Space({}, {}, lambda facts, values: 1e-5 * facts.interactions + 0.1)
"""Of a kind without a row: its defaults, once."""


def space_of(kind: str, facts: Facts) -> Space:
    """The space of a kind on such data: how interactions are weighed is tuned where they have weights, how much more
    the recent ones count where they have times."""
    from palate.models import recommender_class

    found = SPACES.get(kind, UNTUNED)
    params = recommender_class(kind).Params()
    if not found.ranges:
        return found
    ranges, first = dict(found.ranges), dict(found.first)
    if hasattr(params, "weighting"):
        first["weighting"] = "weights" if facts.weighted else "binary"
        if facts.weighted:
            ranges["weighting"] = _WEIGHTING
    if hasattr(params, "recency") and facts.timed:
        ranges["recency"], first["recency"] = _RECENCY, _OFTEN
    return replace(found, ranges=ranges, first=first)
