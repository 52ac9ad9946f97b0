"""What the page of a deployment does with roll-outs: begin one, pause it, let it go on, stop or undo it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flask import redirect, url_for
from pydantic import BeforeValidator, Field
from werkzeug.wrappers import Response

from palate.errors import ConflictError, InputError
from palate.web import gives_page, require, takes
from services.recommender.dashboard.traffic import Asked, page
from services.recommender.deployments import views
from services.recommender.deployments.bodies import BoundsBody, RolloutBody


def _none(value: Any) -> Any:
    """A field that was left empty."""
    return None if value == "" else value


Percent = Annotated[float, Field(ge=0.1, le=100, allow_inf_nan=False)]
Part = Annotated[float, Field(ge=0.01, le=99.9, allow_inf_nan=False)]


class Turn(Asked):
    """The page's buttons. What is said of a new roll-out is in percent and minutes, and empty for what is not watched.

    rollout: which one, but for `begin`.
    """

    name: str = Field(max_length=63)
    do: Literal["begin", "pause", "resume", "stop"]
    rollout: int = Field(0, ge=0, lt=2**31)
    variant: str = Field("", max_length=63)
    kind: Literal["canary", "linear", "blue-green"] = "canary"
    share: Percent = 10.0
    minutes: float = Field(10.0, ge=0.01, le=43_200, allow_inf_nan=False)
    errors: Annotated[Part | None, BeforeValidator(_none)] = 1.0
    slow_ms: Annotated[Annotated[float, Field(ge=0.1, le=5000)] | None, BeforeValidator(_none)] = None
    slow: Part = 5.0
    click_through: Annotated[Percent | None, BeforeValidator(_none)] = None

    @property
    def body(self) -> RolloutBody:
        bounds = BoundsBody(
            errors=_share(self.errors),
            slow_ms=self.slow_ms,
            slow=self.slow / 100,
            click_through=_share(self.click_through),
        )
        return RolloutBody(
            variant=self.variant or "-",  # no variant is called so, which is then told
            kind=self.kind,
            share=self.share / 100,
            seconds=self.minutes * 60,
            bounds=bounds,
        )


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


@require("deployments")
@takes(form=Turn)
@gives_page(leads_on=True)
def turn(form: Turn) -> str | Response:
    """Begin, pause, resume, stop or undo a roll-out. What was wrong stands on the page."""
    try:
        if form.do == "begin":
            views.ROLLOUTS.start(form.name, form.body)
        else:
            views.ROLLOUTS.turned(form.name, form.rollout, form.do)
    except (InputError, ConflictError) as error:
        shown = page(Asked(name=form.name, span=form.span), error=str(error))
        return Response(shown, error.status, mimetype="text/html")
    return redirect(url_for("dashboard.deployments", name=form.name, span=form.span), 303)
