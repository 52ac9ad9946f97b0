"""A million answers by `palate label consolidate`, as a user runs it, against the time it promises to stay under."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv

from benchmarks.harness import Benchmark, Timing, seconds
from labeling.consensus import DawidSkene, Majority
from labeling.consensus.crowds import CROWDS, many

PROMISE = 60.0


def run(quick: bool) -> Timing:
    tasks, workers, labels, answers = (500, 50, 5, 4) if quick else (250_000, 5_000, 5, 4)
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folder = Path(name)
        task, worker, label, truth = many(tasks, workers, labels, answers)
        csv.write_csv(pa.table({"task": task, "worker": worker, "label": label}), folder / "answers.csv")
        csv.write_csv(pa.table({"task": np.arange(tasks), "label": truth}), folder / "truth.csv")
        command = [
            sys.executable, "-m", "palate.cli", "label", "consolidate", "--method", "dawid-skene",
            "--answers", str(folder / "answers.csv"), "--truth", str(folder / "truth.csv"),
            "--json", str(folder / "out.json"), "--out", str(folder / "labels.csv"),
        ]  # fmt: skip
        took = tuple(
            seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            for _ in range(1 if quick else 3)
        )
        found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    return Timing(
        (PROMISE,) * len(took),
        took,
        f"{len(task):,} answers, {tasks:,} tasks, {workers:,} workers, {labels} labels",
        accuracies(1 if quick else 5),
        f"The peer is the promise; the accuracies are the majority's (peer) and Dawid-Skene's (ours) on simulated "
        f"crowds in the shape of the sets of those names. Of the time, {found['seconds']:.1f} s are the "
        f"{found['rounds']} rounds of the method.",
    )


def accuracies(seeds: int) -> dict[str, dict[str, float]]:
    """The mean accuracy of both methods on each simulated crowd."""
    found = {}
    for name, make in CROWDS.items():
        crowds = [make(seed) for seed in range(seeds)]
        found[name] = {
            side: float(np.mean([crowd.accuracy(method.consolidate(crowd.answers)) for crowd in crowds]))
            for side, method in {"peer": Majority(), "ours": DawidSkene()}.items()
        }
    return found


BENCHMARK = Benchmark(
    "consensus", "`palate label consolidate` with Dawid-Skene, read, solved and written, takes under 60 s",
    "the promise", run,
)  # fmt: skip
