"""The inner loop of factorization machines that answer: linear terms, pairs of features, and the fields' embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled


@compiled
def add_up(codes: Any, values: Any, fields: Any, linear: Any, factors: Any, scores: Any, embedded: Any) -> None:
    """Adds to `scores`, of each row, what its features say and what each pair of them says.

    codes, values: of the slots, `(n, slots)`. fields: of each slot. linear `(width, 1)`, factors `(width, k)`: of each
    feature. embedded: `(n, fields, k)`, gets the sum of each field's factors; empty, if nobody wants it.
    """
    sums = np.empty(factors.shape[1], np.float32)
    for row in range(len(codes)):
        sums[:] = 0
        squares = np.float32(0)
        for slot in range(codes.shape[1]):
            code, value = codes[row, slot], values[row, slot]
            scores[row] += linear[code, 0] * value
            for each in range(len(sums)):
                product = factors[code, each] * value
                sums[each] += product
                squares += product * product
            if len(embedded):
                for each in range(len(sums)):
                    embedded[row, fields[slot], each] += factors[code, each] * value
        whole = np.float32(0)
        for each in range(len(sums)):
            whole += sums[each] * sums[each]
        scores[row] += np.float32(0.5) * (whole - squares)
