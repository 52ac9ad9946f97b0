"""`palate label publish`: a project's labels into the catalogue of the recommendation API."""

from __future__ import annotations

import click


@click.command(no_args_is_help=True)
@click.argument("project", type=int)
@click.option("--url", required=True, metavar="URL", help="The recommendation API, http://host:port.")
@click.option("--as", "name", default="label", show_default=True, help="The attribute that holds the label.")
@click.option(
    "--into",
    type=click.Choice(["categories", "tags", "attributes"]),
    default="categories",
    show_default=True,
    help="Where else the label goes, so that models learn from it.",
)
@click.option("--least", type=float, default=0.0, show_default=True, help="Leave out labels less sure than this.")
def publish(project: int, url: str, name: str, into: str, least: float) -> None:
    """Write a project's labels, with their confidence, into the catalogue that is recommended from.

    A task's external id is the item's. Needs a key of the scopes recommend and catalogue in PALATE_API_KEY. Again, it
    changes only what changed.
    """
    from labeling.commands.telling import tell
    from labeling.service import Labeling
    from labeling.settings import LabelingSettings
    from labeling.work.abreast import CONNECTIONS
    from labeling.work.publish import publish as write
    from palate.client.catalogue import Catalogue

    settings = LabelingSettings.read()
    service = Labeling.open(settings.database("labeling"))
    found, finals = service.finals(project)
    catalogue = Catalogue(url, connections=CONNECTIONS)

    def told(done: int) -> None:
        if done % 100 == 0:
            tell(f"{done} items", over=True)

    try:
        result = write(found, finals, catalogue, name, into, least, told)
    finally:
        catalogue.close()
    click.echo(
        f"{result.changed} items changed, {result.same} were so already, {result.taken_out} lost a label that is "
        f"withdrawn or unsure, {result.missing} are not in the catalogue; {result.unlabeled} tasks have no sure label."
    )
