"""The routes of roll-outs, and how the variants of an endpoint do."""

from __future__ import annotations

import time

from palate.web import gives, require, takes
from services.endpoints.bodies import RolloutOut, Rollouts, StatsOut, StatsPage, VariantStats
from services.endpoints.invoking import hosting
from services.endpoints.store import Store
from services.variants.bodies import BoundsBody, LatencyOut, RolloutBody, RolloutPatch, told, who_asks
from services.variants.rollouts import Rollout


@takes(query=StatsPage)
@gives(StatsOut)
def get_stats(name: str, query: StatsPage) -> StatsOut:
    """Say how the variants do: requests, errors and latency.

    Counted by all workers, up to a second ago, and kept for 30 days. Rows that a model refuses are not its errors.
    """
    found = _store().get(name)
    since = 0.0 if query.seconds is None else time.time() - query.seconds
    counts = _store().counted([found.token(each) for each in found.variants], since)
    variants = []
    for each in found.variants:
        tally = counts[found.token(each)]
        variants.append(
            VariantStats(
                name=each.name,
                shadow=each.shadow,
                weight=each.weight,
                requests=tally.requests,
                errors=tally.errors,
                dropped=tally.dropped,
                latency_ms=LatencyOut.of(tally),
            )
        )
    return StatsOut(endpoint=name, variants=variants)


@gives(Rollouts)
def list_rollouts(name: str) -> Rollouts:
    """List the latest 20 roll-outs of an endpoint, the newest first."""
    _store().get(name)
    return Rollouts(rollouts=[_told(name, number, each) for number, each in _store().rollouts(name)])


@require("endpoints")
@takes(body=RolloutBody)
@gives(RolloutOut, status=201)
def post_rollout(name: str, body: RolloutBody) -> tuple[RolloutOut, int]:
    """Begin to move the traffic to a variant.

    It goes on by itself, and back by itself as soon as the evidence is enough that a bound is broken; with a
    probability of at most `risk` it does so to a variant that keeps them all. Refused with 409 while another runs.
    """
    number, made = _store().begin(name, who_asks(), body.begun)
    hosting().look()
    return _told(name, number, made), 201


@gives(RolloutOut)
def get_rollout(name: str, rollout: int) -> RolloutOut:
    """Say where a roll-out stands, and how much evidence there is against each bound."""
    return _told(name, rollout, _store().rollout(name, rollout))


@require("endpoints")
@takes(body=RolloutPatch)
@gives(RolloutOut)
def patch_rollout(name: str, rollout: int, body: RolloutPatch) -> RolloutOut:
    """Pause a roll-out, or let it go on.

    A paused one stays at its step; it is watched still, and rolled back when a bound is broken. Refused with 409 if it
    has ended.
    """
    turn = _store().pause if body.state == "paused" else _store().resume
    return _told(name, rollout, turn(name, rollout, who_asks()))


@require("endpoints")
@gives(RolloutOut)
def stop_rollout(name: str, rollout: int) -> RolloutOut:
    """Stop a roll-out, or undo one that is done: the weights are those before it again.

    One that was stopped or rolled back stays as it is. Refused with 409 if the weights were changed since it was done.
    """
    found = _store().stop(name, rollout, who_asks())
    hosting().look()
    return _told(name, rollout, found)


def _store() -> Store:
    return hosting().store


def _told(name: str, number: int, rollout: Rollout) -> RolloutOut:
    bounds = BoundsBody(**BoundsBody.of(rollout.bounds))
    return RolloutOut(**told(number, rollout), endpoint=name, bounds=bounds)
