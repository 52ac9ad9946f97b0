"""The best columns of a product of factors, without looking at most of them: targets in clusters, and bounds.

A target t of a cluster with the centre c and the radius r (the distance of its farthest member) has q.t <= q.c + |q| r.
A query looks through the clusters in the order of these bounds and ends when none that is left could hold anything
better. That is exact, and slow: a residual of many dimensions hardly ever points where the query does. So the radius
counts by a share, `caution`, chosen on sample queries as the least with which enough of the true best are found; 1 is
exact.

Sources: Auvolat et al., "Clustering is Efficient for Approximate Maximum Inner Product Search", 2015; the bound is that
of Ram and Gray, "Maximum Inner-Product Search using Cone Trees", KDD 2012.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from palate.kernels.kmeans_start import start
from palate.kernels.lloyd import DenseRows, lloyd
from palate.kernels.top_n import Codes, Floats, Targets, top_n

_SAMPLED = 40
"""Targets per cluster from which the centres are learned."""
_ROUNDS = 8
_CAUTIONS = tuple(round(0.05 * step, 2) for step in range(21))


@dataclass(frozen=True)
class Clusters:
    """Factors of targets, cluster by cluster.

    factors: `(m, width) float32`. order: `(m,)`, the code of each. places: `(n,)`, where each code is, -1 where it is
    left out. starts: `(clusters + 1,)`. centers: `(clusters, width)`. radii: `(clusters,)`. caution: in [0, 1].
    """

    factors: Floats
    order: Codes
    places: Codes
    starts: npt.NDArray[np.int64]
    centers: Floats
    radii: Floats
    caution: float = 1.0

    def __len__(self) -> int:
        return len(self.starts) - 1

    @classmethod
    def of(cls, factors: Floats, clusters: int | None = None, seed: int = 0) -> Self:
        """Exact until `calibrated`. Targets whose factors are all zero are left out.

        clusters: how many; √n unless told. Their centres are learned by k-means on a sample.
        """
        held = np.flatnonzero(factors.any(axis=1)).astype(np.int32)
        k = max(1, min(clusters or math.isqrt(len(held)), len(held)))
        random = np.random.default_rng(seed)
        sample = random.choice(held, min(len(held), _SAMPLED * k), replace=False) if len(held) else held
        centers: npt.NDArray[np.float64] = np.zeros((1, factors.shape[1]))
        if len(held):
            rows = _rows(factors[np.sort(sample)])
            begun = start(rows, k, "random", seed=(seed,))
            centers = lloyd(rows, begun, iterations=_ROUNDS, tolerance=0.0).centers
        found = _rows(factors[held]).visit(centers)
        by_cluster = np.argsort(found.labels, kind="stable")
        order = held[by_cluster]
        places = np.full(len(factors), -1, np.int32)
        places[order] = np.arange(len(order), dtype=np.int32)
        starts = np.concatenate([[0], np.cumsum(np.bincount(found.labels, minlength=len(centers)))]).astype(np.int64)
        radii = np.zeros(len(centers))
        np.maximum.at(radii, found.labels, np.sqrt(found.distances.astype(np.float64)))
        radii *= 1 + 1e-5  # float32's rounding
        return cls(factors[order], order, places, starts, centers.astype(np.float32), radii.astype(np.float32))

    def calibrated(self, queries: Floats, n: int, recall: float) -> Self:
        """With the least caution with which queries `(m, width)` find that share of their true best `n` on average."""
        exact = self._exact(queries, n)

        def enough(caution: float) -> bool:
            return replace(self, caution=caution).recall(queries, n, exact) >= recall

        at = bisect_left(_CAUTIONS, True, hi=len(_CAUTIONS) - 1, key=enough)  # more caution finds no less
        return replace(self, caution=_CAUTIONS[at])

    def recall(self, queries: Floats, n: int, exact: Codes | None = None) -> float:
        """The share of the true best `n` of the queries that is found, 1.0 for none."""
        exact = self._exact(queries, n) if exact is None else exact
        codes, _, _ = search(queries, self, n)
        hits = sum(len(np.intersect1d(a[a >= 0], b[b >= 0])) for a, b in zip(codes, exact, strict=True))
        true = int((exact >= 0).sum())
        return hits / true if true else 1.0

    def _exact(self, queries: Floats, n: int) -> Codes:
        codes, _ = top_n(queries, Targets.of(self.factors), n)
        return np.where(codes >= 0, self.order[codes], -1).astype(np.int32)


def search(
    queries: Floats,
    clusters: Clusters,
    n: int,
    exclude: tuple[npt.NDArray[Any], npt.NDArray[Any]] | None = None,
) -> tuple[Codes, Floats, npt.NDArray[np.int64]]:
    """For each query the best `n` targets found, best first; ties go to the lower code.

    queries: `(n_queries, width) float32`. exclude: row starts and columns of a CSR matrix `(n_queries, n_targets)`,
    whose entries are left out.

    Codes `(n_queries, n) int32` and scores `(n_queries, n) float32`, padded with -1 and -inf; and how many targets each
    query looked at, `(n_queries,)`.
    """
    from palate.kernels.clusters_loops import search_row
    from palate.kernels.top_n_loops import sort_best

    codes = np.full((len(queries), n), -1, np.int32)
    scores = np.full((len(queries), n), -np.inf, np.float32)
    looked = np.zeros(len(queries), np.int64)
    room = np.empty(max(1, int(np.diff(clusters.starts).max(initial=0))), np.float32)
    nothing = np.zeros(0, np.int32)
    for row, query in enumerate(np.ascontiguousarray(queries, np.float32)):
        barred = nothing
        if exclude is not None:
            barred = clusters.places[exclude[1][exclude[0][row] : exclude[0][row + 1]]]
            barred = np.sort(barred[barred >= 0])
        near = clusters.centers @ query
        reach = np.float32(clusters.caution * float(np.linalg.norm(query))) * clusters.radii
        bounds = near + reach
        looked[row] = search_row(
            query, clusters.factors, clusters.order, clusters.starts, bounds, np.argsort(-bounds), barred, room,
            codes[row], scores[row],
        )  # fmt: skip
    sort_best(codes, scores)
    return codes, scores, looked


def _rows(factors: Floats) -> DenseRows:
    shift = np.zeros(factors.shape[1])
    return DenseRows(np.ascontiguousarray(factors, np.float32), np.ones(len(factors)), shift)
