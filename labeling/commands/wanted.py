"""`palate label wanted`: what the recommender would like to know, first in the queue."""

from __future__ import annotations

import click


@click.command(no_args_is_help=True)
@click.argument("project", type=int)
@click.option("--url", required=True, metavar="URL", help="The recommendation API, http://host:port.")
@click.option("--as", "name", default="label", show_default=True, help="The attribute that labels are published as.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="So many become tasks.")
@click.option("--days", type=float, default=30.0, show_default=True, help="Events of so many days count.")
def wanted(project: int, url: str, name: str, limit: int, days: float) -> None:
    """Ask people first for the items that it would help most to know more about: much met, little known.

    The most wanted become tasks, where the project lacks them; from then on it goes by priority. Needs a key of the
    scope recommend in PALATE_API_KEY. Again, it follows what has changed.
    """
    from labeling.service import Labeling
    from labeling.settings import LabelingSettings
    from labeling.work.abreast import CONNECTIONS
    from labeling.work.wanted import take_wanted
    from palate.client.catalogue import Catalogue

    settings = LabelingSettings.read()
    catalogue = Catalogue(url, connections=CONNECTIONS)
    try:
        found = catalogue.wanted(name, None, days)
        engine = Labeling.open(settings.database("labeling")).engine
        result = take_wanted(engine, project, found, catalogue, limit)
    finally:
        catalogue.close()
    if not found:
        click.echo("No item is wanted.")
        return
    click.echo(
        f"{len(found)} items are wanted, most of all {found[0].item}: {result.added} tasks added, {result.changed} "
        f"moved; {result.waiting} of these items wait for an answer."
    )
    if not result.waiting:
        click.echo(
            "What has been answered is wanted until it is published (palate label publish). A larger --limit adds more."
        )
