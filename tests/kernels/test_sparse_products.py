"""Dense products of sparse matrices beside scipy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from palate.kernels.sparse_products import dense_product


@pytest.mark.parametrize("rows", [0, 1, 7, 100])
def test_it_is_the_product(rows: int) -> None:
    rng = np.random.default_rng(0)
    left, right = (sparse.random(*shape, 0.2, "csr", np.float32, rng) for shape in ((rows, 50), (50, 30)))
    out = np.full((rows, 30), np.nan, np.float32)
    assert dense_product(left, right, out) is out
    np.testing.assert_allclose(out, (left @ right).toarray(), rtol=1e-5)
