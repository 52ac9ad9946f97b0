"""`palate train`: fit a model to files, without Spark, and keep it as a bundle."""

from __future__ import annotations

import time
from pathlib import Path

import click

from palate.cli.evaluate import choose_model, progress_bar, tell_search, tracked, with_search
from palate.errors import ConflictError, ParameterError
from palate.settings import Settings


@click.command(no_args_is_help=True)
@click.option("--train", required=True, type=Path, metavar="FILE", help="Interactions to learn from: a file or folder.")
@click.option(
    "--format", "format_", default="auto", show_default=True, help="csv, parquet, jsonl, movielens, lightgcn."
)
@click.option("--mapping", type=Path, metavar="YAML", help="Which column means what.")
@click.option("--items", type=Path, metavar="FILE", help="The catalogue, where it is not in the training folder.")
@click.option("--model", default="auto", show_default=True, metavar="NAME", help="ease, als, blend, auto, ...")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the model; repeatable.")
@click.option("--budget", metavar="TIME", help="Of the model auto: how long everything may take, 90s, 15m or 2h.")
@click.option("--report", "page", type=Path, metavar="HTML", help="Of the model auto: a page that tells what it tried.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of the model.")
@click.option("--out", required=True, type=Path, metavar="DIR", help="Where the bundle goes; must not exist.")
@click.option("--register", is_flag=True, help="Log run and bundle to MLflow, as a new version.")
@click.option("--alias", type=click.Choice(["champion", "challenger"]), help="Point it to the new version.")
def train(
    train: Path,
    format_: str,
    mapping: Path | None,
    items: Path | None,
    model: str,
    settings: tuple[str, ...],
    budget: str | None,
    page: Path | None,
    seed: int,
    out: Path,
    register: bool,
    alias: str | None,
) -> None:
    """Fit a model to all of the data, and write its bundle.

    \b
    palate train --train ml-latest-small --model auto --budget 15m --out models/best
    palate train --train interactions.csv --model ease --out models/ease --register --alias champion
    """
    from palate.bundle import write_bundle
    from palate.evaluation.data import read_data

    chosen = choose_model(model, with_search(model, settings, budget, page), seed)
    if alias is not None and not register:
        raise ParameterError("it goes with --register.", where="--alias")
    if out.exists():
        raise ConflictError("there is something here already, and a bundle is never changed.", where=str(out))
    with progress_bar() as report, tracked(model):
        report("reading", 0, 1)
        data = read_data(train, None, format_, mapping, items)
        report("reading", 1, 1)
        report("training", 0, 1)
        started = time.perf_counter()
        chosen.fit(data.train, data.items, data.users)
        seconds = time.perf_counter() - started
        report("training", 1, 1)
    lineage = {"fingerprint": data.train.fingerprint, "source": str(train), "interactions": len(data.train)}
    write_bundle(chosen, out, metrics={"train_seconds": round(seconds, 3)}, lineage=lineage)
    tell_search(chosen)
    click.echo(f"{model} of {len(data.train):,} interactions in {out}, trained in {seconds:.1f} s.")
    if register:
        from palate.tracking import Tracker

        known = Settings.read()
        version = Tracker(known).log_model(out, run_name=f"train {model}", register_as=known.model_name)
        click.echo(f"Version {version.version} of {version.name}.")
        if alias is not None:
            Tracker(known).promote(version.name, version.version, alias)
