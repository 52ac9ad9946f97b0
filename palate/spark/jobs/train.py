"""`train_mf`, `train_content`: a recommender from a prepared dataset, as a bundle.

Spark hands the interactions over in Arrow batches; the arithmetic is the model's own, on the driver.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pyarrow as pa
from pyarrow import dataset as arrow_dataset

from palate.bundle import write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.dataset.splits import leave_last_fraction, random_split
from palate.errors import ConflictError, InputError, ParameterError
from palate.models import KINDS, artifact_class, make_recommender
from palate.models.protocol import Recommender
from palate.settings import Settings
from palate.spark.job import CONTEXT, Report, local_path, running
from palate.spark.prepared import CODES, OPTIONAL, Prepared, interactions_from_arrow
from palate.spark.trials import place_of
from palate.tuning.trials import using

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CUTOFFS = (10, 20)


@dataclass(frozen=True)
class Options:
    """model: a kind of `palate.models`; values: its parameters, as text or typed.

    validate: the share of each user's training history, the latest, that the model is measured on before it is fitted
    to all of it; 0 measures nothing. segments: what `segment` wrote; popularity is then learned within its user
    segments too, by the models that have it. register: the name in the registry, None for none; alias: what to point
    to it.
    """

    input: Path
    output: Path
    model: str = "als"
    values: dict[str, Any] = field(default_factory=dict)
    seed: int | None = None
    validate: float = 0.0
    segments: Path | None = None
    register: str | None = None
    alias: str | None = None


def read_interactions(spark: SparkSession, prepared: Prepared, part: str = "train") -> Interactions:
    """A part of a prepared dataset, read by Spark, handed over in Arrow batches."""
    rows = spark.read.parquet(str(prepared.path / part))
    columns = [name for name in (*CODES, *OPTIONAL) if name in rows.columns]
    return interactions_from_arrow(rows.select(*columns).toArrow(), prepared.users, prepared.items)


def make_model(options: Options) -> Recommender:
    """A new model with the parameters of the options. Raises ParameterError naming the one that is wrong."""
    values = dict(options.values)
    model = make_recommender(options.model, values)
    seeded = "seed" in {entry.name for entry in dataclasses.fields(model.Params)}
    if options.seed is not None and seeded and "seed" not in values:
        return make_recommender(options.model, {**values, "seed": options.seed})
    return model


def validation_metrics(
    options: Options, train: Interactions, items: Items | None, users: Users | None
) -> dict[str, float]:
    """Metrics, under names like `validation_ndcg@10`, of a model fitted without the latest share of `train`."""
    from palate.evaluation.protocol import evaluate

    if train.timestamps is not None:
        parts = leave_last_fraction(train, options.validate)
    else:
        parts = random_split(train, options.validate, options.seed or 0)
    found = evaluate(make_model(options), parts.train, parts.test, CUTOFFS, items, users)
    return {f"validation_{name}": value for name, value in found.measures.metrics.items()}


def train(spark: SparkSession, options: Options, report: Report) -> Recommender:
    """Fits the model to the training part, writes the bundle, and registers it where asked to."""
    prepared = Prepared(options.input)
    model = make_model(options)
    with report.phase("read"):
        interactions = read_interactions(spark, prepared)
        items = prepared.described() if options.model == "content" else prepared.catalogue()
        users = prepared.people()
        if options.segments is not None:
            users = segmented(users, options.segments)
    metrics: dict[str, float] = {}
    if options.validate:
        with report.phase("validate"):
            metrics = validation_metrics(options, interactions, items, users)
        report.say(", ".join(f"{name} {metrics[name]:.4f}" for name in ("validation_ndcg@10", "validation_recall@20")))
    start = time.perf_counter()
    with report.phase("train"), using(place_of(spark)):  # a search tries its candidates on the executors
        model.fit(interactions, items, users)
    metrics["train_seconds"] = round(time.perf_counter() - start, 3)
    lineage = {
        "fingerprint": prepared.fingerprint,
        "source": str(prepared.card.get("source", "")),
        "interactions": len(interactions),
        "job": report.job,
    }
    report.note(model=model.kind, params=asdict(model.params), metrics=metrics, lineage=lineage)
    with report.phase("write the bundle"):
        write_bundle(model, options.output, metrics=metrics, lineage=lineage)
    if options.register is not None:
        with report.phase("register"):
            run_name = f"{report.job} {model.kind}"
            report.note(registered=register(options.output, options.register, options.alias, run_name))
    return model


def segmented(users: Users | None, segments: Path) -> Users:
    """The users with the attribute `segment`, as the job `segment` found it. Raises InputError if it is not there."""
    if not segments.is_dir():
        raise InputError("there is no such folder.", where=str(segments))
    try:
        found = arrow_dataset.dataset(sorted(map(str, (segments / "users").glob("*.parquet")))).to_table()
        ids, numbers = found["id"], found["segment"].to_pylist()
    except (OSError, KeyError, pa.ArrowException) as error:
        raise InputError(
            f"holds no user segments ({str(error).splitlines()[0][:200]}).",
            where=str(segments),
            hint="Give what `palate job segment` wrote.",
        ) from None
    held = users if users is not None else Users(IdMap(ids))
    return held.with_attribute("segment", ids, numbers)


def register(bundle: Path, name: str, alias: str | None, run_name: str) -> dict[str, str]:
    """Logs the bundle as a run and a new version in the registry; points the alias to it where one is given."""
    from palate.tracking import Tracker

    tracker = Tracker(Settings.read())
    version = tracker.log_model(bundle, run_name=run_name, register_as=name)
    if alias is not None:
        tracker.promote(name, version.version, alias)
    return {"name": name, "version": str(version.version), "alias": alias or ""}


def parse_settings(settings: tuple[str, ...]) -> dict[str, Any]:
    """`NAME=VALUE` texts as a mapping. Raises ParameterError for one that is none, or comes twice."""
    values: dict[str, Any] = {}
    for setting in settings:
        name, separator, value = setting.partition("=")
        if not separator or not name:
            raise ParameterError(f"{setting[:80]!r} is not NAME=VALUE.", where="--set")
        if name in values:
            raise ParameterError(f"{name!r} is given twice.", where="--set")
        values[name] = value
    return values


def recommenders() -> list[str]:
    """The kinds that rank items."""
    return [kind for kind in KINDS if issubclass(artifact_class(kind), Recommender)]


def training_command(name: str, model: str, help_: str) -> click.Command:
    """The click command of a training job; they differ in the model that they train unless told otherwise."""

    @click.command(name, context_settings=CONTEXT, help=help_)
    @click.option("--input", "input_", required=True, metavar="DIR", help="What `prepare` wrote.")
    @click.option("--output", required=True, metavar="DIR", help="Where the bundle goes; must not exist.")
    @click.option("--model", default=model, show_default=True, metavar="KIND", help="als, ease, blend, auto, ...")
    @click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter; repeatable.")
    @click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="The model's seed, where it has one.")
    @click.option(
        "--validate",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="First measure a model that lacks this share of each user's training history.",
    )
    @click.option("--segments", metavar="DIR", help="What `segment` wrote: learn what is popular in each segment, too.")
    @click.option("--register", is_flag=True, help="Log run and bundle to MLflow, as a new version.")
    @click.option("--name", metavar="NAME", help="The registered model; PALATE_MODEL_NAME unless told.")
    @click.option("--alias", type=click.Choice(["champion", "challenger"]), help="Point it to the new version.")
    def command(
        input_: str,
        output: str,
        model: str,
        settings: tuple[str, ...],
        seed: int | None,
        validate: float,
        segments: str | None,
        register: bool,
        name: str | None,
        alias: str | None,
    ) -> None:
        if not register and (name or alias):
            raise ParameterError("--name and --alias go with --register.", where="--register")
        options = Options(
            local_path(input_, "--input"),
            local_path(output, "--output"),
            model,
            parse_settings(settings),
            seed,
            validate,
            None if segments is None else local_path(segments, "--segments"),
            (name or Settings.read().model_name) if register else None,
            alias,
        )
        report = Report(command.name or "train", asdict(options))
        check_bundle_place(options.output)
        make_model(options)
        Prepared(options.input)
        with running(report) as spark:
            train(spark, options, report)
        report.write(options.output.with_name(f"{options.output.name}.job.json"))
        version = report.facts.get("registered")
        told = f", version {version['version']} of {version['name']}" if version else ""
        report.say(f"{model} in {options.output}{told}")

    return command


def check_bundle_place(path: Path) -> None:
    """Raises ConflictError if there is something at `path` already: a bundle is never changed."""
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        raise ConflictError(
            "there is something here already, and a bundle is never changed.",
            where=str(path),
            hint="Give another --output.",
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}.", where=str(path)) from None


train_mf = training_command(
    "train_mf",
    "als",
    "Train a matrix factorization of implicit feedback (or another model that ranks items) and write its bundle.",
)
train_content = training_command(
    "train_content", "content", "Train the content model, which also ranks items that nobody has touched yet."
)
