"""Why, in more words: the items of a user's history that a recommended one is like, and what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np

from palate.dataset.ids import Codes
from services.recommender.served import Served
from services.recommender.strategies import Place, Question

_NAMED = 3
_HISTORY = 200
"""How many items of a history are looked at, the latest first."""
_BY_HISTORY = frozenset({"personal", "fold-in", "content"})


class Explainer:
    """Explains the places of one answer."""

    def __init__(self, served: Served, asked: Question) -> None:
        self._served, self._asked = served, asked

    def why(self, place: Place) -> dict[str, Any]:
        """What the strategy says of the place, and because of which items, categories and tags it came up.

        The items are those of the history with the largest cosine to the place's, of the learned vectors; where
        nothing was learned, those that share the most categories and tags.
        """
        code, _, strategy = place
        told = dict(strategy.why(self._served, self._asked, code))
        if strategy.name in _BY_HISTORY:
            likest = self._likest(code)
            if likest:
                told["items"] = [self._served.catalogue.entries[each]["item"] for each in likest]
            tally = self._tally
        elif strategy.name == "similar" and self._asked.item is not None:
            tally = self._traits([self._served.catalogue.ids.code(self._asked.item)])
        else:
            return told
        for name, own in (("categories", self._categories(code)), ("tags", self._served.catalogue.tags[code])):
            common = sorted((each for each in own if tally[name, each]), key=lambda each: -tally[name, each])
            if common:
                told[name] = common[:_NAMED]
        return told

    def _categories(self, code: int) -> Sequence[str]:
        names: list[str] = self._served.catalogue.entries[code]["categories"]
        return names

    def _traits(self, codes: Sequence[int]) -> Counter[tuple[str, str]]:
        """How many of the items are in each category and have each tag."""
        counts = Counter(("categories", name) for code in codes if code >= 0 for name in self._categories(code))
        counts.update(("tags", name) for code in codes if code >= 0 for name in self._served.catalogue.tags[code])
        return counts

    @cached_property
    def _history(self) -> Codes:
        recent = self._served.catalogue.ids.encode(self._asked.recent[:_HISTORY])
        trained = self._served.seen(self._asked.code) if self._asked.code >= 0 else recent[:0]
        codes = np.array(list(dict.fromkeys([*recent.tolist(), *trained.tolist()])), np.int32)
        return codes[codes >= 0][:_HISTORY]

    @cached_property
    def _tally(self) -> Counter[tuple[str, str]]:
        stated = Counter({("categories", name): 1 for name in self._asked.categories})
        stated.update({("tags", name): 1 for name in self._asked.tags})
        return stated + self._traits(self._history.tolist())

    @cached_property
    def _vectors(self) -> Any:
        return self._served.vectors(self._history.tolist())

    def _likest(self, code: int) -> list[int]:
        if not len(self._history):
            return []
        likeness = self._vectors @ self._served.vectors([code])[0]
        if not likeness.any():
            own = set(self._traits([code]))
            likeness = np.array([len(own & set(self._traits([each]))) for each in self._history.tolist()])
        order = np.argsort(-likeness, kind="stable")[:_NAMED]
        return [int(self._history[at]) for at in order if likeness[at] > 0]
