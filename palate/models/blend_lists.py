"""The lists that a blend learns its trust from: what held-out interactions chose, among what its parts would show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import Codes
from palate.models.protocol import NO_CONTEXT, Capability, Vectors
from palate.models.trust import Trust, terms
from palate.models.trust_learning import Lists, joined
from palate.models.validation import Validation

if TYPE_CHECKING:
    from palate.models.blend import Blend

_BEST, _OTHERS = 100, 50
"""Of each part so many of its best items are in a list, and so many others, so that these stay behind."""
_SCORES_AT_ONCE = 1 << 22
_THIN = 5
"""Short histories have one to so many items."""
_FEWER = 0.3
"""What a list of a made-up situation (a history cut short, items hidden) counts beside one of the data's own."""


@dataclass(frozen=True)
class Question:
    """Users of a situation: what the blend is given, what they chose, what stays out.

    users: `(n,)` codes. histories: `(n,)` numbers of items. chosen, barred: CSR `(n, n_items)`. allowed: `(n_items,)
    bool`.
    """

    users: Codes
    vectors: Vectors
    histories: npt.NDArray[np.number]
    chosen: sparse.csr_matrix
    barred: sparse.csr_matrix
    allowed: npt.NDArray[np.bool_]
    importance: float = 1.0


def lists_of(blend: Blend, cut: Validation, scale: Trust, limit: int, seed: int) -> Lists:
    """Lists of at most `limit` users of the validation data.

    blend: with its parts fitted on `cut.train`. Beside each user's own list there are, for a part of the users, one
    after a history cut short (where a part can be told of a history), and one of hidden items (where some are).
    """
    random = np.random.default_rng(seed)
    questions = _questions(blend, cut, limit, random)
    return joined([piece for question in questions for piece in _pieces(blend, question, scale, random)])


def _questions(blend: Blend, cut: Validation, limit: int, random: np.random.Generator) -> Iterator[Question]:
    held, seen = cut.held.matrix(binary=True), blend.seen
    held = sparse.csr_matrix(held - held.multiply(seen))
    held.eliminate_zeros()
    known = np.diff(seen.indptr) > 0
    users = _drawn(np.flatnonzero((np.diff(held.indptr) > 0) & known), limit, random)
    if len(users):
        lengths = np.diff(seen.indptr)[users]
        yield Question(users, blend._user_vectors(users), lengths, held[users], seen[users], ~cut.hidden)
    thin = _drawn(users, len(users) // 4, random)
    if len(thin) and blend.can(Capability.FOLD_IN_USERS):
        short = _shortened(blend.histories_of(thin), random)
        lengths = np.diff(short.indptr)
        yield Question(thin, blend._fold(short), lengths, held[thin], seen[thin], ~cut.hidden, _FEWER)
    if cut.hidden.any():
        fresh = cut.fresh.matrix(binary=True)
        users = _drawn(np.flatnonzero((np.diff(fresh.indptr) > 0) & known), limit // 2, random)
        if len(users):
            lengths = np.diff(seen.indptr)[users]
            nothing = sparse.csr_matrix((len(users), seen.shape[1]), dtype=np.float32)
            yield Question(users, blend._user_vectors(users), lengths, fresh[users], nothing, cut.hidden, _FEWER)


def _drawn(users: npt.NDArray[np.integer], limit: int, random: np.random.Generator) -> Codes:
    """At most so many of the users, in the order of their codes."""
    return np.sort(random.permutation(users)[:limit]).astype(np.int32)


def _shortened(histories: sparse.csr_matrix, random: np.random.Generator) -> sparse.csr_matrix:
    """One to five random items of each history."""
    order = np.lexsort(
        (random.random(histories.nnz), np.repeat(np.arange(histories.shape[0]), np.diff(histories.indptr)))
    )
    place = np.arange(histories.nnz) - np.repeat(histories.indptr[:-1], np.diff(histories.indptr))
    limits = np.repeat(random.integers(1, _THIN + 1, histories.shape[0]), np.diff(histories.indptr))
    kept = np.sort(order[place < limits])
    starts = np.searchsorted(kept, histories.indptr)
    short = sparse.csr_matrix((histories.data[kept], histories.indices[kept], starts), shape=histories.shape)
    short.sort_indices()
    return short


def _pieces(blend: Blend, question: Question, scale: Trust, random: np.random.Generator) -> Iterator[Lists]:
    step = max(1, _SCORES_AT_ONCE // (len(blend.items) * max(1, len(blend.rankers))))
    items = scale.items(blend.item_counts, blend.strength)
    for start in range(0, len(question.histories), step):
        part = slice(start, min(start + step, len(question.histories)))
        vectors = tuple(vector[part] for vector in question.vectors)
        scores, speaking = blend.standard_scores(vectors, [NO_CONTEXT] * (part.stop - part.start))
        barred, chosen = question.barred[part].toarray() > 0, question.chosen[part].toarray() > 0
        closed = barred | ~question.allowed
        chosen &= ~closed
        listed = _listed(scores, closed, chosen, random)
        chosen &= listed
        listed[~chosen.any(axis=1)] = False
        rows, columns = np.nonzero(listed)
        if not len(rows):
            continue
        z = scores[:, rows, columns]
        users = scale.users(question.histories[part])
        found = terms(z, z > -np.inf, speaking[:, rows], users[rows], items[columns], blend.item_counts[columns])
        lengths = listed.sum(axis=1)
        whose, lengths = question.users[part][lengths > 0], lengths[lengths > 0]
        importance = np.full(len(lengths), question.importance)
        yield Lists(found, chosen[rows, columns], np.concatenate([[0], lengths.cumsum()[:-1]]), importance, whose)


def _listed(
    scores: npt.NDArray[np.float32],
    closed: npt.NDArray[np.bool_],
    chosen: npt.NDArray[np.bool_],
    random: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Which items are in each row's list: the best of each part, and some of the others that were not chosen.

    What was chosen beyond the best is in no list: no weights would bring it among the first.
    """
    listed = np.zeros_like(chosen)
    best = min(_BEST, scores.shape[2])
    for part in scores:
        open_ = np.where(closed, -np.inf, part)
        top = np.argpartition(open_, scores.shape[2] - best, axis=1)[:, -best:]
        rows, places = np.nonzero(np.take_along_axis(open_, top, axis=1) > -np.inf)
        listed[rows, top[rows, places]] = True
    others = np.zeros_like(listed)
    others[np.repeat(np.arange(len(listed)), _OTHERS), random.integers(0, listed.shape[1], len(listed) * _OTHERS)] = (
        True
    )
    return listed | (others & ~(closed | chosen))
