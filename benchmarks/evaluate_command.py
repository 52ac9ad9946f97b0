"""The whole of `palate evaluate`, as a user runs it, against the time it promises to stay under."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.data import MOVIES, TINY, Size, generate, halves, write_adjacency
from benchmarks.harness import Benchmark, Timing, seconds

PROMISE = 60.0


def run(quick: bool) -> Timing:
    size = TINY if quick else Size(MOVIES.users, MOVIES.items, MOVIES.interactions * 10 // 9)
    with tempfile.TemporaryDirectory(prefix="palate-bench-") as name:
        folder = Path(name)
        train, test = halves(generate(size, 1))
        write_adjacency(train, folder / "train.txt")
        write_adjacency(test, folder / "test.txt")
        command = [
            sys.executable, "-m", "palate.cli", "evaluate", "--format", "lightgcn",
            "--train", str(folder / "train.txt"), "--test", str(folder / "test.txt"),
            "--model", "als", "--set", f"factors={8 if quick else 64}", "--set", "iterations=15",
            "--json", str(folder / "out.json"),
        ]  # fmt: skip
        took = tuple(
            seconds(lambda: subprocess.run(command, check=True, stdout=subprocess.DEVNULL))
            for _ in range(1 if quick else 3)
        )
        found = json.loads((folder / "out.json").read_text(encoding="utf-8"))
    parts = ", ".join(f"{name} {value:.1f} s" for name, value in found["seconds"].items())
    note = f"The peer is the promise. {parts}; {found['peak_memory_mb']:.0f} MB at most."
    return Timing(
        (PROMISE,) * len(took),
        took,
        f"{size.users:,} x {size.items:,}, {len(train):,} + {len(test):,} interactions",
        note=note,
    )


BENCHMARK = Benchmark(
    "evaluate_command",
    "`palate evaluate`, ALS with 64 factors and 15 iterations, read, trained and ranked in full, takes under 60 s",
    "the promise",
    run,
)
