"""`train_fm`: a factorization machine from a table of any columns, or from a prepared dataset, as a bundle."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from palate.bundle import write_bundle
from palate.errors import InputError, ParameterError, SchemaError
from palate.settings import Settings
from palate.spark.job import CONTEXT, Report, local_path, running
from palate.spark.jobs.train import check_bundle_place, register
from palate.spark.prepared import CARD, Prepared

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from palate.models.factorization_machine import FactorizationMachine


@dataclass(frozen=True)
class Options:
    """input: what `prepare` wrote, or a Parquet or CSV table. label, categorical, numeric: columns of a table.

    liked, negatives, item_attributes, user_attributes: how a prepared dataset becomes rows, see
    `palate.spark.examples`. holdout: the share of a table's rows that the model is measured on and does not learn
    from; of a prepared dataset that is its test part. The rest: Params of FMClassifier and FMRegressor.
    """

    input: Path
    output: Path
    loss: str = "logistic"
    label: str = "label"
    categorical: tuple[str, ...] = ()
    numeric: tuple[str, ...] = ()
    liked: float | None = None
    negatives: int = 1
    item_attributes: tuple[str, ...] = ()
    user_attributes: tuple[str, ...] = ()
    holdout: float = 0.1
    factors: int = 8
    epochs: int = 100
    step_size: float = 0.01
    batch_size: int = 1024
    regularization: float = 0.0
    seed: int = 0
    register: str | None = None
    alias: str | None = None


def train(spark: SparkSession, options: Options, report: Report) -> FactorizationMachine:
    """Trains, measures on the held-out rows, writes the bundle, and registers it where asked to."""
    with report.phase("read"):
        learned, held, categorical = _rows(spark, options)
        learned = learned.cache()
        count = learned.count()
    with report.phase("train"):
        model = _estimator(options, categorical).fit(learned)
    history = model.training
    with report.phase("measure"):
        metrics = {**holdout_metrics(model, held, options), "epochs": float(history.bestIteration)}
    learned.unpersist()
    if history.diverged:
        report.say("training diverged; the best state before that is kept. Lower --step-size.")
    report.say(", ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "epochs"))
    prepared = (options.input / CARD).is_file()
    lineage = {
        "fingerprint": Prepared(options.input).fingerprint if prepared else "",
        "source": str(options.input),
        "rows": count,
        "job": report.job,
    }
    report.note(model="fm", metrics=metrics, lineage=lineage, features=model.numFeatures)
    with report.phase("write the bundle"):
        write_bundle(model.artifact, options.output, metrics=metrics, lineage=lineage)
    if options.register is not None:
        with report.phase("register"):
            found = register(options.output, options.register, options.alias, f"{report.job} fm")
            report.note(registered=found)
    return model.artifact  # type: ignore[no-any-return]


def _rows(spark: SparkSession, options: Options) -> tuple[DataFrame, DataFrame, tuple[str, ...]]:
    """Rows to learn from, rows to measure on, and the categorical columns."""
    if (options.input / CARD).is_file():
        from palate.spark.examples import examples

        found = examples(
            spark,
            Prepared(options.input),
            classes=options.loss == "logistic",
            liked=options.liked,
            negatives=options.negatives,
            item_attributes=options.item_attributes,
            user_attributes=options.user_attributes,
            seed=options.seed,
        )
        return found.train, found.test, found.categories
    from pyspark.sql import functions as f

    table = read_table(spark, options.input)
    columns = [options.label, *options.categorical, *options.numeric]
    for name in columns:
        if name not in table.columns:
            given = ", ".join(table.columns)
            raise SchemaError(f"there is no column {name!r}.", where=str(options.input), hint=f"There is: {given}.")
    rows = table.select(*(f.col(f"`{name}`") for name in columns))
    # By the row's own values, so that the same rows are held out whatever the partitions are.
    place = f.pmod(f.xxhash64(*(f.col(f"`{name}`") for name in columns), f.lit(options.seed)), f.lit(1_000_000))
    held = place < int(options.holdout * 1_000_000)
    return rows.where(~held), rows.where(held), options.categorical


def read_table(spark: SparkSession, path: Path) -> DataFrame:
    """A Parquet or CSV table (with a header; types are inferred), a file or a folder of files of one kind."""
    files = [path] if path.is_file() else sorted(path.rglob("[!._]*")) if path.is_dir() else []
    kinds = {file.name.lower().removesuffix(".gz").rpartition(".")[2] for file in files if file.is_file()}
    found = kinds & {"parquet", "csv"}
    if not path.exists():
        raise InputError("there is no such file or folder.", where=str(path))
    if len(found) != 1:
        raise InputError("holds neither one Parquet nor one CSV table.", where=str(path))
    if found == {"parquet"}:
        return spark.read.parquet(str(path))
    return spark.read.csv(str(path), header=True, inferSchema=True, pathGlobFilter="*.csv*", recursiveFileLookup=True)


def _estimator(options: Options, categorical: tuple[str, ...]) -> Any:
    from palate.spark import FMClassifier, FMRegressor
    from palate.spark.examples import LABEL

    kind = FMClassifier if options.loss == "logistic" else FMRegressor
    prepared = (options.input / CARD).is_file()
    return kind(
        labelCol=LABEL if prepared else options.label,
        categoricalCols=list(categorical),
        numericCols=[] if prepared else list(options.numeric),
        factorSize=options.factors,
        maxIter=options.epochs,
        stepSize=options.step_size,
        batchSize=options.batch_size,
        regParam=options.regularization,
        seed=options.seed,
    )


def holdout_metrics(model: Any, held: DataFrame, options: Options) -> dict[str, float]:
    """`holdout_rmse`, or `holdout_logloss` and `holdout_auc`; nothing of no rows, and no AUC of one class."""
    from pyspark.ml.functions import vector_to_array
    from pyspark.sql import functions as f
    from sklearn.metrics import log_loss, roc_auc_score

    squared = options.loss == "squared"
    answer = f.col(model.getPredictionCol()) if squared else vector_to_array(f.col(model.getProbabilityCol()))[1]
    label = f.col(f"`{model.getLabelCol()}`").cast("double")
    found = model.transform(held).select(label.alias("label"), answer.alias("answer")).toArrow()
    labels, answers = np.asarray(found["label"]), np.asarray(found["answer"])
    if not len(labels):
        return {}
    if squared:
        return {"holdout_rmse": float(np.sqrt(np.mean((labels - answers) ** 2)))}
    metrics = {"holdout_logloss": float(log_loss(labels, answers, labels=[0, 1]))}
    if len(np.unique(labels)) == 2:
        metrics["holdout_auc"] = float(roc_auc_score(labels, answers))
    return metrics


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(name.strip() for name in (text or "").split(",") if name.strip())


def check(options: Options, given: set[str]) -> None:
    """Raises ParameterError for options that do not go together; `given` are the names of those set by hand."""
    prepared = (options.input / CARD).is_file()
    wrong = given & ({"label", "categorical", "numeric", "holdout"} if prepared else _OF_PREPARED)
    if wrong:
        name = "--" + min(wrong).replace("_", "-")
        what = (
            "a table, and the input is a prepared dataset" if prepared else "a prepared dataset, and the input is none"
        )
        raise ParameterError(f"it goes with {what}.", where=name)
    if not prepared and not (options.categorical or options.numeric):
        raise ParameterError("name at least one column to learn from.", where="--categorical or --numeric")
    if options.loss == "squared" and given & {"liked", "negatives"}:
        raise ParameterError("it goes with --loss logistic.", where="--liked" if "liked" in given else "--negatives")
    if {"liked", "negatives"} <= given:
        raise ParameterError("with --liked the interactions themselves say what is not liked.", where="--negatives")
    if not prepared and not options.input.exists():
        raise InputError("there is no such file or folder.", where=str(options.input))


_OF_PREPARED = {"liked", "negatives", "item_attributes", "user_attributes"}


@click.command("train_fm", context_settings=CONTEXT)
@click.option(
    "--input", "input_", required=True, metavar="PATH", help="What `prepare` wrote, or a Parquet or CSV table."
)
@click.option("--output", required=True, metavar="DIR", help="Where the bundle goes; must not exist.")
@click.option(
    "--loss",
    type=click.Choice(["logistic", "squared"]),
    default="logistic",
    show_default=True,
    help="logistic: classification of 0 and 1; squared: regression.",
)
@click.option("--label", default="label", show_default=True, metavar="COLUMN", help="Of a table: what to learn.")
@click.option("--categorical", metavar="COLUMN,...", help="Of a table: columns of text or integers to learn from.")
@click.option("--numeric", metavar="COLUMN,...", help="Of a table: columns of numbers to learn from.")
@click.option(
    "--holdout",
    type=click.FloatRange(0, 0.9),
    default=0.1,
    show_default=True,
    help="Of a table: the share of rows to measure on.",
)
@click.option(
    "--liked",
    type=float,
    metavar="WEIGHT",
    help="Of a prepared dataset: interactions of at least this weight are 1, others 0.",
)
@click.option(
    "--negatives",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Without --liked: unseen items drawn as 0 for each interaction.",
)
@click.option("--item-attributes", metavar="NAME,...", help="Of a prepared dataset: attributes of items to learn from.")
@click.option("--user-attributes", metavar="NAME,...", help="Of a prepared dataset: attributes of users to learn from.")
@click.option("--factors", type=click.IntRange(0, 1024), default=8, show_default=True, help="Width of the factors.")
@click.option(
    "--epochs",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="At most; ends when a validation share gets no better.",
)
@click.option("--step-size", type=float, default=0.01, show_default=True, help="Of the solver.")
@click.option("--batch-size", type=click.IntRange(1), default=1024, show_default=True, help="Rows per step.")
@click.option("--regularization", type=float, default=0.0, show_default=True, help="Weight decay.")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True)
@click.option("--register", is_flag=True, help="Log run and bundle to MLflow, as a new version.")
@click.option("--name", metavar="NAME", help="The registered model; PALATE_MODEL_NAME unless told.")
@click.option("--alias", type=click.Choice(["champion", "challenger"]), help="Point it to the new version.")
@click.pass_context
def command(
    context: click.Context,
    /,
    input_: str,
    output: str,
    register: bool,
    name: str | None,
    alias: str | None,
    **values: Any,
) -> None:
    """Train a factorization machine on rows of categories and numbers, and write its bundle."""
    if not register and (name or alias):
        raise ParameterError("--name and --alias go with --register.", where="--register")
    for text in ("categorical", "numeric", "item_attributes", "user_attributes"):
        values[text] = _names(values[text])
    options = Options(
        input=local_path(input_, "--input"),
        output=local_path(output, "--output"),
        register=(name or Settings.read().model_name) if register else None,
        alias=alias,
        **values,
    )
    report = Report("train_fm", asdict(options))
    check_bundle_place(options.output)
    by_hand = {key for key in values if context.get_parameter_source(key) is click.core.ParameterSource.COMMANDLINE}
    check(options, by_hand)
    with running(report) as spark:
        train(spark, options, report)
    report.write(options.output.with_name(f"{options.output.name}.job.json"))
    version = report.facts.get("registered")
    told = f", version {version['version']} of {version['name']}" if version else ""
    report.say(f"fm in {options.output}{told}")
