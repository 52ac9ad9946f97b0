"""The shape that all benchmarks share, and how two contestants are timed fairly."""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NAMES = (
    "evaluate_command",
    "full_ranking",
    "ranking_metrics",
    "als_training",
    "top_n_all_users",
    "id_map",
    "item_index",
    "spark_pca",
    "spark_pca_arrays",
    "spark_pca_transform",
    "spark_kmeans",
    "spark_kmeans_100",
    "spark_kmeans_large",
    "spark_kmeans_transform",
    "consensus",
    "labeling_turns",
    "spark_fm",
    "spark_fm_large",
    "spark_fm_transform",
    "spark_als",
    "spark_als_large",
    "spark_als_transform",
    "spark_recommend",
)
"""Module names in this package, in the order in which they run."""

ON_REQUEST = ("serving", "labeling_page")
"""Those that are run only when they are named: they need a program that is no Python package: wrk, or a browser."""


@dataclass(frozen=True)
class Timing:
    """Seconds of each repeat of both contestants, warm-up left out.

    quality: the same measure of both answers, where speed could have been bought by a worse one.
    note: what a reader should know to judge the comparison.
    """

    peer: tuple[float, ...]
    ours: tuple[float, ...]
    size: str
    quality: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Benchmark:
    """One claim. `run(quick)` measures it; `quick` asks for the smallest size that goes through the same code."""

    name: str
    claim: str
    peer: str
    run: Callable[[bool], Timing]


def find(name: str) -> Benchmark:
    """The benchmark of a module in NAMES or ON_REQUEST."""
    found: Benchmark = importlib.import_module(f"benchmarks.{name}").BENCHMARK
    return found


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def alternate(
    peer: Callable[[], object], ours: Callable[[], object], repeats: int, quick: bool
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds of both, one after the other in turns, so that whatever else the machine does hits both alike.

    Both run once before that to warm up. `quick` is one turn, cold.
    """
    if quick:
        repeats = 1
    else:
        peer()
        ours()
    pairs = [(seconds(peer), seconds(ours)) for _ in range(repeats)]
    return tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs)


def record(benchmark: Benchmark, timing: Timing) -> dict[str, Any]:
    """One entry of results.json: medians in seconds, and how many times faster ours is."""
    peer, ours = statistics.median(timing.peer), statistics.median(timing.ours)
    return {
        "name": benchmark.name,
        "claim": benchmark.claim,
        "peer": benchmark.peer,
        "size": timing.size,
        "peer_seconds": _short(peer),
        "ours_seconds": _short(ours),
        "ratio": _short(peer / ours),
        "repeats": len(timing.ours),
        "peer_all": [_short(value) for value in timing.peer],
        "ours_all": [_short(value) for value in timing.ours],
        "quality": {name: dict(values) for name, values in timing.quality.items()},
        "note": timing.note,
    }


def _short(value: float) -> float:
    """Four significant digits: more would claim a precision that no timing has."""
    return float(f"{value:.4g}")
