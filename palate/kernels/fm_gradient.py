"""The arithmetic of a factorization machine of degree two (Rendle 2010, "Factorization Machines", ICDM), in torch.

    score(x) = w0 + sum_j w_j x_j + 1/2 sum_f ((sum_j v_jf x_j)^2 - sum_j v_jf^2 x_j^2)

Its gradient is closed and sparse: with d_i the derivative of the loss by the score of row i and s_i = V'x_i, that of
(w_j, v_j) is sum_i d_i x_ij (1, s_i) - (0, v_j) sum_i d_i x_ij^2. A step touches only the features of its batch, and
two sums over the batch's entries are all its work; autograd would make and keep one more array per operation.
"""

from __future__ import annotations

from typing import Any

from palate.engines import import_torch
from palate.kernels.fm_rows import Batch


def scores(batch: Batch, inverse: Any, table: Any, intercept: float) -> tuple[Any, Any]:
    """Scores of the rows, `(n,)`, and `(n, 1 + factors)` the sums of x_j (w_j, v_j).

    table: `(features, 1 + factors)`, w first; inverse: the row of `table` for each entry of the batch.
    """
    bag = import_torch().nn.functional.embedding_bag
    sums = bag(inverse, table, batch.starts, mode="sum", per_sample_weights=batch.values)
    squares = table[:, 1:].square().sum(1, keepdim=True)
    weights = None if batch.values is None else batch.values.square()
    norms = bag(inverse, squares, batch.starts, mode="sum", per_sample_weights=weights)
    return intercept + sums[:, 0] + 0.5 * (sums[:, 1:].square().sum(1) - norms[:, 0]), sums


def gradient(batch: Batch, inverse: Any, table: Any, sums: Any, slope: Any) -> Any:
    """The gradient by `table`, from the slope `(n,)` of the loss by each row's score."""
    torch = import_torch()
    by_row = sums.clone()
    by_row[:, 0] = 1
    by_row *= slope[:, None]
    by_entry = by_row.index_select(0, batch.owner)
    if batch.values is not None:
        by_entry *= batch.values[:, None]
    found = torch.zeros_like(table).index_add_(0, inverse, by_entry)
    if batch.values is None:
        own = found[:, 0]
    else:
        by_entry = slope.index_select(0, batch.owner) * batch.values.square()
        own = torch.zeros(len(table)).index_add_(0, inverse, by_entry)
    found[:, 1:] -= own[:, None] * table[:, 1:]
    return found


def losses(loss: str, score: Any, labels: Any) -> Any:
    """The loss of each row, `(n,)`: "logistic" (labels 0 and 1) or "squared"."""
    if loss == "squared":
        return (score - labels).square()
    return import_torch().nn.functional.softplus(score) - labels * score


def slopes(loss: str, score: Any, labels: Any) -> Any:
    """The derivative of each row's loss by its score, `(n,)`."""
    if loss == "squared":
        return 2 * score - 2 * labels
    return score.sigmoid() - labels
