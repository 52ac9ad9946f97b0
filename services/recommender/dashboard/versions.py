"""The models there are: the versions of the folder or registered model that the service was started with, and those
of variants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from flask import current_app, render_template

from palate.bundle import bundle_versions, read_manifest
from palate.errors import PalateError
from services.recommender import about
from services.recommender.live import Live
from services.recommender.served import Release
from services.recommender.settings import RecommenderSettings
from services.recommender.state import state

_SHOWN = 30
_METRICS = 8


@dataclass(frozen=True)
class Version:
    """One version. created: as ISO 8601. aliases: what points to it. problem: why it cannot be read."""

    name: str
    kind: str = ""
    created: str = ""
    metrics: Mapping[str, float] | None = None
    aliases: tuple[str, ...] = ()
    problem: str = ""


def models() -> str:
    """What is served, and every version with its metrics."""
    live = state()[0]
    settings: RecommenderSettings = current_app.extensions["palate"].settings
    found: list[Version] = []
    problem = ""
    try:
        found = _in_folder(settings.bundle) if settings.bundle is not None else _registered(settings)
    except PalateError as error:
        problem = error.message
    found = _merged(found, _of_variants(live))
    metrics = list(dict.fromkeys(name for each in found for name in each.metrics or ()))[:_METRICS]
    return render_template(
        "dashboard/models.html",
        model=about.model(live) if live.served is not None else None,
        problems=dict(live.problems),
        versions=found,
        metrics=metrics,
        problem=problem,
        source=settings.model_name if settings.bundle is None else settings.bundle.name,
    )


def _merged(found: Sequence[Version], more: Sequence[Version]) -> list[Version]:
    """Those found, with the aliases that the others give them; then the others."""
    aliases = {each.name: each.aliases for each in more}
    known = {each.name for each in found}
    return [
        *(replace(each, aliases=(*each.aliases, *aliases.get(each.name, ()))) for each in found),
        *(each for each in more if each.name not in known),
    ]


def _of_variants(live: Live) -> list[Version]:
    """What the variants of deployments serve in this worker."""
    serving: dict[str, Release] = {}
    told: dict[str, list[str]] = {}
    for plan in live.traffic.plans.values():
        for each in (*plan.variants, *plan.shadows):
            if (served := each.served) is not None:
                serving[served.version] = served.release
                told.setdefault(served.version, []).append(f"{plan.deployment.name}: {each.variant.name}")
    return [
        Version(name, held.model.kind, held.trained or "", held.metrics, tuple(told[name]))
        for name, held in serving.items()
    ]


def _in_folder(folder: Path) -> list[Version]:
    """The bundles in a folder, newest first; or the one bundle that it is."""
    if (folder / "manifest.json").is_file():
        return [_read(folder)]
    names = bundle_versions(folder)
    return [_read(folder / name) for name in names[::-1][:_SHOWN]]


def _read(path: Path) -> Version:
    try:
        manifest = read_manifest(path)
    except PalateError as error:
        return Version(path.name, problem=error.message)
    return Version(path.name, manifest.kind, manifest.created.isoformat(), manifest.metrics)


def _registered(settings: RecommenderSettings) -> list[Version]:
    """The versions of the registered model, newest first."""
    from palate.tracking import Tracker

    tracker = Tracker(settings)
    known = tracker.versions(settings.model_name)[:_SHOWN]
    metrics = tracker.metrics(known)
    return [
        Version(f"{each.name}/{each.version}", each.kind, each.created, metrics.get(each.version), each.aliases)
        for each in known
    ]
