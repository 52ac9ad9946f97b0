"""What the routes share: the worker's snapshot and counter, and how an answer becomes a response."""

from __future__ import annotations

import json
from collections.abc import Iterable
from functools import cache
from typing import Any

from flask import Response, current_app
from prometheus_client import Counter
from pydantic_core import to_json

from services.recommender.live import Live

KEY = "palate.recommender"


def state() -> tuple[Live, Counter]:
    """What `create` left in the app: the snapshot's keeper, and the counter of recommended items by strategy."""
    found: tuple[Live, Counter] = current_app.extensions[KEY]
    return found


def as_json(answer: dict[str, Any], status: int = 200) -> Response:
    """The response that carries a JSON object. Raises ValueError for a number that JSON cannot say."""
    body = to_json(answer, inf_nan_mode="constants")
    if b"NaN" in body or b"Infinity" in body:  # perhaps within a text
        body = json.dumps(answer, allow_nan=False).encode()
    return Response(body, status, mimetype="application/json")


def count(places: Iterable[dict[str, Any]]) -> None:
    """Counts recommended items by their strategy."""
    counter, tally = state()[1], dict[str, int]()
    for place in places:
        tally[place["strategy"]] = tally.get(place["strategy"], 0) + 1
    for strategy, number in tally.items():
        _series(counter, strategy).inc(number)


@cache
def _series(counter: Counter, strategy: str) -> Counter:
    return counter.labels(strategy)
