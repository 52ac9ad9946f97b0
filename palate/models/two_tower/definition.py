"""What is trained, whatever engine trains it: the towers, where they start, and the batches, from one generator.

The objective is the softmax over the items of a batch, corrected for how often each item comes (Yi and others,
"Sampling-Bias-Corrected Neural Modeling for Large Corpus Item Recommendations", RecSys 2019); the towers over content
are those of DSSM (Huang and others, "Learning Deep Structured Semantic Models for Web Search using Clickthrough Data",
CIKM 2013).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.models.epochs import Parameters

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int32]

SIDES = ("item", "user")


@dataclass(frozen=True)
class Definition:
    """Both towers are alike: with x the input of an item or a user, `out = A x + B max(0, W x + b)`.

    The score of a user and an item is `u.v + c`, where v and c are the item's output (c its last number) and u the
    user's. The loss of a row of a batch is the cross-entropy of its item among the items of the batch by the scores
    less ln q, q being the item's share of all rows; items that the user has touched, too, are left out. Adam moves the
    parameters by the mean over the batch plus `regularization` times the squared length of W and B.
    """

    item_inputs: int
    user_inputs: int
    hidden: int
    factors: int
    regularization: float

    def start(self, rng: np.random.Generator) -> Parameters:
        """The parameters before training."""
        made: Parameters = {}
        for side, inputs, outputs in (
            ("item", self.item_inputs, self.factors + 1),
            ("user", self.user_inputs, self.factors),
        ):
            made[f"{side}_linear"] = _normal(rng, (outputs, inputs), 1 / np.sqrt(max(inputs, 1)))
            made[f"{side}_hidden"] = _normal(rng, (self.hidden, inputs), np.sqrt(2 / max(inputs, 1)))
            made[f"{side}_bias"] = np.zeros(self.hidden, np.float32)
            made[f"{side}_output"] = _normal(rng, (outputs, self.hidden), 0.1 / np.sqrt(self.hidden))
        return made


def tower(parameters: Parameters, side: str, inputs: Floats) -> Floats:
    """The outputs of `(n, inputs)` rows, in NumPy alone, as every loaded model computes them."""
    hidden = np.asarray(inputs @ parameters[f"{side}_hidden"].T, np.float32)
    hidden += parameters[f"{side}_bias"]
    np.maximum(hidden, 0, out=hidden)
    found = np.asarray(inputs @ parameters[f"{side}_linear"].T, np.float32)
    found += hidden @ parameters[f"{side}_output"].T
    return found


@dataclass(frozen=True)
class Batch:
    """users, items: inputs, `(n, ...) float32`. log_share: of each item, `(n,) float32`. clash: `(n, n) float32`, 1
    where the row's user has touched the column's item, except its own."""

    users: Floats
    items: Floats
    log_share: Floats
    clash: Floats


@dataclass(frozen=True)
class Batches:
    """Epochs over interactions.

    seen: `(n_users, n_items)` binary CSR. inputs: of the items, `(n_items, item_inputs)`. about: what is known of the
    users beside their histories, `(n_users, width)`. dropout: the share of inputs that is left out, others growing.
    """

    seen: sparse.csr_matrix
    inputs: Floats
    about: sparse.csr_matrix
    batch_size: int
    dropout: float
    rng: np.random.Generator

    def __len__(self) -> int:
        return int(self.seen.nnz)

    def epoch(self) -> Iterator[Batch]:
        """All interactions once, in a new order. The user's input leaves the row's own item out of the history."""
        users = np.repeat(np.arange(self.seen.shape[0]), np.diff(self.seen.indptr))
        items = self.seen.indices
        sums = np.asarray(self.seen @ self.inputs)
        lengths = np.diff(self.seen.indptr)
        shares = np.log(np.bincount(items, minlength=self.seen.shape[1]) / len(items) + 1e-12).astype(np.float32)
        order = self.rng.permutation(len(users))
        about = self.about.toarray() if self.about.shape[1] else np.empty((self.seen.shape[0], 0), np.float32)
        for start in range(0, len(order), self.batch_size):
            part = order[start : start + self.batch_size]
            mine, theirs = users[part], items[part]
            inputs = self.inputs[theirs]
            rest = lengths[mine] - 1
            histories = (sums[mine] - inputs) / np.maximum(rest, 1)[:, None]
            yield Batch(
                user_inputs(self._dropped(histories), rest, about[mine]),
                self._dropped(inputs),
                shares[theirs],
                self._clashes(mine, theirs),
            )

    def _clashes(self, users: npt.NDArray[np.integer], items: Codes) -> Floats:
        """1 where the row's user has touched the column's item, except on the diagonal, `(n, n)`."""
        different, columns = np.unique(items, return_inverse=True)
        places = np.full(self.seen.shape[1], -1, np.int32)
        places[different] = np.arange(len(different), dtype=np.int32)
        rows = self.seen[users]
        found = places[rows.indices]
        touched = np.zeros((len(users), len(different)), np.float32)
        touched[np.repeat(np.arange(len(users)), np.diff(rows.indptr))[found >= 0], found[found >= 0]] = 1
        clash = touched[:, columns]
        np.fill_diagonal(clash, 0)
        return clash

    def _dropped(self, inputs: Floats) -> Floats:
        if self.dropout == 0:
            return inputs.astype(np.float32)
        kept = self.rng.random(inputs.shape, dtype=np.float32) >= self.dropout
        return np.asarray(inputs * kept / np.float32(1 - self.dropout), dtype=np.float32)


def user_inputs(means: Floats, lengths: npt.NDArray[np.integer], about: Floats) -> Floats:
    """What the users' tower sees: the mean input of the history, how long it is, and what else is known."""
    known = np.column_stack([lengths > 0, np.log1p(lengths)])
    return np.column_stack([means, known, about]).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...], deviation: float) -> Floats:
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
