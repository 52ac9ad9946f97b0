"""The routes of deployments: what they are, how they do, and moving their traffic."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import Literal

from palate.errors import PalateError, ParameterError
from palate.web import gives, require, takes
from palate.web.problems import FieldErrors
from services.recommender.asking import RulesBody
from services.recommender.deployments.bodies import (
    BoundsBody,
    ChangeOut,
    Changes,
    ClickThroughOut,
    DeploymentBody,
    DeploymentOut,
    DeploymentPatch,
    Deployments,
    RolloutBody,
    RolloutOut,
    Rollouts,
    StatsOut,
    StatsPage,
    VariantOut,
    VariantStats,
)
from services.recommender.deployments.records import OWN, Deployment
from services.recommender.deployments.store import DeploymentStore
from services.recommender.live import Live
from services.recommender.rules import check
from services.recommender.state import state
from services.variants import evidence
from services.variants.bodies import LatencyOut, RolloutPatch, moment, told, who_asks
from services.variants.rollouts import Rollout

_NAME = re.compile(r"[A-Za-z0-9](-?[A-Za-z0-9]){0,62}")


@gives(Deployments)
def list_deployments() -> Deployments:
    """List the deployments."""
    live = state()[0]
    return Deployments(deployments=[_shown(live, each) for each in live.traffic.store.all()])


@gives(DeploymentOut)
def get_deployment(name: str) -> DeploymentOut:
    """Show a deployment: its variants, and how they do in the worker that answers."""
    live = state()[0]
    return _shown(live, live.traffic.store.get(name))


@require("deployments")
@takes(body=DeploymentBody)
@gives(DeploymentOut, also=(201,))
def put_deployment(name: str, body: DeploymentBody) -> tuple[DeploymentOut, int]:
    """Make a deployment, or replace it; 201 if it is new.

    The models are loaded first: if one cannot be used the deployment is refused, and what was before serves on.
    Refused with 409 while a roll-out runs.
    """
    if len(name) > 63 or not _NAME.fullmatch(name):
        raise ParameterError(
            f"{name[:80]!r} is no name of a deployment.",
            where="name",
            hint="Letters, digits and inner '-', at most 63.",
        )
    live = state()[0]
    made = body.deployment(name)
    _check_models(live, made, body.rules)
    made, fresh = _store().put(made, who_asks())
    live.nudge()
    return _shown(live, made), 201 if fresh else 200


@require("deployments")
@takes(body=DeploymentPatch)
@gives(DeploymentOut)
def patch_deployment(name: str, body: DeploymentPatch) -> DeploymentOut:
    """Change the weights of some variants, or the rules, filters or clicks as a whole.

    It holds within a second, in every worker. Refused with 409 while a roll-out runs.
    """
    return _shown(state()[0], changed(name, body))


def changed(name: str, body: DeploymentPatch) -> Deployment:
    """The deployment after a change by whoever asks. Raises FieldErrors, UnknownIdError, ConflictError."""
    live = state()[0]
    if body.rules is not None:
        _check_models(live, _store().get(name), body.rules)

    def change(before: Deployment) -> Deployment:
        after = before.weighted(_known_weights(before, body.weights or {}))
        if not any(after.weights.values()):
            raise FieldErrors([("weights", "No variant has any traffic.")])
        rules = before.rules if body.rules is None else body.rules.model_dump(mode="json", exclude_defaults=True)
        filters = before.filters if body.filters is None else body.filters
        clicks = before.clicks if body.clicks is None else tuple(dict.fromkeys(body.clicks))
        return replace(after, rules=rules, filters=filters, clicks=clicks)

    told = [f"{variant} has the weight {weight:g}" for variant, weight in (body.weights or {}).items()]
    told += [f"other {field}" for field in ("rules", "filters", "clicks") if getattr(body, field) is not None]
    made = _store().change(name, who_asks(), "; ".join(told) or "nothing changed", change)
    live.nudge()
    return made


@require("deployments")
@gives(DeploymentOut, description="The deployment as it was.")
def delete_deployment(name: str) -> DeploymentOut:
    """Take a deployment away; its roll-out, if one runs, ends."""
    live = state()[0]
    was = _shown(live, _store().get(name))
    _store().delete(name, who_asks())
    live.nudge()
    return was


@takes(query=StatsPage)
@gives(StatsOut)
def get_stats(name: str, query: StatsPage) -> StatsOut:
    """Say how the variants do: requests, errors, latency, click-through and the probability of being best.

    Counted by all workers, up to a second ago, and kept for 30 days. Click-through comes with the interval that
    holds 95 % of its posterior.
    """
    return figures(name, query.seconds)


def figures(name: str, seconds: float | None) -> StatsOut:
    """How the variants did in the latest so many seconds, or in all that are kept. Raises UnknownIdError."""
    found = _store().get(name)
    since = 0.0 if seconds is None else time.time() - seconds
    counts = _store().counted([each.token for each in found.variants], since)
    rivals = [each for each in found.variants if not each.shadow]
    best = evidence.best([(counts[each.token].clicks, counts[each.token].lists) for each in rivals])
    chances = dict(zip([each.name for each in rivals], best, strict=True))
    variants = []
    for each in found.variants:
        tally = counts[each.token]
        rate = evidence.click_through(tally.clicks, tally.lists)
        variants.append(
            VariantStats(
                name=each.name,
                shadow=each.shadow,
                weight=each.weight,
                requests=tally.requests,
                lists=tally.lists,
                clicks=tally.clicks,
                errors=tally.errors,
                dropped=tally.dropped,
                click_through=ClickThroughOut(**vars(rate)),
                probability_best=chances.get(each.name),
                latency_ms=LatencyOut.of(tally),
            )
        )
    return StatsOut(deployment=name, variants=variants)


@gives(Changes)
def list_changes(name: str) -> Changes:
    """Say who changed what of a deployment, the latest 100 changes first. A deleted one's history stays."""
    found = _store().history(name)
    if not found:
        _store().get(name)
    return Changes(changes=[ChangeOut(at=moment(each.at), who=each.who, what=each.what) for each in found])


