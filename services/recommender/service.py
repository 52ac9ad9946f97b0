"""From an understood request to the answer's JSON: what is barred, which question the strategies get, what is shown."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.recommender.about import no_item, serving
from services.recommender.asking import (
    BatchBody,
    ItemsPage,
    Moment,
    RankBody,
    RecommendBody,
    Seen,
    SegmentPage,
    SessionBody,
    UserPage,
)
from services.recommender.explain import Explainer
from services.recommender.live import Live
from services.recommender.pages import KEPT, keep
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
    Trending,
)

Json = dict[str, Any]
Asked = UserPage | BatchBody | Moment
_NOBODY = UserState()
_POPULAR: tuple[Strategy, ...] = (PopularInSegment(), Popular())
_LATEST: tuple[Strategy, ...] = (Latest(),)
_SIMILAR: tuple[Strategy, ...] = (Similar(),)


@dataclass(frozen=True)
class Work:
    """A request that is understood: which snapshot answers which question under which rules."""

    served: Served
    question: Question
    rules: Rules
    explain: bool = False


def recommend(live: Live, asked: UserPage | RecommendBody | SessionBody, user: str | None) -> Json:
    """Recommendations for a user, or for a visitor of whom only the request tells."""
    served = serving(live)
    work = prepared(live, served, asked, user, applied(served.catalogue, asked, live.rules))
    if asked.paging:
        return keep(live.store, finished(work, asked.offset, asked.limit + KEPT), asked.limit)
    return finished(work, asked.offset, asked.limit)


def rank(live: Live, asked: RankBody) -> Json:
    """The given items in order, and those that have no place in it."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    if asked.exclude_seen is None:
        rules.seen = False
    codes = served.catalogue.ids.encode(asked.items)
    others = np.ones(len(served.catalogue), bool)
    others[codes[codes >= 0]] = False
    rules.barred |= others
    rules.pins = [pin for pin in rules.pins if not others[pin[1]]]
    answer = finished(prepared(live, served, asked, asked.user, rules), 0, len(asked.items))
    held = {str(place["item"]) for place in answer["items"]}
    return {**answer, "left_out": [item for item in dict.fromkeys(asked.items) if item not in held]}


def prepared(live: Live, served: Served, asked: Asked, user: str | None, rules: Rules) -> Work:
    """Who asks, and what they have seen, looked up; `rules` is written to."""
    state = _NOBODY if user is None else live.users.get(user)
    question = _question(served, asked, user, state)
    _bar_seen(live, served, rules, asked, question, state)
    if asked.item is not None and (code := served.catalogue.ids.code(asked.item)) >= 0:
        rules.unpin(code)
    return Work(served, question, rules, asked.explain)


def popular(live: Live, asked: SegmentPage) -> Json:
    """What most people like, or those of a segment."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    work = Work(served, Question(segment=asked.segment), rules)
    return finished(work, asked.offset, asked.limit, strategies=_POPULAR)


def similar(live: Live, item: str, asked: ItemsPage) -> Json:
    """Items like one. Raises UnknownIdError if neither the model nor the live catalogue holds it."""
    served = serving(live)
    code = served.catalogue.ids.code(item)
    if code < 0 or served.catalogue.deleted[code]:
        raise no_item(item)
    rules = applied(served.catalogue, asked, live.rules)
    rules.unpin(code)
    return finished(Work(served, Question(item=item), rules), asked.offset, asked.limit, strategies=_SIMILAR)


def latest(live: Live, asked: ItemsPage) -> Json:
    """The newest items; the score is when each appeared, in seconds since 1970 UTC."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    return finished(Work(served, Question(), rules), asked.offset, asked.limit, strategies=_LATEST)


def trending(live: Live, asked: ItemsPage) -> Json:
    """What is done more often lately than usual; the score is by how many deviations."""
    served = serving(live)
    rules = applied(served.catalogue, asked, live.rules)
    work = Work(served, Question(), rules)
    return finished(work, asked.offset, asked.limit, strategies=(Trending(live.trends.ranked(served.catalogue)),))


def _question(served: Served, asked: Asked, user: str | None, state: UserState) -> Question:
    row = state.row
    return Question(
        user,
        served.user_code(user),
        (*asked.recent_items, *state.recent) if asked.recent_items else state.recent,
        asked.item,
        tuple(asked.attributes.categories) or (row.categories if row else ()),
        tuple(asked.attributes.tags) or (row.tags if row else ()),
        asked.segment if asked.segment is not None or row is None else row.segment,
    )


def _bar_seen(live: Live, served: Served, rules: Rules, asked: Asked, question: Question, state: UserState) -> None:
    """Bars what the user has seen, in the sense of the rules. A pinned item is shown all the same."""
    if isinstance(rules.seen, Seen):
        if question.user is not None:
            kinds, oldest = set(rules.seen.kinds), time.time() - (rules.seen.days or float("inf")) * 86_400
            acts = live.acts.get(question.user)
            seen = {item for item, kind, when in acts if when >= oldest and (not kinds or kind in kinds)}
            bar(rules.barred, served.catalogue, seen)
    elif rules.seen:
        if question.code >= 0:
            rules.barred[served.seen(question.code)] = True
        bar(rules.barred, served.catalogue, state.touched)
        bar(rules.barred, served.catalogue, asked.recent_items)


def finished(
    work: Work,
    offset: int,
    limit: int,
    places: list[Place] | None = None,
    strategies: Sequence[Strategy] = STRATEGIES,
) -> Json:
    """The answer. places: those that are known already, from the first on."""
    served, question = work.served, work.question
    if places is None:
        places = chosen(served, question, work.rules, offset + limit, strategies)
    places = places[offset : offset + limit]
    explainer = Explainer(served, question) if work.explain else None
    return {
        "items": [_shown(served, question, place, explainer) for place in places],
        "strategies": list(dict.fromkeys(strategy.name for _, _, strategy in places)),
        "model_version": served.version,
        "recommendation_id": uuid.uuid4().hex,
    }


def _shown(served: Served, question: Question, place: Place, explainer: Explainer | None) -> Json:
    code, score, strategy = place
    return {
        **served.catalogue.entries[code],
        "score": None if score is None else round(score, 6),
        "strategy": strategy.name,
        "why": strategy.why(served, question, code) if explainer is None else explainer.why(place),
    }
