"""From a column of ids to codes and the sorted table of unique ids."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.harness import Benchmark, Timing, alternate
from palate.dataset.ids import IdMap


def run(quick: bool) -> Timing:
    rows, unique = (2_000, 100) if quick else (2_000_000, 50_000)
    numbers = np.random.default_rng(0).zipf(1.3, rows) % unique
    column = pa.array([f"user-{number:06d}" for number in numbers], pa.large_string())
    series = pd.Series(column, dtype=pd.ArrowDtype(pa.large_string()))  # no copy: both start from the same column
    found: dict[str, int] = {}

    def peer() -> None:
        codes, ids = pd.factorize(series, sort=True)
        found["peer"] = int(codes.sum()) + len(ids)

    def ours() -> None:
        ids = IdMap.from_values(column)
        found["ours"] = int(ids.encode(column).sum(dtype=np.int64)) + len(ids)

    took = alternate(peer, ours, 5, quick)
    if found["peer"] != found["ours"]:
        raise AssertionError(f"the codes differ: {found}")
    return Timing(*took, f"{rows:,} text ids, {unique:,} unique")


BENCHMARK = Benchmark("id_map", "Text ids to codes", "pandas.factorize(sort=True)", run)
