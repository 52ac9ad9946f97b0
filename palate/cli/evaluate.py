"""`palate evaluate`: measure a model by full ranking on held-out data."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from palate.errors import ParameterError
from palate.evaluation.data import SPLITS, cut, joined, read_data
from palate.evaluation.metrics import check_cutoffs
from palate.evaluation.ranking import Progress as Report
from palate.evaluation.report import check_writable, print_report, write_json
from palate.models import make_recommender, recommender_class
from palate.models.protocol import Recommender
from palate.settings import Settings


@click.command(no_args_is_help=True)
@click.option("--train", required=True, type=Path, metavar="FILE", help="Interactions to learn from: a file or folder.")
@click.option("--test", type=Path, metavar="FILE", help="Held-out interactions, unless --split or --cold cuts them.")
@click.option(
    "--format", "format_", default="auto", show_default=True, help="csv, parquet, jsonl, movielens, lightgcn."
)
@click.option("--mapping", type=Path, metavar="YAML", help="Which column means what.")
@click.option("--items", type=Path, metavar="FILE", help="The catalogue, for models and metrics that look at content.")
@click.option("--model", required=True, metavar="NAME", help="popularity, ease, als, blend, auto, ...")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter of the model; repeatable.")
@click.option("--budget", metavar="TIME", help="Of the model auto: how long everything may take, 90s, 15m or 2h.")
@click.option("--report", "page", type=Path, metavar="HTML", help="Of the model auto: a page that tells what it tried.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Of model and intervals.")
@click.option("--k", "cutoffs", default="10,20", show_default=True, metavar="K,K", help="Rank cut-offs.")
@click.option("--split", type=click.Choice(SPLITS), help="Cut the test from --train instead of reading --test.")
@click.option(
    "--cold",
    type=click.Choice(["items", "users", "arrivals"]),
    help="Hold out whole items or users; arrivals are users of whom only attributes are known.",
)
@click.option("--holdout", type=float, default=0.2, show_default=True, help="The share that --split or --cold cuts.")
@click.option("--json", "output", type=Path, metavar="OUT", help="Write the result to this file, too.")
def evaluate(
    train: Path,
    test: Path | None,
    format_: str,
    mapping: Path | None,
    items: Path | None,
    model: str,
    settings: tuple[str, ...],
    budget: str | None,
    page: Path | None,
    seed: int,
    cutoffs: str,
    split: str | None,
    cold: str | None,
    holdout: float,
    output: Path | None,
) -> None:
    """Measure a model: all items ranked for every test user, training items masked.

    \b
    palate evaluate --train train.txt --test test.txt --format lightgcn --model als --set factors=128 --k 20
    palate evaluate --train ml-latest-small --split leave-last-fraction --model als --json als.json
    palate evaluate --train ml-latest-small --cold items --model content
    palate evaluate --train train.txt --test test.txt --model auto --budget 15m --report tried.html
    """
    from palate.evaluation.cold import evaluate_cold
    from palate.evaluation.protocol import evaluate as evaluate_warm

    require_one_test(test, split, cold)
    ks = parse_cutoffs(cutoffs)
    chosen = choose_model(model, with_search(model, settings, budget, page, split), seed)
    if not 0 < holdout < 1:
        raise ParameterError(f"it must be between 0 and 1, not {holdout:g}.", where="--holdout")
    if output is not None:
        check_writable(output)
    with progress_bar() as report, tracked(model):
        report("reading", 0, 1)
        started = time.perf_counter()
        data = read_data(train, test, format_, mapping, items)
        reading = time.perf_counter() - started
        report("reading", 1, 1)
        if cold is not None:
            found = evaluate_cold(chosen, joined(data), cold, holdout, ks, data.items, data.users, seed, report)
        else:
            data = data if split is None else cut(data, split, holdout, seed)
            found = evaluate_warm(chosen, data.train, data.held_out, ks, data.items, data.users, seed, report)
    found = dataclasses.replace(found, seconds=dataclasses.replace(found.seconds, reading=reading))
    if output is not None:
        write_json(found, output)  # first: whoever reads the table may stop reading
    print_report(found, Console())
    tell_search(chosen)


def require_one_test(test: Path | None, split: str | None, cold: str | None) -> None:
    """Raises ParameterError unless it is clear what to test on."""
    if split is not None and (test is not None or cold is not None):
        other = "--test" if test is not None else "--cold"
        raise ParameterError(f"--split and {other} both say what to test on; give one.", where="--split")
    if test is None and split is None and cold is None:
        hint = "Give --test FILE, or --split leave-last-fraction, or --cold items."
        raise ParameterError("there is nothing to test on.", where="--test", hint=hint)


def parse_cutoffs(text: str) -> tuple[int, ...]:
    """ "10,20" to (10, 20), each once, ascending. Raises ParameterError naming what is not a cut-off."""
    try:
        ks = sorted({int(part) for part in text.split(",")})
    except ValueError:
        raise ParameterError(f"{text[:80]!r} is not a list of whole numbers such as 10,20.", where="--k") from None
    check_cutoffs(ks)
    if ks[-1] > 100_000:
        raise ParameterError(f"a rank cut-off of {ks[-1]} is beyond 100,000.", where="--k")
    return tuple(ks)


def choose_model(name: str, settings: tuple[str, ...], seed: int) -> Recommender:
    """The model with its parameters; the seed is one of them if the model has one and `--set` does not say it."""
    values: dict[str, object] = {}
    for setting in settings:
        key, separator, value = setting.partition("=")
        if not separator or not key:
            raise ParameterError(f"{setting[:80]!r} is not NAME=VALUE.", where="--set")
        values[key.strip()] = value.strip()
    if any(field.name == "seed" for field in dataclasses.fields(recommender_class(name).Params)):
        values.setdefault("seed", seed)
    return make_recommender(name, values)


def with_search(
    model: str, settings: tuple[str, ...], budget: str | None, page: Path | None, split: str | None = None
) -> tuple[str, ...]:
    """The settings with what `--budget` and `--report` say; and a search looks for what the split does, unless it is
    told what else. Raises ParameterError for a model that does not search."""
    for option, value in (("--budget", budget), ("--report", page)):
        if value is not None and model != "auto":
            raise ParameterError(f"{model} is trained at once.", where=option, hint="It goes with --model auto.")
    if page is not None:
        check_writable(page)
    told = {"budget": budget, "report": page}
    look = ("look=anywhere",) if model == "auto" and split == "random" else ()
    return (*look, *settings, *(f"{name}={value}" for name, value in told.items() if value is not None))


def tell_search(model: Recommender) -> None:
    """What a search tried, where the model comes from one."""
    story = getattr(model, "story", None)
    if story is not None:
        click.echo("\n" + "\n".join(story.lines()))


@contextmanager
def tracked(model: str) -> Iterator[None]:
    """An MLflow run around a search, if PALATE_TRACKING_URI says where to."""
    if model != "auto":
        yield
        return
    from palate.tuning.tracked import tracked as tracked_search

    with tracked_search(Settings.read(), "search"):
        yield


@contextmanager
def progress_bar() -> Iterator[Report]:
    """A bar per stage on standard error, if that is a terminal; nothing otherwise."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description:>9}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        tasks = {}

        def report(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=total)
            bar.update(tasks[stage], completed=done, total=total)

        yield report
