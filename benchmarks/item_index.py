"""The best 20 of a million items for one user at a time: with an index, against looking at all of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import numpy as np
import numpy.typing as npt

from benchmarks.data import MOVIES, TINY, generate
from benchmarks.harness import Benchmark, Timing
from palate.kernels.als import Objective, als
from palate.kernels.clusters import Clusters, search
from palate.kernels.ratings import Ratings
from palate.retrieval.topk import top_k

Floats = npt.NDArray[np.float32]

WIDTH, N, RECALL = 64, 20, 0.995
GROUPS = 500
_LEARNED = 500
"""Queries that the index learns from; it is measured on others."""


def clustered(items: int, queries: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Items `(items, WIDTH)` and users `(queries, WIDTH)` about GROUPS centres, all with a spread that falls as
    1/sqrt(rank) from one dimension to the next; the items' lengths are spread log-normally (sigma 0.5)."""
    spread = 1 / np.sqrt(np.arange(1, WIDTH + 1))
    centers = random.standard_normal((GROUPS, WIDTH)) * spread

    def about(n: int) -> npt.NDArray[np.float64]:
        return centers[random.integers(0, GROUPS, n)] + 0.5 * spread * random.standard_normal((n, WIDTH))

    lengths = np.exp(0.5 * random.standard_normal((items, 1)))
    return (about(items) * lengths).astype(np.float32), about(queries).astype(np.float32)


def trained(items: int, queries: int, random: np.random.Generator, quick: bool) -> tuple[Floats, Floats]:
    """The factors of an ALS model of MovieLens 1M's size, its items copied with a tenth of noise until there are
    enough; users likewise."""
    users, made = _factors(quick)

    def scaled(factors: Floats, n: int) -> Floats:
        chosen = factors[random.integers(0, len(factors), n)]
        noise = random.standard_normal(chosen.shape, dtype=np.float32)
        noise *= 0.1 * np.linalg.norm(chosen, axis=1, keepdims=True) / np.sqrt(np.float32(WIDTH))
        return chosen + noise

    return scaled(made, items), scaled(users, queries)


@cache
def _factors(quick: bool) -> tuple[Floats, Floats]:
    """Users' and items' factors: learned once, whatever is made of them."""
    ratings = Ratings.from_matrix(generate(TINY if quick else MOVIES).matrix(binary=True))
    return als(ratings, Objective(True, 0.01, 10.0), WIDTH, 2 if quick else 10, 0)


def gaussian(items: int, queries: int, random: np.random.Generator) -> tuple[Floats, Floats]:
    """Nothing but noise: the hard case, in which no item is like another."""
    return (
        random.standard_normal((items, WIDTH), dtype=np.float32),
        random.standard_normal((queries, WIDTH), dtype=np.float32),
    )


def _times(answer: Callable[[Floats], object], queries: Floats) -> tuple[float, ...]:
    answer(queries[:1])
    found = []
    for row in range(len(queries)):
        started = time.perf_counter()
        answer(queries[row : row + 1])
        found.append(time.perf_counter() - started)
    return tuple(found)


def _contest(items: Floats, queries: Floats) -> tuple[tuple[float, ...], tuple[float, ...], str, float]:
    """Seconds of each query with all items and with the index, what to say of it, and its recall."""
    started = time.perf_counter()
    index = Clusters.of(items).calibrated(queries[:_LEARNED], N, RECALL)
    built = time.perf_counter() - started
    asked = queries[_LEARNED:]
    everything = _times(lambda query: top_k(query @ items.T, N), asked)
    indexed = _times(lambda query: search(query, index, N), asked)
    recall = index.recall(asked, N)
    last = [1000 * float(np.quantile(times, 0.99)) for times in (everything, indexed)]
    said = f"recall {recall:.4f}, 99 of 100 in {last[1]:.1f} ms (all items: {last[0]:.1f} ms), made in {built:.0f} s"
    return everything, indexed, said, recall


def run(quick: bool) -> Timing:
    random = np.random.default_rng(0)
    n, queries = (20_000, _LEARNED + 100) if quick else (1_000_000, _LEARNED + 500)
    peer, ours, said, recall = _contest(*clustered(n, queries, random))
    _, others, learned, _ = _contest(*trained(n, queries, random, quick))
    _, noise, hard, _ = _contest(*gaussian(n, queries, random))
    note = (
        f"Single queries in one process. {said[0].upper()}{said[1:]}. Factors of a trained model, scaled up: "
        f"{1000 * np.median(others):.2f} ms in the median, {learned}. Gaussian noise, the hard case: "
        f"{1000 * np.median(noise):.1f} ms, {hard}."
    )
    quality = {f"recall@{N}": {"peer": 1.0, "ours": recall}}
    return Timing(peer, ours, f"{n:,} items x {WIDTH}, {GROUPS} groups", quality, note)


BENCHMARK = Benchmark("item_index", "The best 20 of a million items for one user", "all items looked at", run)
