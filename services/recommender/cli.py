"""`palate api`: serve recommendations, bring the catalogue in, take the events out."""

from __future__ import annotations

import os
from pathlib import Path

import click

from services.recommender.app import open_store
from services.recommender.catalogue_files import export_events, import_items
from services.recommender.deployments.bodies import RolloutBody
from services.recommender.deployments.store import DeploymentStore
from services.recommender.settings import RecommenderSettings
from services.variants.commands import rollout_commands

FACTORY = "services.recommender.app:create"


@click.group()
def api() -> None:
    """Serve recommendations over HTTP."""


@api.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 unless told.")
@click.option("--port", type=int, default=8000, show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes that answer.")
@click.option(
    "--bundle",
    type=click.Path(path_type=Path),
    help="A bundle, or a folder of bundles; else the registered model's champion.",
)
def serve(host: str | None, port: int, workers: int, bundle: Path | None) -> None:
    """Answer requests until stopped. Needs a key: `palate keys create --scope recommend NAME`."""
    from palate.web.serve import serve as run
    from services import warming

    if bundle is not None:
        os.environ["PALATE_BUNDLE"] = str(bundle.absolute())
    # Workers fill the cores already; more threads inside them only get in each other's way.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    settings = RecommenderSettings.read()
    # What is wrong with the database is told here, once, instead of by each worker as it dies.
    open_store(settings).engine.dispose()
    run(FACTORY, host or settings.host, port, workers=workers, warms=[warming.recommender])


@api.command("import-items")
@click.argument("folder", type=click.Path(path_type=Path))
def import_command(folder: Path) -> None:
    """Put the items of FOLDER (what `prepare` wrote, or a file of items) into the live catalogue."""
    total, written = import_items(open_store(RecommenderSettings.read()), folder)
    click.echo(f"{total} items, {written} of them new or changed.")


@api.command("export-events")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
def export_command(file: Path) -> None:
    """Write all events to FILE as Parquet, for the next `prepare`."""
    count = export_events(open_store(RecommenderSettings.read()), file)
    click.echo(f"{count} events written to {file}.")


def _deployments() -> DeploymentStore:
    return DeploymentStore(open_store(RecommenderSettings.read()).engine)


api.add_command(rollout_commands(_deployments, RolloutBody, clicks=True))
