"""The factorization machine's training: its gradient, what it learns, and that many processes learn what one does."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy import sparse

from palate.kernels.fm import FMFit, FMOptions, fit_fm
from palate.kernels.fm_gradient import gradient, losses, scores, slopes
from palate.kernels.fm_rows import Rows, Units

torch = pytest.importorskip("torch", reason="needs torch: pip install 'palate[torch]'")

RANDOM = np.random.default_rng(3)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def one_hot(codes: npt.NDArray[Any], sizes: list[int]) -> sparse.csr_matrix:
    """Fields side by side, a one for each code."""
    columns = codes + np.concatenate([[0], np.cumsum(sizes)[:-1]])
    starts = np.arange(0, codes.size + 1, codes.shape[1])
    return sparse.csr_matrix((np.ones(codes.size, np.float32), columns.ravel(), starts), (len(codes), sum(sizes)))


def predicted(fit: FMFit, rows: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """The definition, over all pairs."""
    x, v = rows.toarray().astype(np.float64), fit.factors.astype(np.float64)
    pairs = np.triu(v @ v.T, 1)
    return fit.intercept + x @ fit.linear + ((x @ pairs) * x).sum(axis=1)


def ragged() -> sparse.csr_matrix:
    """Rows of different lengths, one of them empty, with values of both signs."""
    rows = sparse.random(40, 12, density=0.3, random_state=1, format="lil", dtype=np.float64)
    rows[3] = 0
    made = sparse.csr_matrix(rows)
    made.data -= 0.4
    return made


@pytest.mark.parametrize("rows", [one_hot(RANDOM.integers(0, 5, (40, 3)), [5, 5, 5]), ragged()], ids=["fields", "csr"])
@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_the_gradient_is_that_of_autograd(rows: sparse.csr_matrix, loss: str) -> None:
    labels = torch.from_numpy(RANDOM.integers(0, 2, rows.shape[0]).astype(np.float32))
    table = torch.randn(rows.shape[1], 5, generator=torch.Generator().manual_seed(0))
    ones = bool((rows.data == 1).all())
    held = Rows(rows, labels.numpy(), Units(None if ones else np.ones(rows.shape[1], np.float32)))
    batch = held.take(torch.randperm(rows.shape[0], generator=torch.Generator().manual_seed(1))[:30])
    inverse = batch.indices.long()
    found, sums = scores(batch, inverse, table, 0.3)
    # The same by the definition and autograd, in float64.
    wide = table.double().requires_grad_()
    weights = torch.ones(len(inverse)) if batch.values is None else batch.values
    dense = torch.zeros(30, rows.shape[1], dtype=torch.float64)
    dense.index_put_((batch.owner, inverse), weights.double())
    pairs = (wide[:, 1:] @ wide[:, 1:].T).triu(1)
    score = 0.3 + dense @ wide[:, 0] + torch.einsum("ij,jk,ik->i", dense, pairs, dense)
    assert torch.allclose(found.double(), score, atol=1e-4)
    target = batch.labels.double()
    if loss == "logistic":
        total = torch.nn.functional.binary_cross_entropy_with_logits(score, target, reduction="sum")
    else:
        total = (score - target).square().sum()
    total.backward()
    assert float(losses(loss, found, batch.labels).sum()) == pytest.approx(float(total.detach()), rel=1e-4)
    slope = slopes(loss, found, batch.labels)
    assert torch.allclose(gradient(batch, inverse, table, sums, slope).double(), wide.grad, rtol=1e-4, atol=1e-4)


def test_it_learns_interactions_that_no_linear_model_can() -> None:
    codes = RANDOM.integers(0, 2, (400, 2))
    rows, labels = one_hot(codes, [2, 2]), (codes[:, 0] != codes[:, 1]).astype(float)
    options = FMOptions(step_size=0.05, epochs=40)
    right = (predicted(fit_fm(rows, labels, options), rows) > 0) == labels
    assert right.mean() == 1
    linear = predicted(fit_fm(rows, labels, dataclasses.replace(options, factors=0)), rows) > 0
    assert (linear == labels).mean() < 0.8


def test_a_slow_start_is_waited_for() -> None:
    """Few rows whose features say something only in pairs: their loss rises before it falls."""
    for seed in (1, 2, 3):
        random = np.random.default_rng(seed)
        tastes, natures = random.standard_normal((60, 2)), random.standard_normal((40, 2))
        codes = np.stack([random.integers(0, 60, 2600), random.integers(0, 40, 2600)], axis=1)
        liked = (tastes[codes[:, 0]] * natures[codes[:, 1]]).sum(axis=1) + 0.5 * random.standard_normal(2600) > 0
        rows = one_hot(codes, [60, 40])
        fit = fit_fm(rows[:600], liked[:600], FMOptions(seed=seed))
        assert ((predicted(fit, rows[600:]) > 0) == liked[600:]).mean() > 0.6


def test_it_finds_the_machine_that_made_the_data() -> None:
    rows = one_hot(RANDOM.integers(0, 10, (4000, 3)), [10, 10, 10])
    truth = FMFit(70.0, np.zeros(30, np.float32), RANDOM.normal(0, 3, (30, 2)).astype(np.float32), [], [], 0, False, 0)
    labels = predicted(truth, rows)
    fit = fit_fm(rows, labels, FMOptions(loss="squared", step_size=0.02, factors=4))
    assert np.mean((predicted(fit, rows) - labels) ** 2) < 0.02 * labels.var()
    assert fit.validation[fit.best] == min(fit.validation)
    # The history is in the units of the labels.
    assert fit.history[0] == pytest.approx(labels.var(), rel=0.05)


def test_the_units_of_features_and_labels_do_not_matter() -> None:
    rows = sparse.csr_matrix(RANDOM.normal(size=(500, 4)))
    dense = rows.toarray()
    labels = dense[:, 0] + dense[:, 1] * dense[:, 2]
    plain = fit_fm(rows, labels, FMOptions(loss="squared", epochs=20))
    scaled = sparse.csr_matrix(dense * [1e4, 1, 1e-3, 10])
    other = fit_fm(scaled, 1e5 + 1e3 * labels, FMOptions(loss="squared", epochs=20))
    expected = 1e5 + 1e3 * predicted(plain, rows)
    assert np.abs(predicted(other, scaled) - expected).max() < 0.02 * expected.std()


def test_without_intercept_and_without_linear_term_they_are_zero() -> None:
    rows, labels = one_hot(RANDOM.integers(0, 4, (200, 2)), [4, 4]), RANDOM.integers(0, 2, 200)
    fit = fit_fm(rows, labels, FMOptions(intercept=False, linear=False, epochs=3, validation=0))
    assert fit.intercept == 0
    assert not fit.linear.any()
    assert fit.factors.any()
    assert len(fit.history) == 4
    assert fit.best == 3


def test_a_feature_of_no_training_row_is_a_zero_vector() -> None:
    rows = one_hot(RANDOM.integers(0, 4, (200, 2)), [4, 6])
    fit = fit_fm(rows, RANDOM.integers(0, 2, 200), FMOptions(epochs=3, validation=0))
    assert not fit.linear[8:].any()
    assert not fit.factors[8:].any()
    assert fit.factors[:8].all()


def test_decay_shrinks_and_plain_descent_descends() -> None:
    rows, labels = one_hot(RANDOM.integers(0, 4, (300, 2)), [4, 4]), RANDOM.integers(0, 2, 300)
    options = FMOptions(epochs=20, validation=0)
    free, held = (fit_fm(rows, labels, dataclasses.replace(options, decay=decay)) for decay in (0.0, 1.0))
    assert np.abs(held.linear).sum() < 0.9 * np.abs(free.linear).sum()
    descent = fit_fm(rows, labels, dataclasses.replace(options, solver="gd", step_size=0.3))
    assert descent.history[-1] < descent.history[0]


def test_noise_is_not_learned() -> None:
    rows = one_hot(RANDOM.integers(0, 300, (600, 2)), [300, 300])
    fit = fit_fm(rows, np.arange(600) % 2, FMOptions(step_size=0.2))
    assert fit.best <= 1
    assert len(fit.history) <= 5


def test_where_a_step_is_too_long_shorter_ones_go_on() -> None:
    codes = np.random.default_rng(5).integers(0, 8, (6000, 2))
    tastes = np.random.default_rng(6).normal(0, 1, (8, 8))
    labels = (np.random.default_rng(7).random(6000) < 1 / (1 + np.exp(-tastes[codes[:, 0], codes[:, 1]]))).astype(float)
    fit = fit_fm(one_hot(codes, [8, 8]), labels, FMOptions(step_size=0.3, seed=1))
    worse = next(at for at in range(1, len(fit.validation)) if fit.validation[at] > fit.validation[at - 1])
    assert fit.validation[fit.best] == min(fit.validation) < min(fit.validation[:worse])


def test_what_comes_after_the_best_epoch_leaves_no_trace() -> None:
    codes = np.random.default_rng(5).integers(0, 200, (400, 2))
    rows, labels = one_hot(codes, [200, 200]), np.random.default_rng(5).integers(0, 2, 400)
    options = FMOptions(fraction=0.05, step_size=1, patience=8)  # each epoch touches features that none did before
    fit = fit_fm(rows, labels, options)
    assert 0 < fit.best < len(fit.history) - 1
    shorter = fit_fm(rows, labels, dataclasses.replace(options, epochs=fit.best))
    np.testing.assert_array_equal(fit.factors, shorter.factors)


def test_divergence_is_told_and_the_best_state_kept() -> None:
    rows = sparse.csr_matrix(RANDOM.normal(size=(300, 5)))
    options = FMOptions(loss="squared", solver="gd", step_size=1e6, patience=1000)
    fit = fit_fm(rows, RANDOM.normal(size=300), options)
    assert fit.diverged
    assert fit.best == 0
    assert np.isfinite(fit.intercept)
    assert not fit.factors.any()


@pytest.mark.parametrize("loss", ["logistic", "squared"])
def test_no_rows_and_one_class(loss: str) -> None:
    nothing = fit_fm(sparse.csr_matrix((0, 3)), [], FMOptions(loss=loss))
    assert (nothing.rows, nothing.best, nothing.intercept) == (0, 0, 0)
    ones = fit_fm(one_hot(RANDOM.integers(0, 3, (60, 1)), [3]), np.ones(60), FMOptions(loss=loss))
    assert np.isfinite(ones.intercept)
    assert np.isfinite(ones.linear).all()
    assert (predicted(ones, one_hot(np.array([[0]]), [3])) > 0.5).all()


class Together:
    """Threads that train together, as the tasks of a Spark stage do."""

    def __init__(self, size: int) -> None:
        self.size, self.barrier = size, threading.Barrier(size, timeout=120)
        self.values: list[Any] = [None] * size

    def peer(self, rank: int) -> Any:
        team = self

        class Peer:
            size = team.size

            def __init__(self) -> None:
                self.rank = rank

            def gather(self, value: Any) -> list[Any]:
                team.values[rank] = value
                team.barrier.wait()
                found = list(team.values)
                team.barrier.wait()
                return found

            def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
                return np.sum(np.stack(self.gather(array.copy())), axis=0)

        return Peer()


def fit_together(parts: list[sparse.csr_matrix], labels: list[npt.NDArray[Any]], options: FMOptions) -> list[FMFit]:
    team, found = Together(len(parts)), [None] * len(parts)

    def work(rank: int) -> None:
        torch.set_num_threads(1)
        found[rank] = fit_fm(parts[rank], labels[rank], options, team.peer(rank))  # type: ignore[call-overload]

    threads = [threading.Thread(target=work, args=(rank,)) for rank in range(len(parts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(fit is not None for fit in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("width", [30, 1300], ids=["dense sums", "sparse sums"])
def test_many_learn_what_one_does(width: int) -> None:
    random = np.random.default_rng(8)
    codes = np.minimum(random.geometric(0.2, (1500, 3)) - 1, 9)
    rows, effects = one_hot(codes, [10, 10, width - 20]), random.normal(size=10)
    labels = (effects[codes].sum(axis=1) + random.normal(size=1500) > 0).astype(float)
    options = FMOptions(epochs=4, batch_size=100, step_size=0.02, validation=0)
    alone = fit_fm(rows, labels, options)
    bounds = [0, 900, 900, 905, 1500]  # unequal shares, one empty
    pairs = list(itertools.pairwise(bounds))
    parts, each = [rows[a:b] for a, b in pairs], [labels[a:b] for a, b in pairs]
    fits = fit_together(parts, each, options)
    for fit in fits[1:]:
        assert (fit.intercept, fit.history) == (fits[0].intercept, fits[0].history)
        assert np.array_equal(fit.factors, fits[0].factors)
    again = fit_together(parts, each, options)[0]
    assert np.array_equal(again.factors, fits[0].factors)
    assert fits[0].rows == alone.rows
    first, other = predicted(alone, rows), predicted(fits[0], rows)
    assert np.corrcoef(first, other)[0, 1] > 0.97
    assert fits[0].history[-1] == pytest.approx(alone.history[-1], rel=0.05)
