"""What the pages of both services show of variants, and what their forms do: weights moved, roll-outs begun and ended.

Templates and their style come with a blueprint; a house's own page includes them with what `shown` tells.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from flask import Blueprint, redirect, url_for
from pydantic import BeforeValidator, Field
from werkzeug.wrappers import Response

from palate.errors import ConflictError, InputError
from palate.web import Model, principal
from palate.web.charts import Line, lines
from palate.web.contract import validate
from services.variants.bodies import RolloutBody
from services.variants.rollouts import RUNNING
from services.variants.store import Arm, RolloutStore, weights_of
from services.variants.tallies import BLOCK, SLOT
from services.variants.views import RolloutViews

RANGES = {"hour": 3600, "day": 86_400, "week": 7 * 86_400, "month": 30 * 86_400}
"""Name to seconds."""
_POINTS = 48
_COLOURS = 6


def _none(value: Any) -> Any:
    """A field that was left empty."""
    return None if value == "" else value


Weight = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
Percent = Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0.01, le=99.9, allow_inf_nan=False)]
Optional = BeforeValidator(_none)


class Asked(Model):
    """Which one, and over what time."""

    name: str | None = Field(None, max_length=63)
    span: str = Field("day", pattern=f"^({'|'.join(RANGES)})$")


class Move(Asked):
    """variant, weight: as many of the one as of the other."""

    name: str = Field(max_length=63)
    variant: list[str] = Field(default_factory=list)
    weight: list[Weight] = Field(default_factory=list)

    @property
    def weights(self) -> dict[str, float]:
        return dict(zip(self.variant, self.weight, strict=False))


class Turn(Asked):
    """The buttons of roll-outs. What is said of a new one is in percent and minutes, and empty for what is not watched.

    rollout: which one, but for `begin`.
    """

    name: str = Field(max_length=63)
    do: Literal["begin", "pause", "resume", "stop"]
    rollout: int = Field(0, ge=0, lt=2**31)
    variant: str = Field("", max_length=63)
    kind: Literal["canary", "linear", "blue-green"] = "canary"
    share: Percent = 10.0
    minutes: float = Field(10.0, ge=0.01, le=43_200, allow_inf_nan=False)
    errors: Annotated[Part | None, Optional] = 1.0
    slow_ms: Annotated[Annotated[float, Field(ge=0.1, le=5000)] | None, Optional] = None
    slow: Part = 5.0

    def bounds(self) -> dict[str, float | None]:
        """As the house's body of bounds takes them."""
        return {"errors": as_share(self.errors), "slow_ms": self.slow_ms, "slow": self.slow / 100}

    def body(self, views: RolloutViews) -> RolloutBody:
        asked = {
            "variant": self.variant or "-",  # no variant is called so, which is then told
            "kind": self.kind,
            "share": self.share / 100,
            "seconds": self.minutes * 60,
            "bounds": self.bounds(),
        }
        return validate(views.body, asked)


def as_share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def pages() -> Blueprint:
    """A fresh blueprint named `variants`, without routes: templates, a style, and the filter `when`."""
    bp = Blueprint("variants", __name__, template_folder="templates", static_folder="static",
                   static_url_path="/static/variants")  # fmt: skip
    bp.app_template_filter("when")(when)
    return bp


def shown(views: RolloutViews, query: Asked, here: str, error: str) -> dict[str, Any]:
    """What the templates need to know of one name. here: the page's own route. Raises UnknownIdError if there is none.

    error: what was wrong with a form.
    """
    name, store = str(query.name), views.store()
    arms = store.arms(name)
    rollouts = store.rollouts(name, 1)
    return {
        "name": name,
        "here": here,
        "span": query.span,
        "ranges": list(RANGES),
        "arms": arms,
        "shares": shares(arms),
        "chart": _traffic(store, arms, RANGES[query.span]),
        "rollout": rollouts[0] if rollouts else None,
        "moving": bool(rollouts) and rollouts[0][1].state == RUNNING,
        "may_move": principal().allows(views.scope),
        "scope": views.scope,
        "error": error,
    }


def shares(arms: Sequence[Arm]) -> dict[str, float]:
    """Of the traffic, by the names of those that answer."""
    weights = weights_of(arms)
    total = sum(weights.values()) or 1.0
    return {name: weight / total for name, weight in weights.items()}


def turned(views: RolloutViews, form: Turn, here: str, page: Callable[[Asked, str], str]) -> str | Response:
    """Begins, pauses, resumes, stops or undoes a roll-out; leads to the page, which also says what was wrong."""

    def do() -> None:
        if form.do == "begin":
            views.start(form.name, form.body(views))
        else:
            views.turned(form.name, form.rollout, form.do)

    return done(do, form, here, page)


def done(do: Callable[[], object], form: Asked, here: str, page: Callable[[Asked, str], str]) -> str | Response:
    """Does what a form asks for; leads to the page, which also says what was wrong."""
    try:
        do()
    except (InputError, ConflictError) as error:
        answer = page(Asked(name=form.name, span=form.span), str(error))
        return Response(answer, error.status, mimetype="text/html")
    return redirect(url_for(here, name=form.name, span=form.span), 303)


def _traffic(store: RolloutStore, arms: Sequence[Arm], seconds: int) -> Any:
    """Requests a minute of each variant, shadows too."""
    width = max(1, seconds // SLOT // _POINTS)
    now = int(time.time() // SLOT) + 1
    end = now if width % BLOCK else -(-now // BLOCK) * BLOCK
    first = end - width * _POINTS
    counted = store.over_time([arm.token for arm in arms], first, width)
    if not counted:
        return ""
    # The last stretch may have only begun; of less than a minute no rate is told.
    slots = [*[width] * (_POINTS - 1), max(now - (end - width), 60 // SLOT)]
    series = []
    for place, arm in enumerate(arms):
        heights = [counted[arm.token, at].requests if (arm.token, at) in counted else 0 for at in range(_POINTS)]
        points = [(float(at), heights[at] * 60 / SLOT / slots[at]) for at in range(_POINTS)]
        series.append(Line(arm.name, points, place % _COLOURS + 1, dashed=arm.shadow))
    form = "%a %H:%M" if seconds <= RANGES["day"] else "%-d %b"
    ends = [f"{datetime.fromtimestamp(at * SLOT, UTC):{form}}" for at in (first, now)]
    return lines("Requests a minute of each variant, over time", series, ends)


def when(seconds: float | datetime) -> str:
    """A time as people read it, in UTC."""
    moment = seconds if isinstance(seconds, datetime) else datetime.fromtimestamp(seconds, UTC)
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
