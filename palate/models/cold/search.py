"""Settings and weights of the views, found by hiding items and looking for them again.

The touched items are dealt into as many parts as there are rounds; each round hides one, learns from the others, and
ranks the hidden ones for users who touched some. What ranks best on the mean of the rounds is taken: each setting by
its own view, then the weights of all. One round would not do: which items are hidden decides more than any setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.features.description import Described
from palate.kernels import content_ridge
from palate.models.cold.shape import Shape
from palate.models.cold.views import (
    MAPS,
    RIDGES,
    Settings,
    Views,
    item_targets,
    local_factors,
    nearest_items,
    placed,
    shares,
)
from palate.models.cold.weights import Judge, learn_weights, standardised

Floats = npt.NDArray[np.float32]

PARTS = 5
"""A fifth of the items is hidden at a time."""
ROUNDS = 3
"""So many of the parts are hidden in turn; each round costs as much as the fit itself."""
MOST_JUDGED = 500
"""So many users are judged by in each round, at most."""
_PENALTIES: Mapping[str, tuple[tuple[float, float], ...]] = {
    "linear": ((1.0, 0.0), (3.0, 0.0), (10.0, 0.0)),
    "smooth": ((1.0, 0.1), (1.0, 0.03), (3.0, 0.1)),
}
"""The penalties tried, each with the weight of the numbers in the kernel. A shape comes with one of its own."""
_NEIGHBOURS: Mapping[str, tuple[int, ...]] = {"nearest": (10, 30, 100), "local": (10, 30)}
_RANKS = (8, 32, 128)


Setting = tuple[float, float] | Shape | int
"""Of a map: a penalty and the numbers' weight, a shape, or a count of neighbours."""


@dataclass(frozen=True)
class Round:
    """One part of the items hidden. told, near: what the views are made of, by what was tried."""

    judge: Judge
    histories: sparse.csr_matrix
    basis: Floats
    content: sparse.csr_matrix
    scored: sparse.csr_matrix
    told: Mapping[tuple[str, Setting], Floats]
    near: Mapping[int, sparse.csr_matrix]

    def scores(self, name: str, settings: Settings) -> Floats:
        """Standardised scores of the hidden items."""
        tried: Mapping[str, Setting] = {
            "linear": (settings.linear, 0.0),
            "smooth": (settings.smooth, settings.numbers),
            "shaped": settings.shape,
            "local": settings.local,
        }
        told = {name: self.told[name, setting] for name, setting in tried.items() if (name, setting) in self.told}
        views = Views(settings, self.basis, self.content, told, self.near[settings.nearest], self.scored)
        found = views.scores(name, self.histories)
        return standardised(found, np.ones(found.shape[1], dtype=bool))


def search(
    histories: sparse.csr_matrix, items: Described, names: Sequence[str], factors: int, seed: int
) -> tuple[Settings, dict[str, float]] | None:
    """Settings, and weights of the views `names` that sum to 1; None if nobody has touched both hidden and other items.

    histories: `(n_users, n)` binary. items: the same n, all of them touched.
    """
    rng = np.random.default_rng(seed)
    settings = Settings(shape=Shape.learn(items, histories, seed)) if "shaped" in names else Settings()
    part = rng.permutation(len(items)) % PARTS
    hidings = [part == hidden for hidden in range(ROUNDS)]
    rounds = [each for hidden in hidings if (each := _round(histories, items, names, settings, hidden, factors, rng))]
    if not rounds:
        return None

    def judged(name: str, settings: Settings) -> float:
        return float(np.mean([each.judge(each.scores(name, settings)) for each in rounds]))

    for name in [name for name in MAPS if name in names]:
        given = [setting for held, setting in rounds[0].told if held == name]
        tried = [
            replace(_with(settings, name, setting), rank={**settings.rank, name: rank})
            for setting, rank in product(given, _RANKS)
        ]
        settings = max(tried, key=lambda each: judged(name, each))
    if "nearest" in names:
        counts = [replace(settings, nearest=count) for count in _NEIGHBOURS["nearest"]]
        settings = max(counts, key=lambda each: judged("nearest", each))
    if len(names) == 1:
        return settings, {names[0]: 1.0}
    views = {name: [each.scores(name, settings) for each in rounds] for name in names}
    alone = max(names, key=lambda name: judged(name, settings))
    starts = [dict.fromkeys(names, 1.0), {alone: 1.0}]
    return settings, learn_weights(views, [each.judge for each in rounds], starts)


def _with(settings: Settings, name: str, setting: Setting) -> Settings:
    if isinstance(setting, Shape):
        return replace(settings, shape=setting)
    if isinstance(setting, int):
        return replace(settings, local=setting)
    penalty, numbers = setting
    if name == "linear":
        return replace(settings, linear=penalty)
    return replace(settings, smooth=penalty, numbers=numbers)


def _round(
    histories: sparse.csr_matrix,
    items: Described,
    names: Sequence[str],
    settings: Settings,
    hidden: npt.NDArray[np.bool_],
    factors: int,
    rng: np.random.Generator,
) -> Round | None:
    shown = np.flatnonzero(~hidden).astype(np.int32)
    known, wanted = sparse.csr_matrix(histories[:, shown]), sparse.csr_matrix(histories[:, hidden])
    judged = np.flatnonzero((np.diff(wanted.indptr) > 0) & (np.diff(known.indptr) > 0))
    if len(judged) == 0:
        return None
    judged = np.sort(rng.permutation(judged)[:MOST_JUDGED])
    mine, theirs = items.take(shown), items.take(np.flatnonzero(hidden))
    basis, targets = item_targets(known, factors, 0)
    told: dict[tuple[str, Setting], Floats] = {}
    for name in [name for name in RIDGES if name in names]:
        known_items, hidden_items = (settings.seen_by(name, each) for each in (mine, theirs))
        for setting in _PENALTIES.get(name, (settings.shape,)):
            kernel, penalty = _with(settings, name, setting).kernel(name)
            ridge, _ = content_ridge.fit(
                kernel, known_items.content, known_items.numbers, targets, penalty, leave_one_out=False
            )
            told[name, setting] = ridge.predict(hidden_items.content, hidden_items.numbers)
    codes, cosines = nearest_items(theirs, mine, max(max(each) for each in _NEIGHBOURS.values()), itself=True)
    near = {
        count: shares(codes[:, :count], cosines[:, :count], len(mine))
        for held in _NEIGHBOURS.values()
        for count in held
    }
    for count in _NEIGHBOURS["local"]:
        told["local", count] = local_factors(near[count], basis)
    wide = np.zeros((len(items), basis.shape[1]), np.float32)
    wide[shown] = basis
    rows = placed(sparse.csr_matrix(known[judged]), shown, len(items))
    return Round(
        Judge.of(wanted[judged]), rows, wide, items.content, theirs.content, told,
        {count: placed(each, shown, len(items)) for count, each in near.items()},
    )  # fmt: skip
