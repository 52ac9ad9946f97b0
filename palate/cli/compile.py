"""`palate compile`: a bundle in the form in which its model answers soonest, as measured on its own users."""

from __future__ import annotations

import json
import math
from pathlib import Path

import click

from palate.bundle import load_bundle, read_manifest, require_free, write_bundle
from palate.errors import CapabilityError, ParameterError

_FORMS = ("exact", "float16", "int8", "index")
_FACTORS = "als, ials, bpr, logistic-mf and sasrec"
_BY_CONTENT = "It scores new items by their content as they come, which a form made beforehand would lack."
_BY_ROWS = "It ranks no items, but answers row by row: send it many rows in one request."
_PARTS = f"It adds up what its parts say of every item. One of {_FACTORS} that is nearly as good can be compiled."
_INSTEAD = {
    "popularity": "It answers from one list, which is ranked already.",
    "ease": "It adds up rows of what a user has seen: `sparse-ease` holds less of each row.",
    "sparse-ease": "It adds up rows of what a user has seen: fewer `neighbours` make them shorter.",
    "item-knn": "It adds up lists of what a user has seen: fewer `neighbours` make them shorter.",
    "user-knn": "It compares a history with those of all users: `item-knn` reads only lists of what the user has seen.",
    "content": _BY_CONTENT,
    "cold-start": _BY_CONTENT,
    "content-map": _BY_CONTENT,
    "two-tower": _BY_CONTENT,
    "blend": _PARTS,
    "auto": _PARTS,
    "content-encoder": _BY_ROWS,
    "deepfm": _BY_ROWS,
    "fm": _BY_ROWS,
    "pca": _BY_ROWS,
    "kmeans": _BY_ROWS,
    "pipeline": _BY_ROWS,
}
"""What is said of a kind that cannot be compiled; of any other, which kinds can."""


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Where the new bundle goes.")
@click.option(
    "--form",
    "forms",
    multiple=True,
    type=click.Choice(_FORMS),
    help="A candidate, given once or more. One alone is taken; all four compete unless told.",
)
@click.option(
    "--recall",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.995,
    show_default=True,
    help="The share of the true best 20 that has to be found, on average over users.",
)
@click.option("--memory", type=click.FloatRange(0), metavar="MB", help="The most that a form may add to the bundle.")
@click.option(
    "--by",
    type=click.Choice(["p50", "p99"]),
    default="p99",
    show_default=True,
    help="Which time of an answer has to be least: in the median, or in 99 of 100.",
)
@click.option("--clusters", type=click.IntRange(1), help="Of an index; the square root of the items unless told.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print what was measured as JSON, for other programs.")
def compile(
    bundle: Path,
    output: Path,
    forms: tuple[str, ...],
    recall: float,
    memory: float | None,
    by: str,
    clusters: int | None,
    seed: int,
    as_json: bool,
) -> None:
    """Make the factor model in BUNDLE (als, ials, bpr, logistic-mf, sasrec) answer sooner.

    Measures on users of the model how soon it answers, and how well: with its factors as they are (exact), with rounded
    ones beside them by which few are left to look at (int8, float16; the answers stay the same), and with clusters of
    items, of which only those that can hold something good are looked at (index). Of the forms that reach the recall
    and add no more memory than allowed, it writes the fastest; exact, unless another is at least a tenth faster. What
    was measured is printed and kept in the manifest (`palate bundle show`).
    """
    from palate.models.compiling import compiled
    from palate.models.factorization import FactorModel

    require_free(output)
    model = load_bundle(bundle)
    if not isinstance(model, FactorModel):
        raise CapabilityError(
            f"models of the kind {model.kind} do not score by factors, so they have no other form.",
            hint=_INSTEAD.get(model.kind, f"Compiled are {_FACTORS}."),
        )
    if memory is not None and not math.isfinite(memory):
        raise ParameterError(f"must be a number of megabytes, not {memory}.", where="--memory")
    room = None if memory is None else int(memory * 1e6)
    made, report = compiled(
        model,
        tuple(dict.fromkeys(forms)) or _FORMS,
        recall=recall,
        memory=room,
        by="p50" if by == "p50" else "p99",
        clusters=clusters,
        seed=seed,
    )
    before = read_manifest(bundle)
    write_bundle(made, output, metrics=before.metrics, lineage={**before.lineage, "compiled": report.plain()})
    if as_json:
        click.echo(json.dumps({"bundle": str(output), **report.plain()}))
        return
    click.echo(f"{output}: {len(made.items):,} items, measured on {report.users} users.")
    for line in report.lines():
        click.echo(line)
