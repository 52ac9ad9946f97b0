"""The strategies, in their order: the first that knows something fills the list, the next ones what it leaves open.

Each says its name and why it chose an item, so that a fallback is never silent. To add one, write a class with
`name`, `rank` and `why`, and put it into STRATEGIES.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from palate.models.protocol import Capability, Context, UserVectors
from services.recommender.ranker import Mask, Ranked, Ranker
from services.recommender.served import Served

Why = dict[str, Any]
_AHEAD = 128
"""So many more of a ranking are looked at first than are wanted: about what a user has seen."""
_NAMED = 3
"""How many items or categories a `why` names at most."""


@dataclass(frozen=True)
class Question:
    """What is asked, after the request is understood.

    user: their id, or None; code: the personal model's code of them, -1 if it does not know them.
    recent: item ids, newest first: events since the training, and what the request itself tells.
    item: the item on the page. categories, tags: stated preferences. segment: the user's. attributes: what is stored
    of the user besides, one JSON object as text, empty for nothing.
    """

    user: str | None = None
    code: int = -1
    recent: tuple[str, ...] = ()
    item: str | None = None
    categories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    segment: int | None = None
    now: float | None = None
    attributes: str = ""

    @property
    def context(self) -> Context:
        return Context(self.categories, self.tags, self.segment, self.now, self.attributes)

    @property
    def states(self) -> bool:
        """Whether anything is told of the user beside what they did."""
        return bool(self.categories or self.tags or self.attributes)


class Strategy(Protocol):
    """alike: whether `why` says the same of each item of an answer."""

    name: str
    alike: bool

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        """The `n` best items that are not barred, or None if this strategy has nothing to go by."""
        ...

    def why(self, served: Served, asked: Question, code: int) -> Why:
        """Because of what it chose the item."""
        ...


def _fresh(served: Served, asked: Question) -> list[str]:
    """Recent items that the personal model knows and the user's training history lacks."""
    if not asked.recent:
        return []
    seen = set(served.seen(asked.code).tolist()) if asked.code >= 0 else set()
    known = served.personal.history(asked.recent)
    return [str(item) for item in known if served.catalogue.ids.code(item) not in seen]


def _history(ranker: Ranker, served: Served, asked: Question) -> UserVectors | None:
    """All that the user has touched, in training and since, folded in; None if the model knows none of it.

    Oldest first, as models read it to which the order matters: what was trained, then what is recent, newest last.
    """
    history = [str(item) for item in dict.fromkeys(ranker.history(asked.recent))][::-1]
    if not history or not ranker.can(Capability.FOLD_IN_USERS):
        return None
    if asked.code >= 0:
        trained = served.catalogue.ids.decode(served.seen(asked.code))
        recent = set(history)
        history = [item for item in map(str, trained) if item not in recent] + history
    return ranker.model.fold_in_users([history])


def _by_what_is_stated(ranker: Ranker, asked: Question, barred: Mask, n: int) -> Ranked | None:
    """The best for somebody without a history; None if the model makes nothing of what is told of them."""
    nobody = ranker.model.fold_in_users([[]]) if ranker.can(Capability.FOLD_IN_USERS) else -1
    return ranker.best(nobody, n, barred, asked.context)


class Personal:
    """What the model learned of a user. Steps aside for fold-in once there are events it has not seen."""

    name = "personal"
    alike = True

    def answers(self, served: Served, asked: Question) -> bool:
        """Whether the model knows the user, and of nothing they did since."""
        if asked.code < 0 or asked.user is None or not served.personal.can(Capability.PERSONAL):
            return False
        return not (asked.recent and served.personal.can(Capability.FOLD_IN_USERS) and _fresh(served, asked))

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        if not self.answers(served, asked):
            return None
        return served.personal.best(asked.code, n, barred, asked.context)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return _BY_HISTORY


class FoldIn:
    """The user's history with the events since the training, folded into the model at once."""

    name = "fold-in"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        if not asked.recent:
            return None
        vectors = _history(served.personal, served, asked)
        return None if vectors is None else served.personal.best(vectors, n, barred, asked.context)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        known = served.personal.history(asked.recent[: _NAMED * 4])[:_NAMED]
        return {"because": "recent items", "items": _as_shown(served, known)}


class Stated:
    """What the model learned of people who are like the user by their attributes, whom it does not know otherwise."""

    name = "attributes"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        if not asked.attributes or asked.code >= 0 or not served.personal.can(Capability.ATTRIBUTES):
            return None
        return _by_what_is_stated(served.personal, asked, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "attributes"}


