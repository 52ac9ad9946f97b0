"""`rollout` of `palate api` and `palate endpoints`: the same as over HTTP, done to the database, with or without a
server running; servers follow."""

from __future__ import annotations

import getpass
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from palate.web.contract import validate
from services.variants.bodies import RolloutBody
from services.variants.rollouts import Rollout
from services.variants.store import RolloutStore


def rollout_commands(
    open_store: Callable[[], RolloutStore], body: type[RolloutBody], *, clicks: bool = False
) -> click.Group:
    """The group `rollout` of a house. body: what may be said there of a roll-out. clicks: whether of clicks."""

    @click.group()
    def rollout() -> None:
        """Move the traffic to a variant step by step, and back by itself when it does worse than it may."""

    @rollout.command()
    @click.option("--kind", type=click.Choice(["canary", "linear", "blue-green"]), default="canary", show_default=True)
    @click.option("--share", type=float, default=0.1, show_default=True, help="Of the traffic, in the first step.")
    @click.option("--seconds", type=float, default=600, show_default=True, help="How long each step takes at least.")
    @click.option("--least-requests", type=int, default=0, help="What the variant must have answered in each step.")
    @click.option("--errors", type=float, default=0.01, show_default=True, help="The share that may fail.")
    @click.option("--slow-ms", type=float, help="Requests that take longer are slow; not watched unless told.")
    @click.option("--slow", type=float, default=0.05, show_default=True, help="The share that may be slow.")
    @click.option("--risk", type=float, default=0.05, show_default=True, help="Of rolling back what keeps its bounds.")
    @click.argument("name")
    @click.argument("variant")
    def begin(
        name: str, variant: str, kind: str, share: float, seconds: float, least_requests: int, **said: Any
    ) -> None:
        """Begin to move the traffic of NAME to VARIANT."""
        asked = {
            "variant": variant, "kind": kind, "share": share, "seconds": seconds, "least_requests": least_requests,
            "bounds": said,
        }  # fmt: skip
        wanted = body.model_validate(validate(body, asked))
        click.echo(_line(*open_store().begin(name, _who(), wanted.begun)))

    if clicks:
        told = "The least click-through, as a share of that of the other variants; not watched unless told."
        begin.params.append(click.Option(["--click-through"], type=float, help=told))

    @rollout.command("list")
    @click.argument("name")
    def list_command(name: str) -> None:
        """Show the latest 20 of NAME, the newest first."""
        store = open_store()
        store.arms(name)
        for number, found in store.rollouts(name):
            click.echo(_line(number, found))

    def turning(do: str, said: str) -> None:
        @rollout.command(do, help=said)
        @click.argument("name")
        @click.argument("number", type=click.IntRange(0))
        def turn(name: str, number: int) -> None:
            click.echo(_line(number, getattr(open_store(), do)(name, number, _who())))

    turning("pause", "Keep NUMBER of NAME at its step; it is watched still, and goes back if a bound is broken.")
    turning("resume", "Let NUMBER of NAME go on.")
    turning("stop", "Stop NUMBER of NAME, or undo it when it is done: the weights are those before it again.")
    return rollout


def _line(number: int, rollout: Rollout) -> str:
    when = f"{datetime.fromtimestamp(rollout.began, UTC):%Y-%m-%d %H:%M}"
    place = f"{rollout.standing} at {100 * rollout.share:.3g} %, step {rollout.step + 1} of {len(rollout.steps)}"
    return f"{number}  {when}  {rollout.kind} to {rollout.to}  {place}{f'. {rollout.reason}' if rollout.reason else ''}"


def _who() -> str:
    """Whoever sits at the shell, as it stands in the reason of a roll-out."""
    try:
        return f"shell {getpass.getuser()}"
    except (KeyError, OSError):  # a user without a name, as in a container
        return "shell"
