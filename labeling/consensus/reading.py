"""Answers, truth and a model's probabilities from CSV files.

Whatever is wrong with a file ends as an InputError or SchemaError that names file, row and column. Rows are numbered
as a spreadsheet does, the header being row 1.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from labeling.consensus.answers import Answers, Floats
from palate.dataset.readers.raw import bare_suffix, file_bytes
from palate.dataset.readers.tabular import parse_csv
from palate.errors import SchemaError

WORKER_COLUMNS = ("worker", "person")
"""What the column of who answered may be called; an export of this service calls it `person`."""


@dataclass(frozen=True, eq=False)
class AnswersFile:
    """answers: each worker's last answer to each task. replaced: how many earlier ones that left out."""

    answers: Answers
    replaced: int


def read_answers(path: Path, known_labels: Sequence[str] = ()) -> AnswersFile:
    """A CSV file with the columns `task`, `worker` (or `person`) and `label`; others are ignored.

    Where a worker has answered a task more than once, the last answer in the file counts, as in a project, where a
    second answer replaces the first. known_labels: labels that count although nobody may have given them.
    """
    where = str(path)
    names, data, delimiter = _open(path)
    worker = next((name for name in WORKER_COLUMNS if name in names), WORKER_COLUMNS[0])
    columns = _columns(names, data, delimiter, where, ("task", worker, "label"))
    codes = [pc.dictionary_encode(columns[name]) for name in ("task", worker)]
    task, person = (np.asarray(column.indices).astype(np.int64) for column in codes)
    key = task * len(codes[1].dictionary) + person
    _, last = np.unique(key[::-1], return_index=True)
    kept = pa.array(len(key) - 1 - last)
    parts = [columns[name].take(kept) for name in ("task", worker, "label")]
    return AnswersFile(Answers.of(parts[0], parts[1], parts[2], known_labels), len(key) - len(last))


def read_truth(path: Path) -> dict[str, str]:
    """A CSV file with the columns `task` and `label`: the right label of each task."""
    where = str(path)
    names, data, delimiter = _open(path)
    columns = _columns(names, data, delimiter, where, ("task", "label"))
    truth: dict[str, str] = {}
    for row, (task, label) in enumerate(zip(*(columns[name].to_pylist() for name in ("task", "label")), strict=True)):
        if truth.setdefault(task, label) != label:
            raise SchemaError(
                f"the task {task[:80]!r} has the label {truth[task][:80]!r} further up, and here {label[:80]!r}.",
                where=f"{where}: row {row + 2}, column label",
            )
    return truth


def read_probability_labels(path: Path) -> list[str]:
    """The labels that a file of probabilities has columns for."""
    names, _, _ = _open(path)
    if "task" not in names or len(names) < 2:
        raise SchemaError("there must be a column `task`, and a column for each label.", where=str(path))
    return [name for name in names if name != "task"]


def read_probabilities(path: Path, answers: Answers) -> Floats:
    """A CSV file with a column `task` and one for each label: `(n_tasks, n_labels)`, rows summing to 1.

    Rows of tasks that nobody answered are ignored; a label without a column has the probability 0.
    """
    where = str(path)
    labels = read_probability_labels(path)
    names, data, delimiter = _open(path)
    columns = _columns(names, data, delimiter, where, ("task", *labels))
    place = answers.tasks.encode(columns["task"])
    table = np.zeros((answers.n_tasks, answers.n_labels))
    for label, code in zip(labels, answers.labels.encode(labels), strict=True):
        values = _numbers(columns[label], where, label)
        if code >= 0:
            table[place[place >= 0], code] = values[place >= 0]
    there = np.zeros(answers.n_tasks, dtype=bool)
    there[place[place >= 0]] = True
    if not there.all():
        missing = answers.tasks.decode([int(np.argmin(there))])[0]
        raise SchemaError(
            f"{(~there).sum()} tasks that were answered have no row, {str(missing)[:80]!r} for one.", where=where
        )
    off = np.abs(table.sum(axis=1) - 1) > 1e-3
    if off.any():
        wrong = int(np.argmax(off))
        task = answers.tasks.decode([wrong])[0]
        raise SchemaError(
            f"the probabilities of task {str(task)[:80]!r} sum to {table[wrong].sum():g}, not to 1.", where=where
        )
    return table


def _numbers(column: pa.Array, where: str, label: str) -> Floats:
    try:
        values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        values = np.array([_number(text) for text in column.to_pylist()])
    wrong = ~((values >= 0) & (values <= 1))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise SchemaError(
            f"{column[row].as_py()[:80]!r} is no probability.", where=f"{where}: row {row + 2}, column {label}"
        )
    return values


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _open(path: Path) -> tuple[list[str], bytes, str]:
    """The header's names, the whole text and what separates its columns: commas, or tabs in a .tsv file."""
    data = file_bytes(path).lstrip(b"\r\n")
    delimiter = "\t" if bare_suffix(path) == ".tsv" else ","
    try:
        names = next(csv.reader([data.split(b"\n", 1)[0].decode().rstrip("\r")], delimiter=delimiter), [])
    except csv.Error as error:
        raise SchemaError(f"the header cannot be read ({error}).", where=f"{path}: row 1") from None
    names = [name.strip() for name in names]
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise SchemaError(f"there are two columns {twice[:80]!r}.", where=f"{path}: row 1")
    return names, data, delimiter


def _columns(
    names: Sequence[str], data: bytes, delimiter: str, where: str, wanted: Sequence[str]
) -> dict[str, pa.Array]:
    """The wanted columns as texts without blanks around them. Raises SchemaError for one missing or an empty cell."""
    missing = [name for name in wanted if name not in names]
    if missing:
        found = ", ".join(repr(name[:40]) for name in names[:20])
        raise SchemaError(
            f"there is no column {' and no column '.join(repr(name) for name in missing)}.",
            where=where,
            hint=f"The first row must name the columns; it has {found}.",
        )
    table = parse_csv(data, where, names, delimiter=delimiter, include=wanted, skip=1)
    columns = {}
    for name in wanted:
        column = pc.utf8_trim_whitespace(table[name].combine_chunks())
        empty = np.asarray(pc.equal(pc.binary_length(column), 0))
        if empty.any():
            raise SchemaError("the cell is empty.", where=f"{where}: row {int(np.argmax(empty)) + 2}, column {name}")
        columns[name] = column
    return columns
