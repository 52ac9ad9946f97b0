"""A search through clusters: exact with full caution, nearly so and much shorter with what sample queries need."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.clusters import Clusters, search
from palate.kernels.top_n import Targets, top_n

RANDOM = np.random.default_rng(2)


def catalogue(n: int, groups: int, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Targets in groups about as many centres, and queries near some of them."""
    centers = RANDOM.standard_normal((groups, width))
    targets = centers[RANDOM.integers(0, groups, n)] + 0.2 * RANDOM.standard_normal((n, width))
    targets *= np.exp(0.3 * RANDOM.standard_normal((n, 1)))
    queries = centers[RANDOM.integers(0, groups, 60)] + 0.3 * RANDOM.standard_normal((60, width))
    return targets.astype(np.float32), queries.astype(np.float32)


def test_with_full_caution_it_is_exact() -> None:
    targets, queries = catalogue(3000, 40)
    targets[::7] = 0
    exclude = sparse.random(60, 3000, 0.05, "csr", random_state=1)
    found, scores, _ = search(queries, Clusters.of(targets), 12, (exclude.indptr, exclude.indices))
    expected = queries @ targets.T
    expected[:, ::7] = -np.inf
    expected[exclude.nonzero()] = -np.inf
    best = np.argsort(-expected, axis=1, kind="stable")[:, :12]
    np.testing.assert_array_equal(found, best)
    np.testing.assert_allclose(scores, np.take_along_axis(expected, best, 1), rtol=1e-5)


def test_what_sample_queries_need_is_enough_for_others_and_looks_at_few() -> None:
    targets, queries = catalogue(20_000, 100)
    made = Clusters.of(targets).calibrated(queries[:30], 10, 0.99)
    assert made.caution < 1
    assert made.recall(queries[30:], 10) > 0.95
    _, _, looked = search(queries, made, 10)
    assert looked.mean() < 0.2 * len(targets)


def test_what_cannot_be_bounded_ends_up_exact() -> None:
    targets = RANDOM.standard_normal((500, 30)).astype(np.float32)
    queries = RANDOM.standard_normal((20, 30)).astype(np.float32)
    made = Clusters.of(targets, clusters=3).calibrated(queries, 5, 1.0)
    np.testing.assert_array_equal(search(queries, made, 5)[0], top_n(queries, Targets.of(targets), 5)[0])


@pytest.mark.parametrize("targets", [np.zeros((4, 3)), np.zeros((0, 3)), np.ones((1, 3)), np.ones((9, 3))])
def test_the_smallest_catalogues(targets: np.ndarray) -> None:
    made = Clusters.of(targets.astype(np.float32))
    codes, scores, _ = search(np.ones((2, 3), np.float32), made, 4)
    held = int(targets.any(axis=1).sum())
    assert codes.tolist() == [[code if code < held else -1 for code in range(4)]] * 2
    assert np.isfinite(scores).sum() == 2 * min(4, held)
    assert made.recall(np.zeros((0, 3), np.float32), 4) == 1
