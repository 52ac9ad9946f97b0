"""`palate label editor`: fetch Label Studio's editor, for projects that our own page cannot show."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--wheel",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The package's wheel, fetched elsewhere, where this machine has no network.",
)
def editor(wheel: Path | None) -> None:
    """Fetch Label Studio's editor from its package on PyPI (82 MB), check it by its hash, keep what is needed of it.

    Projects whose interface has tags that the labeling page does not know open in it. It goes into the cache folder;
    again, it is fetched anew.
    """
    from labeling.editor import VERSION, fetch
    from labeling.settings import LabelingSettings

    there = fetch(LabelingSettings.read().cache, wheel)
    click.echo(f"Label Studio's editor {VERSION} is in {there}.")
