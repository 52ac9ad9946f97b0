"""From a ranking to the list that is shown: diversity, at most so many per category, pinned items at their places.

Every step keeps what it has decided for the places before, so that a longer list begins with the shorter one, and
pages fit together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from services.recommender.rules import Rules
from services.recommender.served import Served
from services.recommender.strategies import PINNED, STRATEGIES, Place, Question, Strategy, answer

DIVERSE = 500
"""How many of the best are put into another order for diversity; what follows stays as ranked."""


def chosen(
    served: Served, asked: Question, rules: Rules, n: int, strategies: Sequence[Strategy] = STRATEGIES
) -> list[Place]:
    """The first `n` places of the list. Writes to `rules.barred`."""
    if rules.plain:
        return answer(served, asked, rules.barred, n, strategies)
    rules.barred[[code for _, code in rules.pins]] = True
    pool = max(n, DIVERSE) if rules.diversity else n if rules.max_per_category is None else 4 * n
    while True:
        ranked = answer(served, asked, rules.barred.copy(), pool, strategies, rules.factors)
        found = _shown(served, ranked, rules, n)
        if len(found) >= n or len(ranked) < pool:
            return found
        pool *= 4


def _shown(served: Served, ranked: list[Place], rules: Rules, n: int) -> list[Place]:
    """Ranked places, and the pinned ones between them; a pin beyond the end of the list comes last."""
    entries, most = served.catalogue.entries, rules.max_per_category
    pins = dict(rules.pins)
    counts: Counter[str] = Counter(name for code in pins.values() for name in entries[code]["categories"])
    rest = _diverse(served, ranked, rules.diversity) if rules.diversity else iter(ranked)
    found: list[Place] = []
    while len(found) < n:
        code = pins.pop(len(found) + 1, None)
        if code is not None:
            found.append((code, None, PINNED))
            continue
        for place in rest:
            categories = entries[place[0]]["categories"]
            if most is None or all(counts[name] < most for name in categories):
                counts.update(categories)
                found.append(place)
                break
        else:
            found.extend((pins[position], None, PINNED) for position in sorted(pins))
            return found[:n]
    return found


def _diverse(served: Served, ranked: list[Place], diversity: float) -> Iterator[Place]:
    """Maximal marginal relevance: each next place is good itself and unlike those before it.

    `(1 - diversity) * relevance - diversity * (greatest likeness to a place before)`, where relevance falls evenly
    from 1 at the first place to 0: scores of different strategies do not compare. Carbonell and Goldstein, "The Use
    of MMR, Diversity-Based Reranking", SIGIR 1998.
    """
    head = ranked[:DIVERSE]
    likeness = _Likeness(served, [code for code, _, _ in head])
    relevance = (1 - diversity) * (1 - np.arange(len(head)) / max(1, len(head)))
    nearest: npt.NDArray[np.float64] = np.zeros(len(head))
    for _ in head:
        best = int(np.argmax(relevance - diversity * nearest))
        yield head[best]
        relevance[best] = -np.inf
        nearest = np.maximum(nearest, likeness.to(best))
    yield from ranked[DIVERSE:]


class _Likeness:
    """How alike items are, 0 to 1: the cosine of what the model learned of them, where it is above 0; by the share of
    common categories (Jaccard) where it learned nothing of either."""

    def __init__(self, served: Served, codes: list[int]) -> None:
        self._vectors = served.vectors(codes)
        self._learned: npt.NDArray[np.bool_] = np.asarray(self._vectors.any(axis=1))
        names = sorted({name for code in codes for name in served.catalogue.entries[code]["categories"]})
        at = {name: place for place, name in enumerate(names)}
        self._categories: npt.NDArray[np.float32] = np.zeros((len(codes), len(names)), np.float32)
        for row, code in enumerate(codes):
            self._categories[row, [at[name] for name in served.catalogue.entries[code]["categories"]]] = 1
        self._sizes = self._categories.sum(axis=1)

    def to(self, row: int) -> npt.NDArray[np.float64]:
        """Of all items to one, `(n,)`."""
        common = self._categories @ self._categories[row]
        shared = common / np.maximum(self._sizes + self._sizes[row] - common, 1)
        if not self._learned[row]:
            return np.asarray(shared, np.float64)
        cosines = np.clip(self._vectors @ self._vectors[row], 0, 1)
        return np.where(self._learned, cosines, shared).astype(np.float64)
