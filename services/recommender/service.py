"""From an understood request to the answer's JSON: what is barred, which question the strategies get, what is shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from palate.errors import ParameterError
from palate.models.protocol import Capability
from services.recommender.about import no_item, serving
from services.recommender.asking import (
    BatchBody,
    ItemsPage,
    Moment,
    Page,
    RankBody,
    RecommendBody,
    Seen,
    SegmentPage,
    SessionBody,
    UserPage,
)
from services.recommender.deployments.records import list_id
from services.recommender.deployments.traffic import Asked
from services.recommender.entries import Entry
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
    Why,
)

Json = dict[str, Any]
Said = UserPage | BatchBody | Moment
Routed = Page | BatchBody | Moment
"""Whatever says which deployment is to answer."""
T = TypeVar("T")
_NOBODY = UserState()
_POPULAR: tuple[Strategy, ...] = (PopularInSegment(), Popular())
_LATEST: tuple[Strategy, ...] = (Latest(),)
_SIMILAR: tuple[Strategy, ...] = (Similar(),)


@dataclass(frozen=True)
class Work:
    """A request that is understood: who answers which question under which rules."""

    asked: Asked
    question: Question
    rules: Rules
    explain: bool = False

    @property
    def served(self) -> Served:
        return self.asked.served


def answered(
    live: Live,
    said: Routed,
    user: str | None,
    make: Callable[[Asked], T],
    *,
    route: Asked | None = None,
    lists: int = 1,
) -> T:
    """`make`, with whoever is to answer; counted, if that is a variant of a deployment.

    user: for whom, None for nobody known. route: who answers, if that is settled. Raises ParameterError for a
    deployment or variant that is not there.
    """
    found: T = live.traffic.measured(route or routed(live, said, user), lists, make)
    return found


def routed(live: Live, said: Routed, user: str | None) -> Asked:
    """Who answers. Raises as `answered`, and NotFittedError while nobody can."""
    plan = live.traffic.plan(said.deployment)
    if plan is None:
        if said.variant is not None:
            raise ParameterError("without a deployment there are no variants.", where="variant")
        return Asked(serving(live), (live.rules,))
    chosen = plan.pick(user, said.variant)
    served = chosen.served or serving(live)
    return Asked(served, (plan.rules, live.rules), plan, chosen.variant, drawn=said.variant is None)


def recommend(live: Live, said: UserPage | RecommendBody | SessionBody, user: str | None) -> Json:
    """Recommendations for a user, or for a visitor of whom only the request tells."""

    def make(asked: Asked) -> Json:
        work = prepared(live, asked, said, user, applied(asked.served.catalogue, said, asked.standing))
        return finished(work, said.offset, said.limit + KEPT if said.paging else said.limit)

    answer = answered(live, said, user, make)
    return keep(live.store, answer, said.limit) if said.paging else answer


def rank(live: Live, said: RankBody) -> Json:
    """The given items in order, and those that have no place in it."""

    def make(asked: Asked) -> Json:
        catalogue = asked.served.catalogue
        rules = applied(catalogue, said, asked.standing)
        if said.exclude_seen is None:
            rules.seen = False
        codes = catalogue.ids.encode(said.items)
        others = np.ones(len(catalogue), bool)
        others[codes[codes >= 0]] = False
        rules.barred |= others
        rules.pins = [pin for pin in rules.pins if not others[pin[1]]]
        return finished(prepared(live, asked, said, said.user, rules), 0, len(said.items))

    answer = answered(live, said, said.user, make)
    held = {str(place["item"]) for place in answer["items"]}
    return {**answer, "left_out": [item for item in dict.fromkeys(said.items) if item not in held]}


def prepared(live: Live, asked: Asked, said: Said, user: str | None, rules: Rules) -> Work:
    """Who asks, and what they have seen, looked up; `rules` is written to."""
    served = asked.served
    state = _NOBODY if user is None else live.users.get(user)
    question = _question(served, said, user, state)
    _bar_seen(live, served, rules, said, question, state)
    if said.item is not None and (code := served.catalogue.ids.code(said.item)) >= 0:
        rules.unpin(code)
    return Work(asked, question, rules, said.explain)


def popular(live: Live, said: SegmentPage) -> Json:
    """What most people like, or those of a segment."""
    return _listed(live, said, lambda served: Question(segment=said.segment), lambda served: _POPULAR)


def similar(live: Live, item: str, said: ItemsPage) -> Json:
    """Items like one. Raises UnknownIdError if neither the model nor the live catalogue holds it."""

    def make(asked: Asked) -> Json:
        catalogue = asked.served.catalogue
        code = catalogue.ids.code(item)
        if code < 0 or catalogue.deleted[code]:
            raise no_item(item)
        rules = applied(catalogue, said, asked.standing)
        rules.unpin(code)
        return finished(Work(asked, Question(item=item), rules), said.offset, said.limit, strategies=_SIMILAR)

    return answered(live, said, None, make)


def latest(live: Live, said: ItemsPage) -> Json:
    """The newest items; the score is when each appeared, in seconds since 1970 UTC."""
    return _listed(live, said, lambda served: Question(), lambda served: _LATEST)


def trending(live: Live, said: ItemsPage) -> Json:
    """What is done more often lately than usual; the score is by how many deviations."""
    return _listed(
        live, said, lambda served: Question(), lambda served: (Trending(live.trends.ranked(served.catalogue)),)
    )


def _listed(
    live: Live,
    said: ItemsPage,
    question: Callable[[Served], Question],
    strategies: Callable[[Served], Sequence[Strategy]],
) -> Json:
    def make(asked: Asked) -> Json:
        served = asked.served
        work = Work(asked, question(served), applied(served.catalogue, said, asked.standing))
        return finished(work, said.offset, said.limit, strategies=strategies(served))

    return answered(live, said, None, make)


def _question(served: Served, said: Said, user: str | None, state: UserState) -> Question:
    row = state.row
    return Question(
        user,
        served.user_code(user),
        (*said.recent_items, *state.recent) if said.recent_items else state.recent,
        said.item,
        tuple(said.attributes.categories) or (row.categories if row else ()),
        tuple(said.attributes.tags) or (row.tags if row else ()),
        said.segment if said.segment is not None or row is None else row.segment,
        now=time.time() if served.personal.can(Capability.MOMENT) else None,
        attributes=json.dumps(dict(row.attributes), ensure_ascii=False) if row and row.attributes else "",
    )


def _bar_seen(live: Live, served: Served, rules: Rules, said: Said, question: Question, state: UserState) -> None:
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
        bar(rules.barred, served.catalogue, said.recent_items)


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
    tell = Explainer(served, question).why if work.explain else _Reasons(served, question).why
    return {
        "items": [
            _shown(entry, place, tell(place))
            for entry, place in zip(served.catalogue.entries.of([code for code, _, _ in places]), places, strict=True)
        ],
        "strategies": list(dict.fromkeys(strategy.name for _, _, strategy in places)),
        "model_version": served.version,
        "recommendation_id": list_id(work.asked.token),
        **_by_whom(work.asked),
    }


def _by_whom(asked: Asked) -> Json:
    if asked.plan is None or asked.variant is None:
        return {}
    return {"deployment": asked.plan.deployment.name, "variant": asked.variant.name}


class _Reasons:
    """What the strategies of one answer say of its places; each is asked once where it says the same of all."""

    def __init__(self, served: Served, question: Question) -> None:
        self._served, self._question = served, question
        self._told: dict[str, Why] = {}

    def why(self, place: Place) -> Why:
        code, _, strategy = place
        if not strategy.alike:
            return strategy.why(self._served, self._question, code)
        found = self._told.get(strategy.name)
        if found is None:
            found = self._told[strategy.name] = strategy.why(self._served, self._question, code)
        return found


def _shown(entry: Entry, place: Place, why: Why) -> Json:
    _, score, strategy = place
    return {
        **entry,
        "score": None if score is None else round(score, 6),
        "strategy": strategy.name,
        "why": why,
    }
