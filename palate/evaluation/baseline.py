"""What a random ranking would score, computed exactly: the yardstick of the cold start.

A user has `m` candidates, `t` of them relevant, in uniformly random order. Every rank holds a relevant item with
probability t / m, so that recall, precision and NDCG follow at once; the others need the first hit's distribution
(MRR, hit rate) or pairs of ranks (MAP).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from palate.evaluation.metrics import PerUser, check_cutoffs, ideal_gain


def random_accuracy(relevant: npt.ArrayLike, candidates: npt.ArrayLike, ks: Sequence[int]) -> dict[str, PerUser]:
    """The expected accuracy metrics of a random ranking per user, keys as `palate.evaluation.metrics.accuracy`.

    relevant: `(n,)` relevant items of each user among the candidates, at least 1.
    candidates: `(n,)` items ranked for each user, at least as many.
    """
    check_cutoffs(ks)
    t, m = np.asarray(relevant, dtype=np.float64), np.asarray(candidates, dtype=np.float64)
    chance: PerUser = t / m
    no_hit = np.ones_like(chance)  # P(no hit up to the rank before)
    found = gain = precisions = reciprocal = np.zeros_like(chance)
    result: dict[str, PerUser] = {}
    for rank in range(1, max(ks) + 1):
        held = rank <= m
        found = found + chance * held
        gain = gain + chance * held / np.log2(rank + 1)
        # A hit here, and how many of the rank - 1 places before hold one as well.
        before = (rank - 1) * (t - 1) / np.maximum(m - 1, 1)
        precisions = precisions + chance * held * (1 + before) / rank
        left = np.maximum(m - rank + 1, 1)
        first = no_hit * np.minimum(t / left, 1) * held
        reciprocal, no_hit = reciprocal + first / rank, no_hit - first
        if rank in ks:
            best = np.minimum(t, rank)
            result[f"recall@{rank}"] = found / t
            result[f"precision@{rank}"] = found / rank
            result[f"ndcg@{rank}"] = gain / ideal_gain(best)
            result[f"map@{rank}"] = precisions / best
            result[f"mrr@{rank}"] = reciprocal
            result[f"hit_rate@{rank}"] = 1 - no_hit
    return result
