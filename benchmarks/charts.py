"""Charts of the documentation: one style, and the figures that they show kept beside results.json."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

IMAGES = Path(__file__).parent.parent / "docs" / "images"
FIGURES = Path(__file__).parent
TEAL, LIGHT_TEAL, RUST, GREY = "#2f6f6d", "#7fb0ae", "#c2683f", "#444444"
VIOLET, SAND, PALE = "#9a86b8", "#c9b458", "#999999"


def keep(name: str, points: Sequence[Any]) -> None:
    """Write results.NAME.json: a list of objects, from dataclasses."""
    figures = json.dumps([asdict(point) for point in points], indent=1)
    (FIGURES / f"results.{name}.json").write_text(figures + "\n", "utf-8")


def kept(name: str) -> list[dict[str, Any]]:
    """What `keep` wrote last; nothing where it wrote nothing yet."""
    path = FIGURES / f"results.{name}.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else []


@contextmanager
def chart(name: str, rows: int, columns: int, size: tuple[float, float], **shared: Any) -> Iterator[Any]:
    """Axes `(rows, columns)` to draw on; written as docs/images/NAME.svg at the end, the same bytes for the same
    figures. size: width and height in inches; shared: sharex and sharey, as of `pyplot.subplots`."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    style = {"svg.hashsalt": "palate", "font.size": 9, "axes.titlesize": 9, "legend.fontsize": 8,
             "legend.frameon": False, "axes.spines.top": False, "axes.spines.right": False}  # fmt: skip
    with pyplot.rc_context(style):
        figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", **shared)
        yield axes
        path = IMAGES / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        pyplot.close(figure)
    click.echo(f"Drawn: {path}")


def legend(axis: Any) -> None:
    """Name the lines of an axis below the whole chart, where they hide none."""
    handles, labels = axis.get_legend_handles_labels()
    axis.figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
