"""The routes of deployments: what they are, how they do, and moving their traffic."""

from __future__ import annotations

import re
from dataclasses import replace

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
    VariantOut,
    VariantStats,
)
from services.recommender.deployments.records import OWN, Deployment
from services.recommender.deployments.store import DeploymentStore
from services.recommender.live import Live
from services.recommender.rules import check
from services.recommender.state import state
from services.variants import evidence
from services.variants.bodies import StatsPage, moment, who_asks
from services.variants.views import RolloutViews

ROLLOUTS = RolloutViews(
    store=lambda: _store(),
    changed=lambda: state()[0].nudge(),
    scope="deployments",
    told=lambda name, rollout: {"deployment": name, "click_seconds": rollout.click_seconds},
    body=RolloutBody,
    bounds=BoundsBody,
    out=RolloutOut,
    listed=Rollouts,
)
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
    found = _store().figures(name, seconds)
    rivals = [(arm, tally) for arm, tally in found if not arm.shadow]
    best = evidence.best([(tally.clicks, tally.lists) for _, tally in rivals])
    chances = dict(zip([arm.name for arm, _ in rivals], best, strict=True))
    variants = [
        VariantStats.of(
            arm,
            tally,
            lists=tally.lists,
            clicks=tally.clicks,
            click_through=ClickThroughOut(**vars(evidence.click_through(tally.clicks, tally.lists))),
            probability_best=chances.get(arm.name),
        )
        for arm, tally in found
    ]
    return StatsOut(deployment=name, variants=variants)


@gives(Changes)
def list_changes(name: str) -> Changes:
    """Say who changed what of a deployment, the latest 100 changes first. A deleted one's history stays."""
    found = _store().history(name)
    if not found:
        _store().get(name)
    return Changes(changes=[ChangeOut(at=moment(each.at), who=each.who, what=each.what) for each in found])


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
