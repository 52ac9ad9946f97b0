"""Histories in order, and the windows of them that a next-item model learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import Codes, IdMap, Ids
from palate.dataset.schema import Interactions
from palate.models.protocol import Histories

Places = npt.NDArray[np.int64]

PADDING = -1


@dataclass(frozen=True)
class Ordered:
    """Histories one after the other, each from the oldest item to the newest.

    codes: `(n,) int32`, none of them unknown. starts: `(n_histories + 1,) int64`, where each begins.
    """

    codes: Codes
    starts: Places

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def lengths(self) -> Places:
        return np.diff(self.starts)

    @classmethod
    def of_interactions(cls, interactions: Interactions, codes: Codes) -> Ordered:
        """By time where there are times; rows of one second, or all without times, stay in the order given.

        codes: of each row's item; rows whose code is unknown, or whose weight is zero or less, stay out.
        """
        held = codes >= 0
        if interactions.weights is not None:
            held &= interactions.weights > 0
        users, times = interactions.user_codes[held], interactions.timestamps
        order = np.lexsort((users,) if times is None else (times[held], users))
        counts = np.bincount(users, minlength=interactions.n_users)
        return cls(codes[held][order], np.concatenate([[0], np.cumsum(counts)]))

    @classmethod
    def of_lists(cls, histories: Sequence[Ids], items: IdMap) -> Ordered:
        """Lists of item ids, oldest first; unknown ones stay out."""
        found = [items.encode(history) for history in histories]
        found = [codes[codes >= 0] for codes in found]
        starts = np.concatenate([[0], np.cumsum([len(codes) for codes in found], dtype=np.int64)])
        return cls(np.concatenate([*found, np.empty(0, np.int32)]), starts)

    @classmethod
    def of(cls, histories: Histories, items: IdMap) -> Ordered:
        """What `fold_in_users` takes, over these items; unknown ones stay out."""
        if isinstance(histories, Interactions):
            return cls.of_interactions(histories, items.encode(histories.items.ids)[histories.item_codes])
        return cls.of_lists(histories, items)

    def without(self, dropped: npt.NDArray[np.bool_]) -> Ordered:
        """Without the entries of a mask `(n,)`."""
        kept = np.concatenate([[0], np.cumsum(~dropped)])
        return Ordered(self.codes[~dropped], kept[self.starts])

    def before_last(self, chosen: npt.NDArray[np.bool_]) -> Ordered:
        """The histories without the newest item of those chosen, `(n_histories,)`; each of those has one."""
        dropped = np.zeros(len(self.codes), dtype=bool)
        dropped[self.starts[1:][chosen] - 1] = True
        return self.without(dropped)

    def newest(self, length: int) -> Codes:
        """The last `length` items of each at most, oldest first, padded behind: `(n_histories, longest) int32`."""
        counts = np.minimum(self.lengths, length)
        return self.rows(self.starts[1:] - counts, counts)

    def rows(self, starts: Places, lengths: Places) -> Codes:
        """Stretches of `codes` as rows padded behind, `(n, longest) int32`."""
        steps = np.arange(int(lengths.max(initial=0)))
        inside = steps < lengths[:, None]
        found: Codes = np.full(inside.shape, PADDING, np.int32)
        found[inside] = self.codes[(starts[:, None] + steps)[inside]]
        return found

    def windows(self, length: int, random: np.random.Generator) -> tuple[Places, Places]:
        """Starts and lengths of stretches of at most `length` items that each have a next one, in random order.

        Together they cover every item that has a next one, once. A history that does not fit into one stretch is cut
        at places that differ from call to call, so that each item is met with much and with little before it.
        """
        inputs = self.lengths - 1
        long = inputs > length
        first = np.where(long, random.integers(1, length + 1, len(inputs)), np.maximum(inputs, 0))
        pieces = np.where(inputs > 0, 1 + -(-(inputs - first) // length), 0)
        history = np.repeat(np.arange(len(inputs)), pieces)
        place = np.arange(len(history)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        begin = np.where(place == 0, 0, first[history] + (place - 1) * length)
        end = np.minimum(first[history] + place * length, inputs[history])
        order = random.permutation(len(history))
        return (self.starts[:-1][history] + begin)[order], (end - begin)[order]
