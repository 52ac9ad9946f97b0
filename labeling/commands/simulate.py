"""`palate label simulate`: what auto-labeling would have done with data whose labels are known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labeling.commands.telling import tell
from labeling.settings import LabelingSettings
from palate.errors import ParameterError
from palate.evaluation.report import check_writable
from palate.files import written_whole

if TYPE_CHECKING:
    from labeling.autolabel import Outcome, Round


@click.command(no_args_is_help=True)
@click.option(
    "--data",
    "files",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    help="CSV, JSON lines or Parquet with the true labels; several are put together.",
)
@click.option("--text", metavar="COL", help="The column of texts. Without: all other columns are features.")
@click.option("--label", required=True, metavar="COL", help="The column of true labels.")
@click.option(
    "--separator", metavar="TEXT", help="Where items have several labels: what stands between them, such as |."
)
@click.option("--target", type=float, default=0.95, show_default=True, help="The promised share of right labels.")
@click.option("--confidence", type=float, default=0.95, show_default=True, help="How surely it shall hold.")
@click.option("--budget", type=int, help="Answers of people in all, audit included. [as many as it takes]")
@click.option("--check", type=float, default=0.01, show_default=True, help="Share of labels people check at least.")
@click.option(
    "--features",
    type=click.Choice(["auto", "tfidf", "embeddings"]),
    default="auto",
    show_default=True,
    help="Of texts.",
)
@click.option("--workers", type=int, help="So many people, who err; without, one who never does.")
@click.option("--worker-accuracy", type=float, help="How often each of them is right.  [0.8]")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--json", "out", type=click.Path(dir_okay=False, path_type=Path), help="A file for the whole report.")
def simulate(
    files: tuple[Path, ...],
    text: str | None,
    label: str,
    separator: str | None,
    target: float,
    confidence: float,
    budget: int | None,
    check: float,
    features: str,
    workers: int | None,
    worker_accuracy: float | None,
    seed: int,
    out: Path | None,
) -> None:
    """Play the loop of people and model against known labels."""
    from labeling.autolabel import Goal, judge, label_accuracy, play, suspects
    from labeling.autolabel.annotators import SetNames, people_for
    from labeling.autolabel.learning import learner_for
    from labeling.autolabel.tables import read_known

    goal = Goal(target=target, confidence=confidence, budget=budget, check=check, check_at_most=max(check, 0.05))
    if worker_accuracy is not None and workers is None:
        raise ParameterError("says nothing without --workers.", where="worker_accuracy")
    if out is not None:
        check_writable(out)
    known = read_known(files, label, text, separator)
    people, codes = people_for(known, workers, 0.8 if worker_accuracy is None else worker_accuracy, seed)
    several = codes if isinstance(codes, SetNames) else None
    learner = learner_for(known, features, LabelingSettings.read().cache)

    def told(last: Round) -> None:
        tell(
            f"Round {last.round}: {last.labeled} labeled by people, {last.automatic} automatically; "
            f"the model is right on about {last.pool_accuracy:.1%} of the rest."
        )

    state, made = play(learner, people, goal, seed, told, None if several is None else several.sets)
    outcome = judge(state, made, people.names, known.labels, goal, learner.name)
    if several is not None:
        outcome = replace(outcome, per_label=label_accuracy(made, several, known.labels))
    doubted = suspects(state, learner, seed)
    if out is not None:
        report = {**outcome.to_dict(), "seed": seed, "left_out": known.left_out, "suspects": doubted.tolist()}
        with written_whole(out) as file:
            file.write((json.dumps(report, indent=2, allow_nan=False) + "\n").encode())
    click.echo(_told(outcome, len(doubted)))


def _told(outcome: Outcome, doubted: int) -> str:
    lines = [
        f"{outcome.items} items, {outcome.labels} labels; model {outcome.model}.",
        f"Labeled automatically: {outcome.automated_share:.1%}"
        + (
            ""
            if outcome.automated_accuracy is None
            else f", of which {outcome.automated_accuracy:.1%} are right (promised: {outcome.target:.1%})"
        )
        + ".",
        f"People labeled {outcome.human_labels} items with {outcome.human_answers} answers; "
        f"{doubted} of their labels deserve a second look.",
    ]
    if outcome.per_label:
        worst = min(outcome.per_label, key=outcome.per_label.__getitem__)
        mean = sum(outcome.per_label.values()) / len(outcome.per_label)
        lines.append(f"Label by label {mean:.1%} are right, of {worst!r} {outcome.per_label[worst]:.1%}.")
    if outcome.audit is not None:
        audit = outcome.audit
        lines.append(
            f"Audit of {audit.items}: {audit.accuracy:.1%} right, between {audit.low:.1%} and {audit.high:.1%}."
        )
    if outcome.unlabeled:
        lines.append(f"{outcome.unlabeled} items have no label: the budget ended.")
    return "\n".join(lines)
