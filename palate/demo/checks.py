"""Does every URL of the demo answer properly? `palate demo --check` asks; so do the end-to-end tests.

The calls of `calls()` are also the ones that the report prints as curl lines, so that what is printed is what was
tried.
"""

from __future__ import annotations

import json
import shlex
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from palate.dataset.ids import IdMap
from palate.demo.plan import Plan
from palate.errors import PalateError
from palate.spark.prepared import Prepared


class CheckFailedError(PalateError):
    """A URL of the demo did not answer as it should."""


@dataclass(frozen=True)
class Call:
    """One request to the API. `says`: what it shows, for people. `good`: whether the JSON answer is as it should be."""

    says: str
    method: str
    path: str
    body: Any
    good: Callable[[Any], bool]

    def curl(self, base: str) -> str:
        """The request as a line for a shell that has the API's token in $TOKEN."""
        line = 'curl -s -H "Authorization: Bearer $TOKEN"'
        if self.method not in ("GET", "POST"):
            line += f" -X {self.method}"
        if self.body is not None:
            body = shlex.quote(json.dumps(self.body, ensure_ascii=False))
            line += f" -H 'Content-Type: application/json' -d {body}"
        return f"{line} {shlex.quote(base + self.path)}"


def new_item(items: IdMap) -> str:
    """An id that the catalogue does not have, of the catalogue's own kind."""
    return str(max(items.ids.to_pylist()) + 1) if items.is_integer else "palate-demo-new"


def calls(plan: Plan) -> list[Call]:
    """Five requests that show what the API does, about users and items of this very data."""
    data = Prepared(plan.prepared)
    train, new = data.interactions("train"), new_item(data.items)
    user = str(data.users.decode(train.user_codes[:1])[0])
    item = str(data.items.decode(train.item_codes[:1])[0])
    catalogue = data.catalogue()
    categories = [] if catalogue is None else [found for found in catalogue.lists("categories") if found]
    liked = categories[0][:1] if categories else []
    return [
        Call(
            "a known user",
            "GET",
            f"/v1/users/{user}/recommendations?limit=5",
            None,
            lambda told: len(told["items"]) == 5 and all(found["strategy"] for found in told["items"]),
        ),
        Call(
            "a visitor who just looked at something",
            "POST",
            "/v1/recommendations",
            {"recent_items": [item], "limit": 5},
            lambda told: item not in [str(found["item"]) for found in told["items"]] and len(told["items"]) == 5,
        ),
        Call("what is similar", "GET", f"/v1/items/{item}/similar?limit=5", None, lambda told: bool(told["items"])),
        Call(
            "a new item, recommendable within a second",
            "PUT",
            f"/v1/items/{new}",
            {"title": "A brand-new item", "categories": liked},
            lambda told: str(told["item"]) == new,
        ),
        Call(
            "an event, folded into the next answer",
            "POST",
            "/v1/events",
            {"user": user, "item": item, "kind": "view"},
            lambda told: bool(told),
        ),
    ]


def fetch(url: str, *, token: str = "", method: str = "GET", body: Any = None) -> tuple[int, str, bytes]:
    """Status, content type and body; a status of 4xx or 5xx is an answer, too. Raises OSError if there is none."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    data = None
    if body is not None:
        data, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
    request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310 - our own addresses
    try:
        with urllib.request.urlopen(request, timeout=120) as answer:  # noqa: S310
            return answer.status, answer.headers.get("Content-Type", ""), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers.get("Content-Type", ""), error.read()


def pages(plan: Plan, token: str) -> list[tuple[str, str, str, Callable[[bytes], bool]]]:
    """(what, URL, token, whether the body is as it should be) of everything that answers a plain GET."""
    model = plan.settings.model_name
    return [
        ("API health", f"{plan.api}/health", "", bool),
        ("API readiness", f"{plan.api}/ready", "", bool),
        ("API description", f"{plan.api}/openapi.json", "", lambda body: json.loads(body)["openapi"].startswith("3.1")),
        ("API page", f"{plan.api}/docs", "", lambda body: b"<h1" in body and b"/v1/" in body),
        ("API metrics", f"{plan.api}/metrics", token, lambda body: b"# HELP" in body),
        ("API model", f"{plan.api}/v1/model", token, lambda body: bool(json.loads(body))),
        ("labeling health", f"{plan.labeling}/health", "", bool),
        ("labeling sign-in", f"{plan.labeling}/sign-in", "", lambda body: b"<form" in body),
        ("MLflow health", f"{plan.mlflow}/health", "", bool),
        ("MLflow page", f"{plan.mlflow}/", "", lambda body: b"<html" in body.lower()),
        (
            "MLflow's champion",
            f"{plan.mlflow}/api/2.0/mlflow/registered-models/alias?name={model}&alias=champion",
            "",
            lambda body: json.loads(body)["model_version"]["name"] == model,
        ),
    ]


def check(plan: Plan, token: str, say: Callable[[str], None]) -> None:
    """Ask every URL. Raises CheckFailedError naming the first that does not answer as it should."""
    for what, url, with_token, good in pages(plan, token):
        status, _, body = fetch(url, token=with_token)
        _require(status == 200 and good(body), what, url, status, body)
        say(what)
    requests = calls(plan)
    for call in requests:
        status, kind, body = fetch(plan.api + call.path, token=token, method=call.method, body=call.body)
        fine = 200 <= status < 300 and kind.startswith("application/json") and call.good(json.loads(body))
        _require(fine, call.says, plan.api + call.path, status, body)
        say(call.says)
    status, kind, body = fetch(plan.api + requests[0].path)
    refused = status == 401 and kind.startswith("application/problem+json")
    _require(refused, "nothing without a key", plan.api, status, body)
    say("nothing without a key")
    _new_item_is_found(plan, token, next(call for call in requests if call.method == "PUT"))
    say("the new item is recommended")


def _new_item_is_found(plan: Plan, token: str, new: Call, seconds: float = 60) -> None:
    """Whoever likes the new item's category gets it recommended, by its content, whichever worker answers."""
    url, deadline, in_a_row = f"{plan.api}/v1/recommendations", time.monotonic() + seconds, 0
    body = {"attributes": {"categories": new.body["categories"]}, "limit": 200}
    while in_a_row < 5:
        status, _, told = fetch(url, token=token, method="POST", body=body)
        found = [str(item["item"]) for item in json.loads(told)["items"]] if status == 200 else []
        in_a_row = in_a_row + 1 if new.path.rsplit("/", 1)[1] in found else 0
        _require(time.monotonic() < deadline, "a new item is recommended", url, status, told)
        time.sleep(0.05)


def _require(fine: bool, what: str, url: str, status: int, body: bytes) -> None:
    if not fine:
        raise CheckFailedError(f"it answered {status}: {body[:500].decode(errors='replace')}", where=f"{what} ({url})")
