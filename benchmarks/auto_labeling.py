"""`python -m benchmarks.auto_labeling --data FILE ...`: does auto-labeling keep its promise, and at what price?

The loop is played against known labels once per seed. A line for each: the share labeled automatically, how much of it
is right, how many answers people gave, whether the audit's interval holds the truth and how wide it is, seconds. The
last line is a row of the table in docs/labeling.md: the mean share and the least, the mean accuracy and the least, how
often the interval held and how wide it was at most, the longest seed. Seconds leave out reading and features.

Items may have several labels each, written with `--separator` between them, or made by `--together` from texts with one
label each. Then a label is right if all of the item's are there and no other.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import click
import numpy as np

from labeling.autolabel import Goal, judge, play
from labeling.autolabel.annotators import SetNames, people_for
from labeling.autolabel.learning import learner_for
from labeling.autolabel.tables import Known, read_known
from labeling.settings import LabelingSettings

_TOGETHER = (0.5, 0.35, 0.15)
"""How often one text, two and three are put together."""


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", "files", multiple=True, type=click.Path(path_type=Path))
@click.option("--digits", is_flag=True, help="scikit-learn's digits, as a table, instead of files.")
@click.option("--text", help="The column of texts; without, the other columns are features.")
@click.option("--label", default="label", show_default=True)
@click.option("--separator", help="What stands between the labels of items that have several.")
@click.option("--together", type=int, help="Put texts of so many of the labels together, one to three to an item.")
@click.option("--features", type=click.Choice(["auto", "tfidf", "embeddings"]), default="auto", show_default=True)
@click.option("--target", "targets", type=float, multiple=True, default=(0.95,), show_default=True)
@click.option("--workers", type=int, help="So many people who err; without, one who never does.")
@click.option("--worker-accuracy", type=float, default=0.8, show_default=True)
@click.option("--budget", type=int)
@click.option("--seeds", default=5, show_default=True)
@click.option("--first", default=0, show_default=True, help="The first seed.")
def main(
    files: tuple[Path, ...],
    digits: bool,
    text: str | None,
    label: str,
    separator: str | None,
    together: int | None,
    features: str,
    targets: tuple[float, ...],
    workers: int | None,
    worker_accuracy: float,
    budget: int | None,
    seeds: int,
    first: int,
) -> None:
    """Play the loop with several seeds, a JSON line each."""
    if digits == bool(files):
        raise click.UsageError("Name files by --data, or take --digits.")
    if together is not None and (text is None or separator is not None):
        raise click.UsageError("--together takes texts (--text) with one label each.")
    known = handwritten() if digits else read_known(files, label, text, separator)
    known = known if together is None else put_together(known, together)
    started = time.perf_counter()
    learner_for(known, features, LabelingSettings.read().cache)
    click.echo(f"{len(known)} items; features took {time.perf_counter() - started:.1f} s")
    for target in targets:
        goal, lines = Goal(target=target, budget=budget), []
        for seed in range(first, first + seeds):
            learner = learner_for(known, features, LabelingSettings.read().cache)
            people, codes = people_for(known, workers, worker_accuracy, seed)
            sets = codes.sets if isinstance(codes, SetNames) else None
            started = time.perf_counter()
            state, made = play(learner, people, goal, seed, sets=sets)
            took = time.perf_counter() - started
            outcome = judge(state, made, people.names, known.labels, goal, learner.name)
            audit, accuracy = outcome.audit, outcome.automated_accuracy
            lines.append(
                {
                    "target": target,
                    "seed": seed,
                    "share": round(outcome.automated_share, 4),
                    "accuracy": None if accuracy is None else round(accuracy, 4),
                    "answers": outcome.human_answers,
                    "rounds": len(outcome.rounds),
                    "covered": None if audit is None or accuracy is None else audit.low <= accuracy <= audit.high,
                    "width": None if audit is None else round(audit.high - audit.low, 4),
                    "seconds": round(took, 1),
                }
            )
            click.echo(json.dumps(lines[-1]))
        click.echo(row(target, lines))


def row(target: float, lines: list[dict[str, Any]]) -> str:
    """A row of Markdown on one target's seeds."""
    right = [line["accuracy"] for line in lines if line["accuracy"] is not None]
    shares = [line["share"] for line in lines]
    seeds = f"{lines[0]['seed']}-{lines[-1]['seed']}"
    cells = [f"{target:.2f}", seeds, f"{np.mean(shares):.3f}, {min(shares):.3f}"]
    if right:
        held, widest = sum(bool(line["covered"]) for line in lines), max(line["width"] for line in lines)
        cells += [f"{np.mean(right):.4f}, {min(right):.4f}", f"{held} of {len(right)}", f"{widest:.3f}"]
    else:
        cells += ["nothing labeled", "", ""]
    return f"| {' | '.join([*cells, str(max(line['seconds'] for line in lines))])} |"


def handwritten() -> Known:
    """1,797 digits of 8 x 8 pixels."""
    from sklearn.datasets import load_digits

    found = load_digits()
    columns: dict[str, list[str | float | None]] = {
        f"pixel{number}": [float(value) for value in values] for number, values in enumerate(found.data.T)
    }
    return Known([str(label) for label in found.target], None, columns, 0)


def put_together(known: Known, labels: int, seed: int = 0) -> Known:
    """Items with several labels: texts of `labels` of the labels (those at even distances in their order), put together
    one to three to an item, each once.
    """
    assert known.texts is not None
    names = sorted(set(known.labels))
    some = {names[place * len(names) // labels] for place in range(min(labels, len(names)))}
    pairs = [pair for pair in zip(known.texts, known.labels, strict=True) if pair[1] in some]
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(pairs)).tolist()
    texts, sets = [], []
    while order:
        mine = [pairs[order.pop()] for _ in range(min(int(draw.choice(3, p=_TOGETHER)) + 1, len(order)))]
        texts.append(" ".join(text for text, _ in mine))
        sets.append(" | ".join(sorted({label for _, label in mine})))
    return Known(sets, texts, {}, known.left_out, tuple(sorted(some)), " | ")


if __name__ == "__main__":
    main()