@gives(Rollouts)
def list_rollouts(name: str) -> Rollouts:
    """List the latest 20 roll-outs of a deployment, the newest first."""
    _store().get(name)
    return Rollouts(rollouts=[_told(name, number, each) for number, each in _store().rollouts(name)])


@require("deployments")
@takes(body=RolloutBody)
@gives(RolloutOut, status=201)
def post_rollout(name: str, body: RolloutBody) -> tuple[RolloutOut, int]:
    """Begin to move the traffic to a variant.

    It goes on by itself, and back by itself as soon as the evidence is enough that a bound is broken; with a
    probability of at most `risk` it does so to a variant that keeps them all. Refused with 409 while another runs.
    """

    number, made = start(name, body)
    return _told(name, number, made), 201


def start(name: str, body: RolloutBody) -> tuple[int, Rollout]:
    """Begins a roll-out for whoever asks. Raises FieldErrors, UnknownIdError, ConflictError."""
    begun = _store().begin(name, who_asks(), lambda before: body.begun(before, click_seconds=body.click_seconds))
    state()[0].nudge()
    return begun


@gives(RolloutOut)
def get_rollout(name: str, rollout: int) -> RolloutOut:
    """Say where a roll-out stands, and how much evidence there is against each bound."""
    return _told(name, rollout, _store().rollout(name, rollout))


@require("deployments")
@takes(body=RolloutPatch)
@gives(RolloutOut)
def patch_rollout(name: str, rollout: int, body: RolloutPatch) -> RolloutOut:
    """Pause a roll-out, or let it go on.

    A paused one stays at its step; it is watched still, and rolled back when a bound is broken. Refused with 409 if it
    has ended.
    """
    return _told(name, rollout, turned(name, rollout, "pause" if body.state == "paused" else "resume"))


@require("deployments")
@gives(RolloutOut)
def stop_rollout(name: str, rollout: int) -> RolloutOut:
    """Stop a roll-out, or undo one that is done: the weights are those before it again.

    One that was stopped or rolled back stays as it is. Refused with 409 if the weights were changed since it was done.
    """
    return _told(name, rollout, turned(name, rollout, "stop"))


def turned(name: str, rollout: int, do: Literal["pause", "resume", "stop"]) -> Rollout:
    """The roll-out after whoever asks did that to it. Raises UnknownIdError, ConflictError."""
    store = _store()
    found: Rollout = {"pause": store.pause, "resume": store.resume, "stop": store.stop}[do](name, rollout, who_asks())
    state()[0].nudge()
    return found


def _store() -> DeploymentStore:
    return state()[0].traffic.store


def _check_models(live: Live, made: Deployment, rules: RulesBody) -> None:
    """Every variant's model is there and can answer under the rules. Raises ParameterError naming what is not."""
    for at, variant in enumerate(made.variants):
        try:
            served = live.served if variant.source == OWN else live.ready(variant.source)
        except PalateError as error:
            # Of the service it would mean "not ready"; here it is the request that names what cannot be used.
            if error.exit_code != 2 or error.status < 500:
                raise
            field = "model" if variant.source.model else "bundle"
            raise ParameterError(error.message, where=f"variants.{at}.{field}", hint=error.hint) from error
        if served is not None:
            try:
                check(served.catalogue, rules)
            except ParameterError as error:
                raise ParameterError(error.message, where=f"rules.{error.where}", hint=error.hint) from error


def _known_weights(before: Deployment, weights: dict[str, float]) -> dict[str, float]:
    for name in weights:
        if name not in before.weights:
            raise FieldErrors([(f"weights.{name[:80]}", "There is no such variant with traffic.")])
    return weights


def _shown(live: Live, deployment: Deployment) -> DeploymentOut:
    plan = live.traffic.plans.get(deployment.name)
    armed = {each.variant.name: each for each in (*plan.variants, *plan.shadows)} if plan else {}
    problems = plan.problems if plan else {}
    total = sum(deployment.weights.values())
    variants = []
    for each in deployment.variants:
        served = armed[each.name].served if each.name in armed else None
        variants.append(
            VariantOut(
                name=each.name,
                bundle=each.source.bundle,
                model=each.source.model,
                version=each.source.version,
                weight=each.weight,
                share=each.weight / total if total else 0.0,
                shadow=each.shadow,
                model_version=None if served is None else served.version,
                problem=problems.get(each.name),
            )
        )
    return DeploymentOut(
        name=deployment.name,
        variants=variants,
        rules=RulesBody.model_validate(deployment.rules),
        filters=dict(deployment.filters),
        clicks=list(deployment.clicks),
        revision=deployment.revision,
        changed_at=moment(deployment.changed),
        rollout=live.traffic.store.running(deployment.name),
    )


def _told(name: str, number: int, rollout: Rollout) -> RolloutOut:
    return RolloutOut(
        **told(number, rollout),
        deployment=name,
        click_seconds=rollout.click_seconds,
        bounds=BoundsBody(**BoundsBody.of(rollout.bounds)),
    )
