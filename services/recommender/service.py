"""From an understood request to the answer's JSON: what is barred, which question the strategies get, what is shown."""

from __future__ import annotations

import math
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from palate.errors import NotFittedError, UnknownIdError
from services.recommender.bodies import Page, RecommendBody, SegmentPage
from services.recommender.catalogue import ItemRow
from services.recommender.live import Live
from services.recommender.ranker import Mask
from services.recommender.served import Served
from services.recommender.store import UserState
from services.recommender.strategies import STRATEGIES, Popular, PopularInSegment, Question, Similar, Strategy, answer

Json = dict[str, Any]
_NOBODY = UserState()
_POPULAR: tuple[Strategy, ...] = (PopularInSegment(), Popular())
_SIMILAR: tuple[Strategy, ...] = (Similar(),)


def serving(live: Live) -> Served:
    """The snapshot to answer from. Raises NotFittedError while there is none."""
    if live.served is None:
        raise NotFittedError(
            "no model could be loaded yet.", hint=live.problems.get("model", "It is being loaded; try again soon.")
        )
    return live.served


def recommend(live: Live, asked: RecommendBody) -> Json:
    """Recommendations for a user, or for a visitor of whom only the request tells."""
    served = serving(live)
    state = _NOBODY if asked.user is None else live.users.get(asked.user)
    code = served.user_code(asked.user)
    row = state.row
    question = Question(
        asked.user,
        code,
        (*asked.recent_items, *state.recent) if asked.recent_items else state.recent,
        asked.item,
        tuple(asked.attributes.categories) or (row.categories if row else ()),
        tuple(asked.attributes.tags) or (row.tags if row else ()),
        asked.segment if asked.segment is not None or row is None else row.segment,
    )
    barred = _barred(served, asked)
    if asked.exclude_seen:
        if code >= 0:
            barred[served.seen(code)] = True
        _bar(served, barred, state.touched)
        _bar(served, barred, asked.recent_items)
    if asked.item is not None:
        _bar(served, barred, (asked.item,))
    return _answered(served, question, barred, asked.offset, asked.limit)


def popular(live: Live, asked: SegmentPage) -> Json:
    """What most people like, or those of a segment."""
    served = serving(live)
    barred = _barred(served, asked)
    return _answered(served, Question(segment=asked.segment), barred, asked.offset, asked.limit, _POPULAR)


def similar(live: Live, item: str, asked: Page) -> Json:
    """Items like one. Raises UnknownIdError if neither the model nor the live catalogue holds it."""
    served = serving(live)
    code = served.catalogue.ids.code(item)
    if code < 0 or served.catalogue.deleted[code]:
        raise _no_item(item)
    barred = _barred(served, asked)
    return _answered(served, Question(item=item), barred, asked.offset, asked.limit, _SIMILAR)


def latest(live: Live, asked: Page) -> Json:
    """The newest items; the score is when each appeared, in seconds since 1970 UTC."""
    served = serving(live)
    barred = _barred(served, asked)
    order = served.catalogue.latest
    codes = order[~barred[order]][asked.offset : asked.offset + asked.limit].tolist()
    shown = [
        {
            **served.catalogue.entries[code],
            "score": int(served.catalogue.timestamps[code]),
            "strategy": "latest",
            "why": {"because": "new"},
        }
        for code in codes
    ]
    return _envelope(served, shown, ["latest"] if shown else [])


def item(live: Live, item: str) -> Json:
    """An item of the live catalogue, or what the model's catalogue knows of it. Raises UnknownIdError for others."""
    row = live.store.item(item)
    if row is not None and not row.deleted:
        return item_json(row)
    served = live.served
    code = -1 if served is None else served.catalogue.ids.code(item)
    if row is not None or served is None or code < 0:
        raise _no_item(item)
    shown = served.catalogue.entries[code]
    return item_json(ItemRow(str(shown["item"]), shown["title"], categories=tuple(shown["categories"])))


def item_json(row: ItemRow) -> Json:
    return {
        "item": row.id,
        "title": row.title,
        "text": row.text,
        "categories": list(row.categories),
        "tags": list(row.tags),
        "image": row.image,
        "available": row.available,
        "timestamp": row.timestamp,
        "attributes": dict(row.attributes),
    }


def user(live: Live, user: str) -> Json:
    """What is known of a user. Raises UnknownIdError if nothing is."""
    state = live.users.get(user)
    served = live.served
    code = -1 if served is None else served.user_code(user)
    if state.row is None and not state.touched and code < 0:
        raise UnknownIdError(f"there is no user {user[:80]!r}.", where="user", hint="They get what is popular.")
    row = state.row
    return {
        "user": user,
        "categories": list(row.categories) if row else [],
        "tags": list(row.tags) if row else [],
        "segment": row.segment if row else None,
        "attributes": dict(row.attributes) if row else {},
        "known_to_model": code >= 0,
        "recent_items": list(state.touched[:20]),
    }


def model(live: Live) -> Json:
    """What is served, and whether something newer could not be."""
    served = serving(live)
    release = served.release
    return {
        "model_version": served.version,
        "kind": release.model.kind,
        "parts": {
            "personal": served.personal.model.kind,
            "content": None if served.content is None else served.content.model.kind,
            "popularity": served.popularity.model.kind,
        },
        "capabilities": sorted(release.model.capabilities),
        "metrics": {name: value if math.isfinite(value) else None for name, value in release.metrics.items()},
        "trained_at": release.trained,
        "fingerprint": release.fingerprint,
        "loaded_at": datetime.fromtimestamp(release.loaded, UTC).isoformat(),
        "items": len(served.catalogue),
        "live_items": len(served.live),
        "users": len(release.model.users),
        "problems": dict(live.problems),
    }


def _no_item(item: str) -> UnknownIdError:
    return UnknownIdError(f"there is no item {item[:80]!r}.", where="item")


def _barred(served: Served, asked: Page | RecommendBody) -> Mask:
    """`(n,) bool`, free to be written to: unavailable items, those outside the categories or the filter, excluded ones.

    Raises ParameterError for a filter that cannot be read.
    """
    catalogue = served.catalogue
    barred = catalogue.barred.copy()
    if asked.category:
        barred |= catalogue.outside(asked.category)
    if asked.filter is not None:
        barred |= ~catalogue.columns.mask(asked.filter)
    _bar(served, barred, asked.exclude)
    return barred


def _bar(served: Served, barred: Mask, items: Iterable[str]) -> None:
    for each in items:
        code = served.catalogue.ids.code(each)
        if code >= 0:
            barred[code] = True


def _answered(
    served: Served,
    question: Question,
    barred: Mask,
    offset: int,
    limit: int,
    strategies: Sequence[Strategy] = STRATEGIES,
) -> Json:
    wanted = offset + limit
    found = answer(served, question, barred, wanted, strategies)
    entries = served.catalogue.entries
    shown = [
        {
            **entries[code],
            "score": round(score, 6),
            "strategy": strategy.name,
            "why": strategy.why(served, question, code),
        }
        for code, score, strategy in found.places[offset:wanted]
    ]
    used = list(dict.fromkeys(strategy.name for _, _, strategy in found.places[offset:wanted]))
    return _envelope(served, shown, used)


def _envelope(served: Served, shown: list[Json], used: list[str]) -> Json:
    return {
        "items": shown,
        "strategies": used,
        "model_version": served.version,
        "recommendation_id": uuid.uuid4().hex,
    }
