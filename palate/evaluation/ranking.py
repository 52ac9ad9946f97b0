"""Full ranking in chunks of users, and the metrics of what came out. Memory is bounded whatever the data's size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes, IdMap, Ids
from palate.dataset.schema import Interactions
from palate.evaluation import metrics
from palate.evaluation.background import CO_OCCURRENCE, Background
from palate.evaluation.bootstrap import intervals
from palate.evaluation.result import Measures
from palate.models.protocol import NO_CONTEXT, Context, Recommender, UserVectors, rows_at_once

Progress: TypeAlias = Callable[[str, int, int], None]
"""Called with the name of the stage, how much of it is done, and how much there is to do."""

_CALLS = 4
"""A call ranks so many times what a model scores at once."""
_DIVERSITY_SAMPLE = 1000


@dataclass(frozen=True)
class Queries:
    """Users to rank for, a row each.

    ask: gives a slice of the rows the way `Recommender.recommend` takes users: ids, or folded-in vectors.
    masked: `(n, len(model.items))`, items left out of each ranking. relevant: `(n, n_items)`, the test items; its
    columns continue the model's items with those that the model lacks, which nobody can find. contexts: gives what is
    known of a slice of the users, beside their ids; None if nothing is.
    """

    ask: Callable[[slice], Ids | UserVectors]
    masked: sparse.csr_matrix
    relevant: sparse.csr_matrix
    contexts: Callable[[slice], Sequence[Context]] | None = None

    def __len__(self) -> int:
        return int(self.relevant.shape[0])


@dataclass(frozen=True)
class Ranking:
    """codes: `(n, k) int32`, best first, padded with -1. personal: `(n,) bool`."""

    codes: Codes
    personal: npt.NDArray[np.bool_]


Ranker: TypeAlias = Callable[[Recommender, Queries, int], Ranking]
"""Ranks as `rank` does, perhaps elsewhere."""


def blocks(model: Recommender, n: int) -> list[slice]:
    """`n` rows in the parts that are ranked in one call each. Wherever they are ranked they are cut in this way: a
    matrix product may differ in its last bit with the number of its rows."""
    step = _CALLS * rows_at_once(len(model.items))
    return [slice(start, min(start + step, n)) for start in range(0, n, step)]


def rank(
    model: Recommender, queries: Queries, k: int, candidates: Ids | None = None, progress: Progress | None = None
) -> Ranking:
    """The `k` best of all items (or of `candidates`) for each query, masked items left out."""
    n = len(queries)
    width = min(k, len(model.items))
    ranking = Ranking(np.full((n, width), -1, np.int32), np.zeros(n, dtype=bool))
    for part in blocks(model, n):
        context = NO_CONTEXT if queries.contexts is None else queries.contexts(part)
        found = model.recommend(
            queries.ask(part), width, exclude=queries.masked[part], candidates=candidates, context=context
        )
        ranking.codes[part], ranking.personal[part] = found.codes, found.personal
        if progress is not None:
            progress("ranking", part.stop, n)
    return ranking


def measure(
    ranking: Ranking,
    relevant: sparse.csr_matrix,
    background: Background,
    ks: Sequence[int],
    seed: int,
    catalogue: int,
) -> Measures:
    """All metrics of a ranking, with 95 % intervals over users.

    Bootstrap intervals, except that coverage has jackknife ones. By co-occurrence, whose vectors are as long as
    popular items have users, diversity is measured on at most 1,000 users drawn by the seed.
    """
    per_user = metrics.accuracy(ranking.codes, relevant, ks)
    per_user |= metrics.novelty(ranking.codes, background.popularity, background.n_train_users, ks)
    rows = np.arange(len(ranking.codes))
    if background.of == CO_OCCURRENCE and len(rows) > _DIVERSITY_SAMPLE:
        rows = np.sort(np.random.default_rng(seed).choice(rows, _DIVERSITY_SAMPLE, replace=False))
    for name, values in metrics.diversity(ranking.codes[rows], background.vectors, ks).items():
        per_user[name] = np.full(len(ranking.codes), np.nan)
        per_user[name][rows] = values
    means = {name: _mean(values) for name, values in per_user.items()}
    spans = intervals(per_user, seed=seed)
    covered = metrics.coverage(ranking.codes, catalogue, ks)
    for name, error in metrics.coverage_errors(ranking.codes, catalogue, ks).items():
        means[name] = covered[name]
        spans[name] = (max(0.0, covered[name] - 1.96 * error), min(1.0, covered[name] + 1.96 * error))
    return Measures(means, spans, per_user)


def rows_of(interactions: Interactions, users: IdMap, items: IdMap, *, positive: bool = False) -> sparse.csr_matrix:
    """Binary CSR `(len(users), len(items))` of the interactions, ids matched; those of other users or items drop out.

    positive: leave out rows of weight zero or less, which say that the user did not want the item.
    """
    rows = users.encode(interactions.users.ids)[interactions.user_codes]
    columns = items.encode(interactions.items.ids)[interactions.item_codes]
    held = (rows >= 0) & (columns >= 0)
    if positive and interactions.weights is not None:
        held &= interactions.weights > 0
    matrix = sparse.csr_matrix(
        (np.ones(int(held.sum()), np.float32), (rows[held], columns[held])), shape=(len(users), len(items))
    )
    matrix.sum_duplicates()
    matrix.data[:] = 1
    return matrix


def _mean(values: metrics.PerUser) -> float:
    held = values[~np.isnan(values)]
    return float(held.mean()) if len(held) else float("nan")
