"""Ratings as a sparse matrix stored twice, by user and by item, built without ever being held a third time.

Ratings arrive in pieces, 12 bytes each (two codes, a value). The matrix by item takes their place, 8 bytes each, made
in two steps so that each lets go of what it has used; from it comes the one by user, and from that the one by item
anew, in the same memory: so both have their columns in ascending order, whatever order the ratings came in. At the
peak 16 bytes per rating are held, twice what one of the two matrices takes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

Codes = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]
Starts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Side:
    """CSR: row `i` holds `columns[starts[i]:starts[i + 1]]`, ascending, and the `values` beside them."""

    starts: Starts
    columns: Codes
    values: Floats

    def __len__(self) -> int:
        return len(self.starts) - 1

    def counts(self, *, above_zero: bool = False) -> npt.NDArray[np.int64]:
        """How many values each row has, or how many above 0."""
        if not above_zero:
            return np.diff(self.starts)
        positive = np.concatenate([[0], np.cumsum(self.values > 0, dtype=np.int64)])
        return np.diff(positive[self.starts])


@dataclass(frozen=True)
class Ratings:
    """Both sides of the same ratings. A pair that was rated several times is there several times."""

    by_user: Side
    by_item: Side

    def __len__(self) -> int:
        return len(self.by_user.values)

    def matrix(self) -> sparse.csr_matrix:
        """`(n_users, n_items)`, sharing memory with `by_user`: not to be written to. A pair may be there twice."""
        side = self.by_user
        starts = side.starts if len(self) > np.iinfo(np.int32).max else side.starts.astype(np.int32)
        made = sparse.csr_matrix((side.values, side.columns, starts), shape=(len(side), len(self.by_item)), copy=False)
        made.has_sorted_indices = True
        return made

    def summed(self) -> sparse.csr_matrix:
        """`(n_users, n_items)`, the ratings of a pair added up; not to be written to."""
        made = self.matrix()
        if made.has_canonical_format:  # no pair is there twice
            return made
        made = made.copy()  # to sum in place would move the columns of `by_user`, and not its starts
        made.sum_duplicates()
        return made

    @classmethod
    def from_pieces(
        cls, users: list[Codes], items: list[Codes], values: list[Floats], n_users: int, n_items: int
    ) -> Ratings:
        """From pieces of equal lengths, each list emptied as its pieces are used; codes lie in [0, n)."""
        from palate.kernels.ratings_loops import count, turn

        starts = np.zeros(n_items + 1, np.int64)
        for piece in items:
            count(piece, starts)
        np.cumsum(starts, out=starts)
        total = int(starts[-1])
        rows: Codes = np.empty(total, np.int32)
        _place(items, users, starts, rows)
        held: Floats = np.empty(total, np.float32)
        _place(items, values, starts, held)
        items.clear()
        by_item = Side(starts, rows, held)
        counts = np.zeros(n_users + 1, np.int64)
        count(rows, counts)
        by_user = Side(np.cumsum(counts), np.empty(total, np.int32), np.empty(total, np.float32))
        for source, to in ((by_item, by_user), (by_user, by_item)):
            turn(source.starts, source.columns, source.values, to.starts[:-1].copy(), to.columns, to.values)
        return cls(by_user, by_item)

    @classmethod
    def from_matrix(cls, matrix: sparse.csr_matrix) -> Ratings:
        """From a CSR matrix `(n_users, n_items)`."""
        pieces = np.repeat(np.arange(matrix.shape[0], dtype=np.int32), np.diff(matrix.indptr))
        return cls.from_pieces(
            [pieces], [matrix.indices.astype(np.int32)], [matrix.data.astype(np.float32)], *matrix.shape
        )


def _place(keys: list[Codes], pieces: list[Any], starts: Starts, target: npt.NDArray[Any]) -> None:
    """Puts what the pieces hold where their keys begin, and empties the list."""
    from palate.kernels.ratings_loops import place

    at = starts[:-1].copy()
    for index, piece in enumerate(pieces):
        place(keys[index], piece, at, target)
        pieces[index] = piece[:0].copy()
    pieces.clear()
