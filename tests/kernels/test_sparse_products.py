"""Dense products of sparse matrices beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.sparse_products import dense_product, gram_product


@pytest.mark.parametrize("rows", [0, 1, 7, 100])
def test_it_is_the_product(rows: int) -> None:
    rng = np.random.default_rng(0)
    left, right = (sparse.random(*shape, 0.2, "csr", np.float32, rng) for shape in ((rows, 50), (50, 30)))
    out = np.full((rows, 30), np.nan, np.float32)
    assert dense_product(left, right, out) is out
    np.testing.assert_allclose(out, (left @ right).toarray(), rtol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 16, 17, 100, 131])
def test_a_product_there_and_back_is_two_products(rows: int) -> None:
    rng = np.random.default_rng(1)
    left, matrix = (sparse.random(*shape, 0.1, "csr", np.float32, rng) for shape in ((rows, 50), (50, 37)))
    back = sparse.csr_matrix(matrix.T)
    np.testing.assert_allclose(gram_product(left, matrix, back), (left @ matrix @ back).toarray(), rtol=1e-5, atol=1e-6)


def test_a_row_is_the_same_beside_any_others() -> None:
    rng = np.random.default_rng(2)
    left, matrix = (sparse.random(*shape, 0.1, "csr", np.float32, rng) for shape in ((100, 50), (50, 37)))
    back = sparse.csr_matrix(matrix.T)
    together = gram_product(left, matrix, back)
    np.testing.assert_array_equal(gram_product(left[13:60], matrix, back), together[13:60])
