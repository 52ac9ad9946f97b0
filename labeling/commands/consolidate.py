"""`palate label consolidate`: one label per task from several people's answers, and how good each of them is."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console

from palate.errors import ParameterError
from palate.evaluation.report import check_writable
from palate.files import written_whole


@click.command(no_args_is_help=True)
@click.option("--answers", required=True, type=Path, metavar="FILE", help="CSV: task, worker, label.")
@click.option("--method", required=True, metavar="NAME", help="majority, dawid-skene, mace or crowdlab.")
@click.option("--truth", type=Path, metavar="FILE", help="CSV: task, label. Adds the accuracy.")
@click.option("--probabilities", type=Path, metavar="FILE", help="A model's, for crowdlab. CSV: task, and each label.")
@click.option("--json", "output", type=Path, metavar="OUT", help="Write all figures and labels to this file.")
@click.option("--out", "labels", type=Path, metavar="CSV", help="Write the labels: task, label, confidence, answers.")
def consolidate(
    answers: Path, method: str, truth: Path | None, probabilities: Path | None, output: Path | None, labels: Path | None
) -> None:
    """Find the label of each task in the answers of several people.

    \b
    palate label consolidate --answers answers.csv --method dawid-skene --json result.json
    palate label consolidate --answers answers.csv --method mace --truth truth.csv --out labels.csv
    """
    from labeling.consensus import method_class
    from labeling.consensus.reading import read_answers, read_probabilities, read_probability_labels, read_truth
    from labeling.consensus.report import Report

    found = method_class(method)
    if found.uses_probabilities != (probabilities is not None):
        said = "needs a model's probabilities." if found.uses_probabilities else "does not use any."
        raise ParameterError(f"the method {found.name!r} {said}", where="--probabilities")
    for path in (output, labels):
        if path is not None:
            check_writable(path)
    known = read_truth(truth) if truth is not None else None
    read = read_answers(answers, read_probability_labels(probabilities) if probabilities is not None else ())
    model = read_probabilities(probabilities, read.answers) if probabilities is not None else None
    if read.replaced:
        said = "answer was" if read.replaced == 1 else "answers were"
        click.echo(f"{read.replaced:,} {said} replaced by a later one of the same worker to the same task.", err=True)
    started = time.perf_counter()
    consensus = found().consolidate(read.answers, model)
    report = Report.of(read.answers, consensus, time.perf_counter() - started, known)
    if output is not None:
        with written_whole(output) as file:
            file.writelines(piece.encode() for piece in report.to_json(replaced=read.replaced))
    if labels is not None:
        with written_whole(labels) as file:
            file.write(report.to_csv().encode())
    report.show(Console())
