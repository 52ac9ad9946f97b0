"""From an understood request to the answer's JSON: what is barred, which question the strategies get, what is shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import Any

from services.recommender.about import no_item, serving
from services.recommender.bodies import ItemsPage, RecommendBody, Seen, SegmentPage
from services.recommender.live import Live
from services.recommender.rerank import chosen
from services.recommender.rules import Rules, applied, bar
from services.recommender.served import Served
from services.recommender.store import UserState
from services.recommender.strategies import (
    STRATEGIES,
    Latest,
    Place,
    Popular,
    PopularInSegment,
    Question,
    Similar,
    Strategy,
)

Json = dict[str, Any]
_NOBODY = UserState()
_POPULAR: tuple[Strategy, ...] = (PopularInSegment(), Popular())
_LATEST: tuple[Strategy, ...] = (Latest(),)
_SIMILAR: tuple[Strategy, ...] = (Similar(),)


def recommend(live: Live, asked: RecommendBody) -> Json:
    """Recommendations for a user, or for a visitor of whom only the request tells."""
    served = serving(live)
    state = _NOBODY if asked.user is None else live.users.get(asked.user)
    question = _question(served, asked, state)
    rules = applied(served.catalogue, asked, live.rules)
    _bar_seen(live, served, rules, asked, question, state)
    if asked.item is not None and (code := served.catalogue.ids.code(asked.item)) >= 0:
        rules.unpin(code)
    return _answered(served, question, rules, asked.offset, asked.limit)


def popular(live: Live, asked: SegmentPage) -> Json:
    """What most people like, or those of a segment."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    return _answered(served, Question(segment=asked.segment), rules, asked.offset, asked.limit, _POPULAR)


def similar(live: Live, item: str, asked: ItemsPage) -> Json:
    """Items like one. Raises UnknownIdError if neither the model nor the live catalogue holds it."""
    served = serving(live)
    code = served.catalogue.ids.code(item)
    if code < 0 or served.catalogue.deleted[code]:
        raise no_item(item)
    rules = applied(served.catalogue, asked, live.rules)
    rules.unpin(code)
    return _answered(served, Question(item=item), rules, asked.offset, asked.limit, _SIMILAR)


def latest(live: Live, asked: ItemsPage) -> Json:
    """The newest items; the score is when each appeared, in seconds since 1970 UTC."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    return _answered(served, Question(), rules, asked.offset, asked.limit, _LATEST)


def _question(served: Served, asked: RecommendBody, state: UserState) -> Question:
    row = state.row
    return Question(
        asked.user,
        served.user_code(asked.user),
        (*asked.recent_items, *state.recent) if asked.recent_items else state.recent,
        asked.item,
        tuple(asked.attributes.categories) or (row.categories if row else ()),
        tuple(asked.attributes.tags) or (row.tags if row else ()),
        asked.segment if asked.segment is not None or row is None else row.segment,
    )


def _bar_seen(
    live: Live, served: Served, rules: Rules, asked: RecommendBody, question: Question, state: UserState
) -> None:
    """Bars what the user has seen, in the sense of the rules. A pinned item is shown all the same."""
    if isinstance(rules.seen, Seen):
        if asked.user is not None:
            kinds, oldest = set(rules.seen.kinds), time.time() - (rules.seen.days or float("inf")) * 86_400
            acts = live.acts.get(asked.user)
            seen = {item for item, kind, when in acts if when >= oldest and (not kinds or kind in kinds)}
            bar(rules.barred, served.catalogue, seen)
    elif rules.seen:
        if question.code >= 0:
            rules.barred[served.seen(question.code)] = True
        bar(rules.barred, served.catalogue, state.touched)
        bar(rules.barred, served.catalogue, asked.recent_items)


def _answered(
    served: Served,
    question: Question,
    rules: Rules,
    offset: int,
    limit: int,
    strategies: Sequence[Strategy] = STRATEGIES,
) -> Json:
    places = chosen(served, question, rules, offset + limit, strategies)[offset:]
    return {
        "items": [_shown(served, question, place) for place in places],
        "strategies": list(dict.fromkeys(strategy.name for _, _, strategy in places)),
        "model_version": served.version,
        "recommendation_id": uuid.uuid4().hex,
    }


def _shown(served: Served, question: Question, place: Place) -> Json:
    code, score, strategy = place
    return {
        **served.catalogue.entries[code],
        "score": None if score is None else round(score, 6),
        "strategy": strategy.name,
        "why": strategy.why(served, question, code),
    }
