"""Kernel ridge regression over described items, beside its definition."""

import numpy as np
import pytest
from scipy import sparse

from palate.kernels import content_ridge
from palate.kernels.content_ridge import Kernel


def items(n, seed=0):
    rng = np.random.default_rng(seed)
    content = sparse.random(n, 12, 0.4, format="csr", random_state=seed, dtype=np.float32)
    lengths = np.sqrt(np.asarray(content.multiply(content).sum(axis=1)).ravel())
    content = sparse.csr_matrix(sparse.diags(1 / np.maximum(lengths, 1e-9)) @ content, dtype=np.float32)
    return content, rng.normal(size=(n, 2)).astype(np.float32)


@pytest.mark.parametrize("kernel", [Kernel(0.0), Kernel(0.6, 0.1)])
def test_kernel_is_its_formula(kernel):
    (a, x), (b, y) = items(7), items(5, 1)
    cosines = (a @ b.T).toarray()
    squares = ((x[:, None] - y[None]) ** 2).sum(axis=2)
    expected = np.exp((cosines - 1) / 0.6 - 0.1 * squares) if kernel.width else cosines
    assert kernel(a, x, b, y) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("kernel", [Kernel(0.0), Kernel(0.6, 0.1)])
def test_left_out_is_what_the_regression_says_without_the_item(kernel, landmarks, monkeypatch):
    content, numbers = items(40)
    targets = np.random.default_rng(2).normal(size=(40, 3)).astype(np.float32)
    if landmarks:  # as many as there are items: the same answers by the other way
        monkeypatch.setattr(content_ridge, "EXACT", 10)
    ridge, left_out = content_ridge.fit(kernel, content, numbers, targets, 1.0)
    rest = np.arange(1, 40)
    # The mean is that of all items, with the item or without.
    mean = targets.mean(axis=0)
    gram = kernel(content, numbers, content, numbers)
    solved = np.linalg.solve(gram[np.ix_(rest, rest)] + np.eye(39), targets[rest] - mean)
    assert left_out[0] == pytest.approx(gram[0, rest] @ solved + mean, abs=2e-3)
    whole = np.linalg.solve(gram + np.eye(40), targets - mean)
    assert ridge.predict(content, numbers) == pytest.approx(gram @ whole + mean, abs=2e-3)


def test_few_landmarks_come_close(monkeypatch):
    content, numbers = items(400)
    truth = np.column_stack([content.toarray()[:, 0], numbers[:, 0]])
    exact, _ = content_ridge.fit(Kernel(0.6, 0.1), content, numbers, truth, 0.1)
    monkeypatch.setattr(content_ridge, "EXACT", 100)
    monkeypatch.setattr(content_ridge, "LANDMARKS", 200)
    few, left_out = content_ridge.fit(Kernel(0.6, 0.1), content, numbers, truth, 0.1)
    assert len(few.marks) == 200
    both = exact.predict(content, numbers), few.predict(content, numbers)
    assert np.mean((both[0] - both[1]) ** 2) < 0.05 * truth.var()
    assert np.mean((left_out - truth) ** 2) < 0.5 * truth.var()