class Content:
    """What items are about, against the user's recent items and stated preferences."""

    name = "content"
    alike = False

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        if served.content is None:
            return None
        vectors = _history(served.content, served, asked)
        if vectors is not None:
            return served.content.best(vectors, n, barred, asked.context)
        if not asked.states or not served.content.can(Capability.ATTRIBUTES):
            return None
        return _by_what_is_stated(served.content, asked, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        own = served.catalogue.entries[code]["categories"]
        wanted = set(asked.categories)
        recent = [c for c in (served.catalogue.ids.code(item) for item in asked.recent[:50]) if c >= 0]
        for each in recent:
            wanted.update(served.catalogue.entries[each]["categories"])
        why: Why = {"because": "content", "categories": [name for name in own if name in wanted][:_NAMED]}
        if recent:
            why["items"] = [served.catalogue.entries[each]["item"] for each in recent[:_NAMED]]
        return why


class Similar:
    """Items like the one on the page."""

    name = "similar"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        return None if asked.item is None else similar(served, asked.item, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "similar item", "items": _as_shown(served, [asked.item])}


class PopularInSegment:
    """What users of the same segment like."""

    name = "popular-in-segment"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        if asked.segment is None:
            return None
        ranked = served.segments.ranked(asked.segment)
        return None if ranked is None else _free(ranked, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "popular in segment", "segment": asked.segment}


class Popular:
    """What everybody likes: the last resort, which always has an answer."""

    name = "popular"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        return _free(served.popular, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return _BY_POPULARITY


_BY_HISTORY: Why = {"because": "history"}
_BY_POPULARITY: Why = {"because": "popular"}

PERSONAL = Personal()
STRATEGIES: tuple[Strategy, ...] = (PERSONAL, FoldIn(), Stated(), Content(), Similar(), PopularInSegment(), Popular())


class Latest:
    """The newest items, for the list of them; the score is when each appeared."""

    name = "latest"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        order = served.catalogue.latest
        codes = order[~barred[order]][:n]
        return codes, served.catalogue.timestamps[codes]

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "new"}


class Trending:
    """What is done more often lately than usual, for the list of it."""

    name = "trending"
    alike = True

    def __init__(self, ranked: Ranked) -> None:
        self._ranked = ranked

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        return _free(self._ranked, barred, n)

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "trending"}


class _Pinned:
    """A rule of the shop put the item where it stands."""

    name = "pinned"
    alike = True

    def rank(self, served: Served, asked: Question, barred: Mask, n: int) -> Ranked | None:
        return None

    def why(self, served: Served, asked: Question, code: int) -> Why:
        return {"because": "pinned"}


PINNED: Strategy = _Pinned()
Place = tuple[int, float | None, Strategy]
"""An item's code, its score (a pinned item has none), and which strategy chose it."""


def answer(
    served: Served,
    asked: Question,
    barred: Mask,
    n: int,
    strategies: Sequence[Strategy] = STRATEGIES,
    factors: npt.NDArray[np.float32] | None = None,
) -> list[Place]:
    """The `n` best items over all strategies in order. `barred` is written to: what one chose, the next leaves out.

    factors: `(n_served,)`; each strategy's scores are boosted by them before its best are taken.
    """
    found: list[Place] = []
    for strategy in strategies:
        wanted = n - len(found)
        width = wanted if factors is None else max(1, len(barred) - int(np.count_nonzero(barred)))
        ranked = strategy.rank(served, asked, barred, width)
        if ranked is None or not len(ranked[0]):
            continue
        codes, scores = ranked if factors is None else _boosted(ranked, factors, wanted)
        found.extend(zip(codes.tolist(), scores.tolist(), [strategy] * len(codes), strict=True))
        if len(found) >= n:
            break
        barred[codes] = True
    return found


def _boosted(ranked: Ranked, factors: npt.NDArray[np.float32], n: int) -> Ranked:
    """The `n` best once a score above zero is multiplied by its item's factor, and one below divided by it.

    So a factor above 1 always lifts, one below 1 always lowers, and the two undo each other.
    """
    codes, scores = ranked
    factor = factors[codes]
    scores = np.where(scores >= 0, scores * factor, scores / factor)
    order = np.argsort(-scores, kind="stable")[:n]
    return codes[order], scores[order]


def similar(served: Served, item: str, barred: Mask, n: int) -> Ranked | None:
    """Items like one, by what users did if the model knows that of it, else by content; None if neither does."""
    code = served.catalogue.ids.code(item)
    if code >= 0 and not barred[code]:
        barred = barred.copy()
        barred[code] = True
    learned = len(served.release.model.items)
    for ranker, holds in ((served.personal, 0 <= code < learned), (served.content, code >= 0)):
        if ranker is not None and holds and ranker.can(Capability.SIMILAR_ITEMS) and ranker.history([item]):
            found = _alike(ranker.similar(item, n, barred))
            if len(found[0]):
                return found
    return None


def _alike(ranked: Ranked) -> Ranked:
    """Those with a score above zero: without anything in common, nothing was chosen for its content."""
    codes, scores = ranked
    return codes[scores > 0], scores[scores > 0]


def _free(ranked: Ranked, barred: Mask, n: int) -> Ranked:
    """The first `n` of a full ranking that are not barred."""
    codes, scores = ranked
    width = 2 * n + _AHEAD
    while True:
        at = np.flatnonzero(~barred[codes[:width]])[:n]
        if len(at) == n or width >= len(codes):
            return codes[at], scores[at]
        width *= 8


def _as_shown(served: Served, items: Sequence[Any]) -> list[Any]:
    """The ids as answers show them: of the catalogue's type."""
    codes: list[int] = [served.catalogue.ids.code(item) for item in items]
    return [entry["item"] for entry in served.catalogue.entries.of(code for code in codes if code >= 0)]
