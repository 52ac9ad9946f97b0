"""`palate endpoints`: serve models over HTTP, deploy them and take them down on this machine."""

from __future__ import annotations

import os
from pathlib import Path

import click

from services.endpoints.app import open_store, resolver
from services.endpoints.hosting import Hosting, Wanted
from services.endpoints.routes import checked_name
from services.endpoints.settings import EndpointSettings
from services.endpoints.source import Source
from services.endpoints.store import ONLY
from services.endpoints.transform import format_of, transform
from services.endpoints.transforms import chosen_variant
from services.variants.bodies import RolloutBody
from services.variants.commands import rollout_commands

FACTORY = "services.endpoints.app:create"


@click.group()
def endpoints() -> None:
    """Serve bundles as model endpoints, in SageMaker's formats."""


@endpoints.command()
@click.option("--host", help="Address to listen on; 127.0.0.1 unless told.")
@click.option("--port", type=int, default=8082, show_default=True)
@click.option("--workers", type=click.IntRange(1, 256), default=2, show_default=True, help="Processes that answer.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["sagemaker", "mlflow"]),
    help="What bare /invocations speaks; sagemaker unless told.",
)
@click.option("--endpoint", help="Which endpoint bare /invocations asks; the only one unless told.")
def serve(host: str | None, port: int, workers: int, form: str | None, endpoint: str | None) -> None:
    """Answer requests until stopped. Needs a key: `palate keys create --house endpoints --scope invoke NAME`."""
    from palate.web.serve import serve as run
    from services import warming

    # Workers fill the cores already; more threads inside them only get in each other's way.
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    if form is not None:
        os.environ["PALATE_INVOCATIONS_FORMAT"] = form
    if endpoint is not None:
        os.environ["PALATE_INVOCATIONS_ENDPOINT"] = checked_name(endpoint)
    settings = EndpointSettings.read()
    # What is wrong with the database is told here, once, instead of by each worker as it dies.
    open_store(settings).engine.dispose()
    run(FACTORY, host or settings.host, port, workers=workers, warms=[warming.arrow])


@endpoints.command()
@click.option("--part", default="", help="Serve only this stage of a pipeline.")
@click.argument("name")
@click.argument("bundle", type=click.Path(path_type=Path))
def deploy(name: str, bundle: Path, part: str) -> None:
    """Put the bundle at BUNDLE behind NAME; running servers follow within a second."""
    settings = EndpointSettings.read()
    here = Hosting(open_store(settings), resolver(settings))
    made, fresh = here.deploy(checked_name(name), [Wanted(ONLY, Source(bundle=str(bundle.absolute()), part=part))])
    click.echo(f"{name} serves {'a' if fresh else 'another'} model of kind {made.variants[0].kind}.")


@endpoints.command("list")
def list_command() -> None:
    """Show what is deployed."""
    for each in open_store(EndpointSettings.read()).all():
        for variant in each.variants:
            source = variant.source
            place = f"{source.model}/{source.version}" if source.model else source.bundle
            part = f" ({source.part})" if source.part else ""
            name = each.name if variant.name == ONLY else f"{each.name}/{variant.name}"
            click.echo(f"{name}  {variant.kind}  {each.deployed:%Y-%m-%d %H:%M}  {place}{part}")


@endpoints.command()
@click.argument("name")
def delete(name: str) -> None:
    """Take NAME down; running servers follow within a second."""
    open_store(EndpointSettings.read()).delete(name)
    click.echo(f"{name} is taken down.")


@endpoints.command("transform")
@click.option("--content-type", help="What INPUT is, if its name does not say: text/csv, application/jsonlines, ...")
@click.option("--accept", help="What OUTPUT is to be, if its name does not say.")
@click.option("--variant", help="Which variant; the one with the most traffic unless told.")
@click.argument("name")
@click.argument("source", metavar="INPUT", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUTPUT", type=click.Path(path_type=Path))
def transform_command(
    name: str, source: Path, target: Path, content_type: str | None, accept: str | None, variant: str | None
) -> None:
    """Ask the endpoint NAME about every row of INPUT and write the answers to OUTPUT, here and now."""
    settings = EndpointSettings.read()
    here = Hosting(open_store(settings), resolver(settings))
    model = here.find(name, chosen_variant(here, name, variant)).artifact
    rows = transform(
        model,
        source,
        target,
        content_type=format_of(source.name, content_type, "--content-type"),
        accept=format_of(target.name, accept, "--accept"),
    )
    click.echo(f"{rows} rows written to {target}.")


endpoints.add_command(rollout_commands(lambda: open_store(EndpointSettings.read()), RolloutBody))
