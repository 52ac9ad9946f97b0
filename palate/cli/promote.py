"""`palate promote`: move the alias champion or challenger to a version of the model."""

from __future__ import annotations

import click

from palate.settings import Settings


@click.command()
@click.argument("version")
@click.option("--model", metavar="NAME", help="The registered model; that of the settings unless told.")
@click.option(
    "--alias",
    type=click.Choice(["champion", "challenger"]),
    default="champion",
    show_default=True,
    help="champion is served; challenger is the one to compare it with.",
)
def promote(version: str, model: str | None, alias: str) -> None:
    """Point an alias of the registered model to VERSION, a number."""
    from palate.tracking import Tracker  # MLflow takes seconds to import

    settings = Settings.read()
    name = model or settings.model_name
    before = Tracker(settings).promote(name, version, alias)
    if before == version:
        click.echo(f"{name}: {alias} is version {version} already.")
    else:
        click.echo(f"{name}: {alias} moved from {f'version {before}' if before else 'nothing'} to version {version}.")
