"""Ranking metrics, computed for all users at once.

Rankings are arrays of item codes `(n_users, n)`, best first, padded with -1, no item twice in a row: what
`Recommender.recommend` gives. Test data is a CSR matrix `(n_users, n_items)` whose stored entries are the relevant
items, whatever their value. With `hit[r]` for "the item at rank r = 1, 2, ... is relevant" and `t` relevant items,
a user's metrics at the cut-off k are

    recall      sum of hit[1..k] / t
    precision   sum of hit[1..k] / k
    ndcg        sum of hit[r] / log2(r + 1) over r <= k, divided by the same sum for min(k, t) hits in a row
    map         sum over r <= k of hit[r] * (hits up to r) / r, divided by min(k, t)
    mrr         1 / r of the first hit up to k, or 0
    hit_rate    1 if there is a hit up to k, else 0

NDCG has binary gains, as in Järvelin & Kekäläinen (2002) and as papers with full ranking and fixed splits use it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.errors import ParameterError

PerUser: TypeAlias = npt.NDArray[np.float64]
Hits: TypeAlias = npt.NDArray[np.bool_]

ACCURACY = ("recall", "precision", "ndcg", "map", "mrr", "hit_rate")
"""The metrics that compare a ranking with test items."""

_ENTRIES_AT_ONCE = 1 << 22


def find_hits(ranked: Codes, relevant: sparse.csr_matrix) -> Hits:
    """Which ranked items are relevant, `(n_users, n) bool`; padding is not."""
    n_users, n_items = relevant.shape
    if ranked.shape[0] != n_users:
        raise ParameterError(f"{ranked.shape[0]} rankings for {n_users} users.")
    if not relevant.has_canonical_format:
        relevant = relevant.copy()
        relevant.sum_duplicates()
    if relevant.nnz == 0:
        return np.zeros(ranked.shape, dtype=bool)
    # One sorted key per relevant pair, so that a single binary search answers for every user.
    starts = np.arange(n_users, dtype=np.int64) * n_items
    keys = np.repeat(starts, np.diff(relevant.indptr)) + relevant.indices
    wanted = (starts[:, None] + ranked).ravel()
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    found: Hits = (keys[at] == wanted).reshape(ranked.shape) & (ranked >= 0)
    return found


def accuracy(ranked: Codes, relevant: sparse.csr_matrix, ks: Sequence[int]) -> dict[str, PerUser]:
    """Recall, precision, NDCG, MAP, MRR and hit rate per user, `"ndcg@20"` to `(n_users,) float64`.

    A ranking shorter than k counts as one that goes on without hits. A user without relevant items gets NaN: there
    is nothing to measure. Raises ParameterError for a cut-off below 1.
    """
    check_cutoffs(ks)
    ranked = _padded(ranked)
    hits = find_hits(ranked, relevant)
    wanted = np.diff(relevant.indptr).astype(np.float64)
    wanted[wanted == 0] = np.nan
    measured = 0 * wanted  # 0, or NaN where there is nothing to measure
    ranks = np.arange(1, ranked.shape[1] + 1)
    found = hits.cumsum(axis=1)
    gains = (hits / np.log2(ranks + 1)).cumsum(axis=1)
    precisions = (hits * found / ranks).cumsum(axis=1)
    first = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, np.inf)
    result: dict[str, PerUser] = {}
    for k in ks:
        last = min(k, len(ranks)) - 1
        best = np.fmin(wanted, k) + measured
        result[f"recall@{k}"] = found[:, last] / wanted
        result[f"precision@{k}"] = found[:, last] / k + measured
        result[f"ndcg@{k}"] = gains[:, last] / (ideal_gain(best) + measured)
        result[f"map@{k}"] = precisions[:, last] / best
        result[f"mrr@{k}"] = np.where(first <= k, 1 / first, 0) + measured
        result[f"hit_rate@{k}"] = (first <= k) + measured
    return result


def ideal_gain(hits: PerUser) -> PerUser:
    """The discounted gain of so many hits in a row from rank 1."""
    most = int(np.nanmax(hits, initial=1))
    table = np.concatenate([[0.0], (1 / np.log2(np.arange(2, most + 2))).cumsum()])
    gain: PerUser = table[np.nan_to_num(hits, nan=1).astype(np.int64)]
    return gain


def coverage(ranked: Codes, n_items: int, ks: Sequence[int]) -> dict[str, float]:
    """The share of the catalogue that somebody was shown, `"coverage@20"` to a number from 0 to 1."""
    check_cutoffs(ks)
    return {f"coverage@{k}": len(_distinct(ranked[:, :k])) / max(n_items, 1) for k in ks}


def coverage_errors(ranked: Codes, n_items: int, ks: Sequence[int]) -> dict[str, float]:
    """Jackknife standard errors of `coverage` over users (Efron & Stein 1981).

    Leaving one user out loses the items that only this user was shown. Coverage grows with the number of users, so
    bootstrap samples, which hold 63 % of them, would lie below the estimate itself.
    """
    n_users, errors = len(ranked), {}
    for k in ks:
        part = ranked[:, :k]
        counts = np.bincount(part[part >= 0], minlength=max(n_items, 1))
        alone = ((counts[np.maximum(part, 0)] == 1) & (part >= 0)).sum(axis=1) / max(n_items, 1)
        spread = ((alone - alone.mean()) ** 2).sum() if n_users else 0.0
        errors[f"coverage@{k}"] = float(np.sqrt(max(n_users - 1, 0) / max(n_users, 1) * spread))
    return errors


def novelty(ranked: Codes, popularity: npt.ArrayLike, n_train_users: int, ks: Sequence[int]) -> dict[str, PerUser]:
    """How unexpected the items shown are: the mean of -log2(share of training users who know the item), in bits.

    popularity: `(n_items,)` training users per item; an item that nobody knows counts as if one did.
    A user who was shown nothing gets NaN. Source: mean self-information, Zhou et al. (2010).
    """
    check_cutoffs(ks)
    ranked = _padded(ranked)
    share = np.maximum(np.asarray(popularity, dtype=np.float64), 1) / max(n_train_users, 1)
    bits = np.append(-np.log2(np.minimum(share, 1)), 0)  # the last one is what the padding code -1 finds
    totals = bits[ranked].cumsum(axis=1)
    shown = (ranked >= 0).cumsum(axis=1).astype(np.float64)
    shown[shown == 0] = np.nan
    lasts = {k: min(k, ranked.shape[1]) - 1 for k in ks}
    return {f"novelty@{k}": totals[:, last] / shown[:, last] for k, last in lasts.items()}


def diversity(ranked: Codes, vectors: sparse.csr_matrix, ks: Sequence[int]) -> dict[str, PerUser]:
    """Intra-list diversity: 1 - the mean cosine over all pairs of items in a list (Ziegler et al. 2005).

    vectors: CSR `(n_items, d)`, one row per item: content vectors, or the item's column of the training matrix,
    whose cosine is the items' co-occurrence. Rows need not be normalised; an empty row is like no other.
    Lists of fewer than two items get NaN.
    """
    check_cutoffs(ks)
    unit = unit_rows(vectors)
    filled = (np.diff(unit.indptr) > 0).astype(np.float64)  # each vector's product with itself
    result: dict[str, PerUser] = {f"diversity@{k}": np.full(len(ranked), np.nan) for k in ks}
    per_list = 1 + max(ks) * unit.nnz // max(1, unit.shape[0])
    for k in ks:
        for rows in _slices(len(ranked), max(1, _ENTRIES_AT_ONCE // per_list)):
            part = ranked[rows, :k]
            shown = part >= 0
            count = shown.sum(axis=1)
            codes = part[shown]
            lists = sparse.csr_matrix(
                (np.ones(len(codes)), codes, np.concatenate([[0], count.cumsum()])), shape=(len(part), unit.shape[0])
            )
            # |sum of vectors|^2 holds every ordered pair once, and each vector with itself.
            summed = lists @ unit
            summed.data **= 2
            squares = np.asarray(summed.sum(axis=1)).ravel() - lists @ filled
            pairs = count * (count - 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                result[f"diversity@{k}"][rows] = np.where(pairs > 0, 1 - squares / pairs, np.nan)
    return result


def unit_rows(vectors: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row scaled to length 1; empty rows stay empty."""
    vectors = sparse.csr_matrix(vectors, dtype=np.float64)
    norms = np.sqrt(np.asarray(vectors.multiply(vectors).sum(axis=1)).ravel())
    scale = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ vectors)


def check_cutoffs(ks: Sequence[int]) -> None:
    """Raises ParameterError unless there is a cut-off and each is at least 1."""
    if not ks:
        raise ParameterError("there must be at least one rank cut-off.", where="k")
    for k in ks:
        if k < 1:
            raise ParameterError(f"a rank cut-off must be at least 1, not {k}.", where="k")


def _padded(ranked: Codes) -> Codes:
    """At least one column, so that the last one within a cut-off exists."""
    return ranked if ranked.shape[1] else np.full((len(ranked), 1), -1, dtype=np.int32)


def _distinct(codes: Codes) -> Codes:
    found: Codes = np.unique(codes)
    return found[found >= 0]


def _slices(n: int, step: int) -> Iterator[slice]:
    for start in range(0, n, step):
        yield slice(start, min(start + step, n))
