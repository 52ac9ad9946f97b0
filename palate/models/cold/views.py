"""The ways of judging an item by its content that the cold-start model weighs against each other.

Each gives every item a score for every history of items, from what is said of the item alone: an item that was learned
from is scored as if it had been left out, so that old and new items are judged alike.

- "cosine": the item's content beside the mean content of the history.
- "nearest": the share of the touched items nearest by content that are in the history.
- "linear", "smooth", "shaped", "local": the item's factors, told by its content, times those of the user; told by ridge
  regression, linear, with a Gaussian kernel, or with one that has learned what tells items apart
  (`palate.models.cold.shape`), or as the mean of the nearest items' (Gantner, Drumond, Freudenthaler, Rendle and
  Schmidt-Thieme, "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations", ICDM 2010, has the first and
  the last). Factors are a truncated singular value decomposition of who touched what.
- "linear popularity", "smooth popularity", "shaped popularity": ln(1 + users), told by the same regressions.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.features.description import Described
from palate.kernels import content_ridge
from palate.kernels.content_ridge import Kernel, Ridge
from palate.kernels.neighbours import as_matrix, nearest
from palate.kernels.sparse_products import dense_product
from palate.models.cold.shape import Shape

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

RIDGES = ("linear", "smooth", "shaped")
MAPS = (*RIDGES, "local")
NAMES = ("cosine", "nearest", *MAPS, *(f"{name} popularity" for name in RIDGES))
_WIDTH = 0.6
"""Of the Gaussian kernel over cosines: the best of 0.3, 0.6 and 1.0 for hidden items of ml-latest-small."""

_NONE = Shape((), ())
"""Of a model that has no use for one."""


@dataclass(frozen=True)
class Settings:
    """What is chosen on hidden items.

    linear, smooth: the ridge penalties. numbers: how much a difference of one standard deviation separates items, in
    the Gaussian kernel. shape: of the kernel that learns what tells items apart. nearest, local: how
    many nearest items. rank: of each map, how many of the factors count.
    """

    linear: float = 3.0
    smooth: float = 1.0
    numbers: float = 0.1
    shape: Shape = _NONE
    nearest: int = 30
    local: int = 10
    rank: Mapping[str, int] = field(default_factory=lambda: dict.fromkeys(MAPS, 64))

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Self:
        """As `dataclasses.asdict` gives them; those of an older bundle have no shape."""
        shape = {"shape": Shape.from_params(params["shape"])} if "shape" in params else {}
        return cls(**{**params, **shape})

    def kernel(self, name: str) -> tuple[Kernel, float]:
        """Of a ridge regression, and its penalty."""
        if name == "linear":
            return Kernel(0.0), self.linear
        if name == "shaped":
            return Kernel(1.0, 1.0), self.shape.penalty
        return Kernel(_WIDTH, self.numbers), self.smooth

    def seen_by(self, name: str, items: Described) -> Described:
        """The items as that kernel takes them."""
        return self.shape.of(items) if name == "shaped" else items


@dataclass(frozen=True)
class Views:
    """What the scores are made of.

    basis: `(n, factors) float32`; a history's factors are the sum of its items' rows. content: of the n items of a
    history, CSR. told: by map, what content tells of each of the m items to be scored: factors and, of a ridge
    regression, popularity, `(m, factors + 1) float32`. near: `(m, n)`, shares of the nearest. scored: the content of
    the m items.
    """

    settings: Settings
    basis: Floats
    content: sparse.csr_matrix
    told: Mapping[str, Floats]
    near: sparse.csr_matrix
    scored: sparse.csr_matrix

    def scores(
        self,
        name: str,
        histories: sparse.csr_matrix,
        stated: tuple[sparse.csr_matrix, Mapping[str, Floats]] | None = None,
    ) -> Floats:
        """`(n_users, m)`, or `(1, m)` where they are the same for everybody.

        histories: `(n_users, n)` binary. stated: content `(n_users, width)` to be added to that of the history, and
        factors by map.
        """
        if name.endswith("popularity"):
            return self.told[name.split()[0]][None, :, -1]
        if name in MAPS:
            factors = np.asarray(histories @ self.basis)
            if stated is not None:
                factors = factors + stated[1][name]
            rank = min(self.settings.rank[name], factors.shape[1])
            return np.asarray(factors[:, :rank] @ self.told[name][:, :rank].T)
        if name == "nearest":
            return dense_product(sparse.csr_matrix(histories, dtype=np.float32), self._near_transposed)
        profile = sparse.csr_matrix(histories @ self.content, dtype=np.float32)
        if stated is not None:
            profile = sparse.csr_matrix(profile + stated[0])
        return dense_product(profile, self._scored_transposed)

    @cached_property
    def _near_transposed(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.near.T)

    @cached_property
    def _scored_transposed(self) -> sparse.csr_matrix:
        return sparse.csr_matrix(self.scored.T)


@dataclass(frozen=True)
class Teller:
    """What tells the views `names` of an item that was not learned from.

    learned: codes of the items learned from, `(m,)`; described: those items. basis: theirs, `(m, factors) float32`.
    """

    names: Sequence[str]
    settings: Settings
    learned: Codes
    described: Described
    basis: Floats
    ridges: Mapping[str, Ridge]

    def tell(self, items: Described) -> dict[str, Floats]:
        """By map, `(n, factors + 1) float32`."""
        told = {}
        for name, ridge in self.ridges.items():
            seen = self.settings.seen_by(name, items)
            told[name] = ridge.predict(seen.content, seen.numbers)
        if "local" in self.names:
            told["local"] = local_factors(self.neighbours(items, self.settings.local), self.basis)
        return told

    def neighbours(self, items: Described, count: int) -> sparse.csr_matrix:
        """Shares `(n, m)` of the nearest of the items learned from."""
        return shares(*nearest_items(items, self.described, count, itself=True), len(self.described))

    def near(self, items: Described, width: int) -> sparse.csr_matrix:
        """The same among all `width` items, as `Views.near` has it."""
        if "nearest" not in self.names:
            return sparse.csr_matrix((len(items), width), dtype=np.float32)
        return placed(self.neighbours(items, self.settings.nearest), self.learned, width)

    def basis_of(self, items: Described, told: Mapping[str, Floats]) -> Floats:
        """What an item that nobody touched is, as part of a history: the mean of what the maps tell."""
        mean = np.mean([each[:, : self.basis.shape[1]] for each in told.values()], axis=0)
        return np.asarray(mean * items.known[:, None], dtype=np.float32)


def fit_views(
    histories: sparse.csr_matrix,
    items: Described,
    learned: Codes,
    names: Sequence[str],
    settings: Settings,
    factors: int,
    seed: int,
) -> tuple[Teller, Views]:
    """Learn the views `names` from the columns `learned` of histories `(n_users, n)` binary; views of all n items."""
    mine = items.take(learned)
    basis, targets = item_targets(sparse.csr_matrix(histories[:, learned]), factors, seed)
    ridges, left_out = {}, {}
    for name in [name for name in RIDGES if name in names]:
        kernel, penalty = settings.kernel(name)
        seen = settings.seen_by(name, mine)
        ridges[name], answers = content_ridge.fit(kernel, seen.content, seen.numbers, targets, penalty, seed)
        left_out[name] = answers if answers is not None else targets
    codes, cosines = nearest_items(mine, mine, max(settings.nearest, settings.local), itself=False)
    if "local" in names:
        local = shares(codes[:, : settings.local], cosines[:, : settings.local], len(mine))
        left_out["local"] = local_factors(local, basis)
    teller = Teller(names, settings, learned, mine, basis, ridges)
    others = np.setdiff1d(np.arange(len(items)), learned)
    rest = items.take(others)
    told_of_rest = teller.tell(rest)
    told = {}
    for name, answers in left_out.items():
        told[name] = np.empty((len(items), targets.shape[1]), np.float32)
        told[name][learned], told[name][others] = answers, told_of_rest[name]
    wide = np.empty((len(items), basis.shape[1]), np.float32)
    wide[learned], wide[others] = basis, teller.basis_of(rest, told_of_rest)
    near = sparse.csr_matrix((len(items), len(items)), dtype=np.float32)
    if "nearest" in names:
        own = shares(codes[:, : settings.nearest], cosines[:, : settings.nearest], len(mine))
        near = sparse.vstack([placed(own, learned, len(items)), teller.near(rest, len(items))], format="csr")
        near = sparse.csr_matrix(near[np.argsort(np.concatenate([learned, others]), kind="stable")])
    return teller, Views(settings, wide, items.content, told, near, items.content)


def extended(teller: Teller, views: Views, fresh: Described) -> Views:
    """The views with more items, which follow those held."""
    told = teller.tell(fresh)
    n = views.near.shape[0] + len(fresh)
    old = views.near.copy()
    old.resize(old.shape[0], n)
    content = sparse.csr_matrix(sparse.vstack([views.content, fresh.content], format="csr"))
    return dataclasses.replace(
        views,
        basis=np.concatenate([views.basis, teller.basis_of(fresh, told)]),
        content=content,
        told={name: np.concatenate([held, told[name]]) for name, held in views.told.items()},
        near=sparse.csr_matrix(sparse.vstack([old, teller.near(fresh, n)], format="csr")),
        scored=content,
    )


def item_targets(histories: sparse.csr_matrix, factors: int, seed: int) -> tuple[Floats, Floats]:
    """Right singular vectors `(n, factors)`, and beside them ln(1 + users), `(n, factors + 1)`."""
    from sklearn.utils.extmath import randomized_svd

    with threadpool_limits(1, "blas"):
        _, _, rows = randomized_svd(histories, min(factors, *histories.shape), n_iter=4, random_state=seed)
    basis = np.ascontiguousarray(rows.T, dtype=np.float32)
    users = np.bincount(histories.indices, minlength=histories.shape[1])
    return basis, np.column_stack([basis, np.log1p(users)]).astype(np.float32)


def nearest_items(queries: Described, among: Described, count: int, *, itself: bool) -> tuple[Codes, Floats]:
    """Rows of `among` and cosines, `(n, count)`, best first; -1 where fewer have anything in common."""
    return nearest(queries.content, among.content, min(count, max(len(among), 1)), "cosine", itself=itself)


def shares(codes: Codes, cosines: Floats, width: int) -> sparse.csr_matrix:
    """The cosines divided by their sum, `(n, width) float32`."""
    held = as_matrix(codes, np.maximum(cosines, 0), width)
    sums = np.asarray(held.sum(axis=1)).ravel()
    held.data = (held.data / np.repeat(np.where(sums > 0, sums, 1), np.diff(held.indptr))).astype(np.float32)
    return held


def local_factors(near: sparse.csr_matrix, basis: Floats) -> Floats:
    """The factors of the nearest, and no popularity, `(n, factors + 1) float32`."""
    return np.column_stack([near @ basis, np.zeros(near.shape[0])]).astype(np.float32)


def placed(rows: sparse.csr_matrix, columns: Codes, width: int) -> sparse.csr_matrix:
    """The columns of `rows` at their places, which ascend, among `width`."""
    return sparse.csr_matrix((rows.data, np.asarray(columns)[rows.indices], rows.indptr), shape=(rows.shape[0], width))
