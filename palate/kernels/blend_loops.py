"""The inner loops of `palate.models.blend`: standardising rows of scores, adding weighted parts up, judging lists."""

from __future__ import annotations

from typing import Any

import numpy as np

from palate.kernels.compiled import compiled


@compiled
def standards(scores: Any, means: Any, scales: Any) -> None:
    """The mean of each row, and one over its deviation, of what it ranks; a row of one value has the scale 0."""
    rows, columns = scores.shape
    for row in range(rows):
        count, total, squares = 0, 0.0, 0.0
        for column in range(columns):
            score = scores[row, column]
            if score > -np.inf:
                count += 1
                total += score
        mean = total / max(count, 1)
        for column in range(columns):
            score = scores[row, column]
            if score > -np.inf:
                squares += (score - mean) ** 2
        deviation = np.sqrt(squares / max(count, 1))
        means[row] = mean
        scales[row] = 1 / deviation if deviation > 1e-6 * abs(mean) and deviation > 0 else 0.0


@compiled
def add_part(
    scores: Any, means: Any, scales: Any, known: Any, by_user: Any, by_item: Any, root: float, silent: float,
    total: Any, heard: Any,
) -> None:  # fmt: skip
    """Adds z (by_user + by_item) + root sqrt(z) to `total`, with z the standardised score; `silent` where there is
    none. `heard` becomes True where there is one. Columns that the part lacks are silent; rows not `known` are skipped.
    """
    rows, columns = total.shape
    width = scores.shape[1]
    for row in range(rows):
        if not known[row]:
            continue
        mean, scale, weight = means[row], scales[row], by_user[row]
        for column in range(width):
            score = scores[row, column]
            if score > -np.inf:
                standard = (score - mean) * scale
                added = standard * (weight + by_item[column])
                if standard > 0:
                    added += root * np.sqrt(standard)
                total[row, column] += added
                heard[row, column] = True
            else:
                total[row, column] += silent
        for column in range(width, columns):
            total[row, column] += silent


@compiled
def list_ndcgs(scores: Any, chosen: Any, starts: Any, discounts: Any, found: Any) -> None:
    """The NDCG of ranking each list by `scores`, cut off at `len(discounts)`; of equal scores the first comes first.

    chosen: at least one of each list. starts: where each begins. discounts: what a place counts.
    """
    for at in range(len(starts)):
        first = starts[at]
        last = starts[at + 1] if at + 1 < len(starts) else len(scores)
        gain, ideal, wanted = 0.0, 0.0, 0
        for one in range(first, last):
            if not chosen[one]:
                continue
            if wanted < len(discounts):
                ideal += discounts[wanted]
            wanted += 1
            score, place = scores[one], 0
            for other in range(first, one):
                place += scores[other] >= score
            for other in range(one + 1, last):
                place += scores[other] > score
            if place < len(discounts):
                gain += discounts[place]
        found[at] = gain / ideal
