"""A consensus as people and programs read it: JSON, a CSV of labels, a table on the terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from labeling.consensus.agreement import Agreement, agreement
from labeling.consensus.answers import Answers, Floats
from labeling.consensus.protocol import Consensus
from palate.errors import SchemaError

CSV_COLUMNS = ("task", "label", "confidence", "answers")
_SHOWN = 20
"""Workers in the terminal's table."""
_LEAST = 0.001
"""Labels less probable than this are left out of the JSON."""


@dataclass(frozen=True, eq=False)
class Report:
    """A consensus beside the answers it came from and, where it is known, the truth.

    accuracy: the share of tasks of the truth whose consensus is right; checked: how many there were.
    unanswered: tasks of the truth that nobody answered, which count for nothing.
    worker_accuracy: the same of each worker's own answers, NaN for whom the truth says nothing.
    """

    answers: Answers
    consensus: Consensus
    agreement: Agreement
    seconds: float
    accuracy: float | None = None
    checked: int = 0
    unanswered: int = 0
    worker_accuracy: Floats | None = None

    @classmethod
    def of(cls, answers: Answers, consensus: Consensus, seconds: float, truth: Mapping[str, str] | None) -> Report:
        """Raises SchemaError if the truth has no task, or no label, in common with the answers."""
        agreed = agreement(answers)
        if truth is None:
            return cls(answers, consensus, agreed, seconds)
        task = answers.tasks.encode(list(truth))
        label = answers.labels.encode(list(truth.values()))
        there = task >= 0
        if not there.any():
            raise SchemaError("not one task of it was answered.", where="truth", hint="Are the ids the same?")
        if (label < 0).all():
            raise SchemaError("not one label of it was ever given.", where="truth", hint="Are the labels the same?")
        right = np.full(answers.n_tasks, -2, dtype=np.int32)
        right[task[there]] = label[there]
        known = right > -2
        of_answer = known[answers.task]
        hits = np.bincount(
            answers.worker[of_answer], (right[answers.task] == answers.label)[of_answer], answers.n_workers
        )
        tried = np.bincount(answers.worker[of_answer], minlength=answers.n_workers)
        own = np.divide(hits, tried, out=np.full(answers.n_workers, np.nan), where=tried > 0)
        accuracy = float((consensus.chosen[known] == right[known]).mean())
        return cls(answers, consensus, agreed, seconds, accuracy, int(known.sum()), int((~there).sum()), own)

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        return {
            "method": self.consensus.method,
            "accuracy": self.accuracy,
            "tasks": self.answers.n_tasks,
            "answers": len(self.answers),
            "truth": None if self.accuracy is None else {"tasks": self.checked, "unanswered": self.unanswered},
            "agreement": self.agreement.to_dict(),
            "rounds": self.consensus.rounds,
            "converged": self.consensus.converged,
            "seconds": round(self.seconds, 3),
            "workers": dict(self._workers()),
            "labels": dict(self._labels()),
        }

    def to_json(self, **more: Any) -> Iterator[str]:
        """`to_dict`, and whatever more there is to say, as text in pieces: a worker or a task to the line."""
        mark = "{"
        for name, value in (self.to_dict() | more).items():
            yield f"{mark}\n {_json(name)}: "
            mark = ","
            if name in ("workers", "labels"):
                rows = ",\n  ".join(f"{_json(key)}: {_json(row)}" for key, row in value.items())
                yield f"{{\n  {rows}\n }}"
            else:
                yield _json(value)
        yield "\n}\n"

    def _workers(self) -> Iterator[tuple[str, dict[str, Any]]]:
        ids = self.answers.workers.ids.to_pylist()
        skill, counts = self.consensus.skill.round(6).tolist(), self.answers.per_worker.tolist()
        details = {name: values.round(6).tolist() for name, values in self.consensus.details.items()}
        own = None if self.worker_accuracy is None else self.worker_accuracy.round(6).tolist()
        for code, worker in enumerate(ids):
            row = {"skill": skill[code], "answers": counts[code]}
            row |= {name: values[code] for name, values in details.items()}
            if own is not None:
                row["accuracy"] = None if np.isnan(own[code]) else own[code]
            yield worker, row

    def _labels(self) -> Iterator[tuple[str, dict[str, Any]]]:
        names = self.answers.labels.ids.to_pylist()
        probable = np.flatnonzero(self.consensus.posterior >= _LEAST)
        starts = np.searchsorted(probable, self.consensus.candidates.starts).tolist()
        label = self.consensus.candidates.label[probable].tolist()
        share = self.consensus.posterior[probable].round(6).tolist()
        for code, (task, chosen, confidence, answers) in enumerate(self._rows()):
            places = range(starts[code], starts[code + 1])
            posterior = {names[label[place]]: share[place] for place in places}
            yield task, {"label": chosen, "confidence": confidence, "answers": answers, "posterior": posterior}

    def _rows(self) -> Iterator[tuple[str, str, float, int]]:
        names = self.answers.labels.ids.to_pylist()
        chosen = (names[code] for code in self.consensus.chosen.tolist())
        confidence = self.consensus.confidence.round(6).tolist()
        return zip(self.answers.tasks.ids.to_pylist(), chosen, confidence, self.answers.per_task.tolist(), strict=True)

    def to_csv(self) -> str:
        """A line per task: `task`, `label`, `confidence`, `answers`; formulas neutralised, numbers left alone."""
        buffer = io.StringIO()
        writer = csv.writer(buffer)
        writer.writerow(CSV_COLUMNS)
        writer.writerows((_cell(task), _cell(label), share, answers) for task, label, share, answers in self._rows())
        return buffer.getvalue()

    def show(self, console: Console) -> None:
        """The figures, and the workers with the most answers."""
        answers, found = self.answers, self.consensus
        said = f"{len(answers):,} answers of {answers.n_workers:,} workers to {answers.n_tasks:,} tasks"
        console.print(Text(f"{found.method}: {said}, {answers.n_labels:,} labels.", style="bold"), soft_wrap=True)
        if self.accuracy is not None:
            left = f"; {self.unanswered:,} more were never answered" if self.unanswered else ""
            console.print(f"Accuracy {self.accuracy:.4f} on {self.checked:,} tasks of the truth{left}.", soft_wrap=True)
        console.print(self.agreement.sentence(), soft_wrap=True)
        console.print(self._table())
        if answers.n_workers > _SHOWN:
            console.print(f"And {answers.n_workers - _SHOWN:,} more workers; --json has all.", soft_wrap=True)
        if not found.converged:
            console.print(f"Note: not converged after {found.rounds} rounds.", style="yellow", soft_wrap=True)
        console.print(f"{found.rounds} rounds, {self.seconds:.1f} s.", style="dim", soft_wrap=True)

    def _table(self) -> Table:
        own = self.worker_accuracy
        table = Table("worker")
        for name in ("answers", "skill", *self.consensus.details, *(("accuracy",) if own is not None else ())):
            table.add_column(name, justify="right")
        most = np.argsort(-self.answers.per_worker, kind="stable")[:_SHOWN]
        for code, worker in zip(most, self.answers.workers.decode(most), strict=True):
            cells = [f"{self.answers.per_worker[code]:,}", f"{self.consensus.skill[code]:.3f}"]
            cells += [f"{values[code]:.3f}" for values in self.consensus.details.values()]
            if own is not None:
                cells.append("-" if np.isnan(own[code]) else f"{own[code]:.3f}")
            table.add_row(Text(str(worker)[:60]), *cells)
        return table


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _cell(text: str) -> str:
    """The text, with ' before what a spreadsheet would run as a formula; -1, a label of many sets, is a number."""
    if not text.startswith(("=", "+", "-", "@", "\t", "\r")):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
