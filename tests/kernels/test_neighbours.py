"""Nearest rows beside all similarities in dense arithmetic, sorted."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.neighbours import MEASURES, as_matrix, nearest
from palate.retrieval.topk import top_k


@pytest.mark.parametrize("itself", [True, False])
@pytest.mark.parametrize("shrinkage", [0.0, 5.0])
@pytest.mark.parametrize("measure", MEASURES)
def test_it_finds_what_comparing_all_finds(measure: str, shrinkage: float, itself: bool) -> None:
    rows = sparse.random(90, 40, 0.08, "csr", np.float32, np.random.default_rng(0))
    dense = rows.toarray().astype(np.float64)
    dot, common = dense @ dense.T, (dense > 0).astype(float) @ (dense > 0).T
    size = common.diagonal()
    with np.errstate(invalid="ignore"):  # a row may be empty
        found = {
            "dot": dot,
            "cosine": dot / np.sqrt(np.outer(dot.diagonal(), dot.diagonal())),
            "jaccard": common / (size[:, None] + size - common),
        }[measure]
        found = found * common / (common + shrinkage)
    found[common == 0] = -np.inf
    if not itself:
        np.fill_diagonal(found, -np.inf)
    codes, best = nearest(rows, rows, 7, measure, shrinkage, itself=itself)
    expected, scores = top_k(found.astype(np.float32), 7)
    np.testing.assert_allclose(best, scores, rtol=1e-5)
    held = codes >= 0
    assert (held == (expected >= 0)).all()
    np.testing.assert_allclose(found[np.nonzero(held)[0], codes[held]], best[held], rtol=1e-5)
    matrix = as_matrix(codes, best, 90).toarray()
    np.testing.assert_array_equal(np.sort(matrix, axis=1)[:, :-8:-1], np.where(held, best, 0))


def test_equally_near_rows_come_in_their_order() -> None:
    rows = sparse.csr_matrix(np.ones((50, 2), np.float32))
    codes, _ = nearest(rows[:20], rows, 4)
    assert codes.tolist() == [[0, 1, 2, 3]] * 20
