"""What people like who say who they are: from attributes of users to scores of items, for somebody without a history.

The expected factors of a user, ridge regression of the factors of the known users on their attributes, move the
ranking away from popularity. Popularity within the users of one attribute is what this does with one attribute, no
penalty and all factors; with several of them and few users of each combination, the regression is what can still tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.dataset.schema import Users
from palate.features.facts import Facts, read_facts
from palate.models.cold.weights import Judge
from palate.models.protocol import Context

Floats = npt.NDArray[np.float32]

_PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0)
_RANKS = (4, 16, 64, 256)
_HIDDEN = 0.2
_FEWEST = 10
"""Fewer users with attributes teach nothing of others."""
_MOST_JUDGED = 2000


@dataclass(frozen=True)
class Taste:
    """facts: of the users. mean: of their labels, `(width,)`. weights: `(width, factors) float32`, from labels to
    factors, beyond their mean. shares: `(n_items,) float32`, how many of all users touched each item."""

    facts: Facts
    mean: Floats
    weights: Floats
    shares: Floats

    def factors(self, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        """How far the expected factors of users lie from the mean user's, `(n, factors)`; of whom anything is known."""
        labels, _ = self.facts.encode([facts_of_context(context) for context in contexts])
        return np.asarray(labels @ self.weights - self.mean @ self.weights), np.diff(labels.indptr) > 0


def fit_taste(histories: sparse.csr_matrix, basis: Floats, rows: list[dict[str, Any]], seed: int) -> Taste | None:
    """From users with a history `(n_users, n_items)` and what is known of each; None if that says nothing.

    basis: `(n_items, factors)`. The penalty and the number of factors that count are those that rank best for a fifth
    of the users, left out.
    """
    active = np.flatnonzero((np.diff(histories.indptr) > 0) & np.array([bool(row) for row in rows], dtype=bool))
    if len(active) < _FEWEST:
        return None
    facts = Facts.fit([rows[user] for user in active])
    labels, _ = facts.encode([rows[user] for user in active])
    if labels.nnz == 0:
        return None
    matrix = sparse.csr_matrix(histories[active])
    factors = np.asarray(matrix @ basis)
    order = np.random.default_rng(seed).permutation(len(active))
    n_hidden = int(len(active) * _HIDDEN)
    hidden, shown = np.sort(order[:n_hidden][:_MOST_JUDGED]), np.sort(order[n_hidden:])
    judge = Judge.of(matrix[hidden])
    shares = np.asarray(matrix[shown].mean(axis=0)).ravel()
    best, penalty, rank = -1.0, _PENALTIES[0], 0
    for tried in _PENALTIES:
        weights, mean = _solved(labels[shown], factors[shown], tried)
        moved = labels[hidden] @ weights - mean @ weights
        for count in (each for each in _RANKS if each < 2 * basis.shape[1]):
            got = judge(shares + moved[:, :count] @ basis[:, :count].T)
            if got > best:
                best, penalty, rank = got, tried, count
    weights, mean = _solved(labels, factors, penalty)
    weights[:, rank:] = 0
    return Taste(facts, mean, weights, np.asarray(matrix.mean(axis=0), dtype=np.float32).ravel())


def aligned_users(users: Users, ids: IdMap) -> Users:
    """The table's rows in the order of other ids, empty for those it lacks."""
    codes = users.ids.encode(ids.ids)
    return Users(ids, users.table.take(pa.array(codes.astype(np.int64), mask=codes < 0)))


def facts_of_users(users: Users) -> list[dict[str, Any]]:
    """Attributes of each, with the stated categories and tags among them."""
    rows = read_facts(users.table["attributes"].to_pylist(), "users")
    for name in ("categories", "tags"):
        for row, held in zip(rows, users.lists(name), strict=True):
            if held:
                row[name] = held
    return rows


def facts_of_context(context: Context) -> dict[str, Any]:
    """The same of a request."""
    found = read_facts([context.attributes or None], "context")[0]
    for name, held in (("categories", context.categories), ("tags", context.tags)):
        if held:
            found[name] = list(held)
    return found


def _solved(labels: sparse.csr_matrix, factors: Floats, penalty: float) -> tuple[Floats, Floats]:
    mean = np.asarray(labels.mean(axis=0)).ravel()
    n = labels.shape[0]
    gram = (labels.T @ labels).toarray().astype(np.float64) - n * np.outer(mean, mean)
    gram[np.diag_indices_from(gram)] += penalty
    right = labels.T @ factors - n * np.outer(mean, factors.mean(axis=0))
    return np.linalg.solve(gram, right).astype(np.float32), mean.astype(np.float32)
