"""Lloyd's iterations and where they start: against scikit-learn, by definition, and by several peers at once."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from sklearn.cluster import KMeans

from palate.kernels.kmeans_start import MODES, start
from palate.kernels.lloyd import DenseRows, Fit, Rows, SparseRows, lloyd


@dataclass
class Meeting:
    """Threads as peers: what each of `size` brings to a round."""

    size: int
    barrier: threading.Barrier = field(init=False)
    held: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.size)


@dataclass(frozen=True)
class Peer:
    rank: int
    meeting: Meeting

    @property
    def size(self) -> int:
        return self.meeting.size

    def gather(self, value: Any) -> list[Any]:
        self.meeting.held[self.rank] = value
        self.meeting.barrier.wait(120)
        values = [self.meeting.held[rank] for rank in range(self.size)]
        self.meeting.barrier.wait(120)
        return values

    def sum(self, array: np.ndarray) -> np.ndarray:
        return np.sum(self.gather(array.copy()), axis=0)


def rows_of(values: np.ndarray, weights: np.ndarray | None = None, shift: Any = None, unit: bool = False) -> DenseRows:
    about = values.mean(axis=0) if shift is None else np.asarray(shift, float)
    given = np.ones(len(values)) if weights is None else weights
    return DenseRows((values - about).astype(np.float32), given, about, unit)


def centers_of(fit: Fit, rows: Rows) -> np.ndarray:
    return fit.centers + rows.shift


@pytest.fixture(scope="module")
def blobs() -> np.ndarray:
    """1,000 rows of width 8 around twelve centres that overlap a little."""
    rng = np.random.default_rng(0)
    return rng.normal(size=(12, 8))[rng.integers(0, 12, 1000)] * 3 + rng.normal(size=(1000, 8))


@pytest.mark.parametrize("weighted", [False, True])
def test_iterations_are_those_of_scikit_learn(blobs: np.ndarray, weighted: bool) -> None:
    weights = np.random.default_rng(1).uniform(0, 3, len(blobs)) if weighted else np.ones(len(blobs))
    peer = KMeans(12, init=blobs[:12], n_init=1, max_iter=10, tol=0).fit(blobs, sample_weight=weights)
    rows = rows_of(blobs, weights)
    fit = lloyd(rows, blobs[:12] - rows.shift, iterations=10, tolerance=0.0)
    np.testing.assert_allclose(centers_of(fit, rows), peer.cluster_centers_, atol=1e-4)
    assert fit.cost == pytest.approx(peer.inertia_, rel=1e-5)
    assert fit.sizes.tolist() == np.bincount(peer.labels_, minlength=12).tolist()


def test_sparse_rows_give_what_dense_ones_do(blobs: np.ndarray) -> None:
    thin = np.where(np.abs(blobs) > 2, blobs, 0)
    dense, thinner = rows_of(thin, shift=np.zeros(8)), SparseRows(sparse.csr_matrix(thin), np.ones(1000), np.zeros(8))
    for mode in MODES:
        first = start(thinner, 12, mode, seed=(3,))
        ours, same = (lloyd(rows, first, iterations=8, tolerance=0.0) for rows in (thinner, dense))
        np.testing.assert_allclose(ours.centers, same.centers, atol=1e-5)
        assert ours.cost == pytest.approx(same.cost, rel=1e-5)
    points = thin[:3] + 0.1
    far = dense.visit(thin[:1]).distances
    np.testing.assert_allclose(dense.potentials(points, far), thinner.potentials(points, far), rtol=1e-4)


@pytest.mark.parametrize("mode", MODES)
def test_peers_agree_and_find_what_one_finds(blobs: np.ndarray, mode: str) -> None:
    meeting, found = Meeting(3), {}
    parts = np.split(blobs, [400, 400])  # the second has no rows

    def work(rank: int) -> None:
        rows = rows_of(parts[rank], shift=np.zeros(8))
        peer = Peer(rank, meeting)
        first = start(rows, 12, mode, seed=(1, 2), peers=peer)
        found[rank] = first, lloyd(rows, first, iterations=20, tolerance=1e-4, peers=peer)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for first, fit in found.values():
        np.testing.assert_array_equal(first, found[0][0])
        np.testing.assert_array_equal(fit.centers, found[0][1].centers)
        assert (fit.cost, fit.iterations) == (found[0][1].cost, found[0][1].iterations)
    whole = rows_of(blobs, shift=np.zeros(8))
    alone = lloyd(whole, found[0][0], iterations=20, tolerance=1e-4)
    np.testing.assert_allclose(alone.centers, found[0][1].centers, atol=1e-5)
    assert all((np.abs(blobs - point).sum(axis=1) < 1e-4).any() for point in found[0][0]) or mode == "k-means||"


def test_a_start_by_distance_is_better_than_a_random_one() -> None:
    rng = np.random.default_rng(5)
    rows = rows_of(rng.normal(size=(30, 5))[rng.integers(0, 30, 2000)] * 20 + rng.normal(size=(2000, 5)))
    cost = {
        mode: np.median([rows.visit(start(rows, 30, mode, seed=(seed,))).cost for seed in range(5)]) for mode in MODES
    }
    assert cost["k-means||"] < cost["random"] / 3
    assert cost["k-means++"] < cost["random"] / 3


@pytest.mark.parametrize("mode", MODES)
def test_fewer_different_rows_than_centres(mode: str) -> None:
    values = np.repeat([[1.0, 2.0], [1.0, 3.0], [5.0, 5.0]], 4, axis=0)
    rows = rows_of(values)
    first = start(rows, 12, mode) + rows.shift
    np.testing.assert_allclose(first[np.lexsort(first.T[::-1])], [[1, 2], [1, 3], [5, 5]], atol=1e-6)
    assert len(start(rows_of(np.full((9, 2), 3.3)), 4, mode)) == 1


@pytest.mark.parametrize("mode", MODES)
def test_rows_of_no_weight_are_never_drawn(mode: str) -> None:
    values = np.arange(20.0)[:, None]
    rows = rows_of(values, (values[:, 0] % 2).astype(float))
    assert set((start(rows, 20, mode) + rows.shift).round().ravel() % 2) == {1.0}


def test_as_many_centres_as_rows_cost_nothing() -> None:
    rows = rows_of(np.random.default_rng(2).normal(size=(40, 3)))
    fit = lloyd(rows, start(rows, 40, "k-means||"), iterations=5, tolerance=0.0)
    assert (len(fit.centers), fit.cost, fit.iterations) == (40, 0.0, 1)


def test_a_centre_that_nothing_is_closest_to_stays() -> None:
    values = np.array([[0.0, 0], [1, 0], [10, 0], [11, 0]])
    rows = rows_of(values, shift=[0, 0])
    fit = lloyd(rows, np.array([[0.0, 0], [10, 0], [99, 99]]), iterations=9, tolerance=0.0)
    assert fit.centers.tolist() == [[0.5, 0], [10.5, 0], [99, 99]]
    assert fit.sizes.tolist() == [2, 2, 0]


def test_what_float32_cannot_tell_apart_is_decided_in_float64() -> None:
    """Two groups far apart, each of two that are close: |x|^2 is 1e8 times the distance that matters."""
    rng = np.random.default_rng(4)
    centers = np.array([[1e4, 0.0], [1e4, 3], [-1e4, 0], [-1e4, 3]])
    kind = rng.integers(0, 4, 4000)
    rows = rows_of(centers[kind] + rng.uniform(-1.4, 1.4, (4000, 2)), shift=[0, 0])
    assert (rows.visit(centers).labels == kind).all()


def test_an_offset_costs_no_digits() -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(size=(500, 4)) + 1e7
    rows = rows_of(values)
    fit = lloyd(rows, values[:5] - rows.shift, iterations=30, tolerance=0.0)
    peer = KMeans(5, init=values[:5] - 1e7, n_init=1, max_iter=30, tol=0).fit(values - 1e7)
    assert fit.cost == pytest.approx(peer.inertia_, rel=1e-5)


def test_of_rows_of_length_one_the_means_have_it_too() -> None:
    rng = np.random.default_rng(8)
    values = np.eye(4)[rng.integers(0, 4, 200)] + rng.uniform(0, 0.3, (200, 4))
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    rows = rows_of(values, unit=True)
    fit = lloyd(rows, start(rows, 4, "k-means||"), iterations=20, tolerance=0.0)
    centers = centers_of(fit, rows)
    np.testing.assert_allclose(np.linalg.norm(centers, axis=1), 1)
    labels = (values @ centers.T).argmax(axis=1)
    for cluster, center in enumerate(centers):
        mean = values[labels == cluster].mean(axis=0)
        np.testing.assert_allclose(center, mean / np.linalg.norm(mean), atol=1e-6)
    assert fit.cost / 2 == pytest.approx((1 - (values @ centers.T).max(axis=1)).sum(), rel=1e-4)


def test_more_centres_and_rows_than_fit_a_block() -> None:
    values = np.random.default_rng(9).normal(size=(600, 3))
    found = rows_of(values, shift=np.zeros(3)).visit(values[:500])
    apart = ((values[:, None, :] - values[None, :500]) ** 2).sum(axis=2)
    assert found.labels.tolist() == apart.argmin(axis=1).tolist()
    np.testing.assert_allclose(found.distances, apart.min(axis=1), atol=1e-5)
