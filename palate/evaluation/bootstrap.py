"""Bootstrap intervals of means over users, for many metrics at once.

Instead of drawing users again and again, each resample is a row of counts (how often each user was drawn), so that
all resampled means are one matrix product. Up to 10,000 users the counts are multinomial, the classic bootstrap
(Efron 1979); beyond, independent Poisson(1) counts, whose means have the same distribution in the limit (Hanley &
MacGibbon 2006) and which cost a table look-up each: 100,000 users, 1,000 resamples and 18 metrics take about a second.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

RESAMPLES = 1000
_EXACT_UP_TO = 10_000
_COUNTS_AT_ONCE = 1 << 23


def intervals(
    values: Mapping[str, npt.NDArray[np.float64]],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = 0.95,
) -> dict[str, tuple[float, float]]:
    """Percentile intervals of the mean of each array `(n_users,)`; NaN entries are users left out.

    The same seed gives the same intervals. Metrics of the same users share their resamples. An array without a
    number gives (nan, nan).
    """
    result = dict.fromkeys(values, (math.nan, math.nan))
    groups: dict[bytes, list[str]] = {}
    for name, array in values.items():
        groups.setdefault(np.packbits(np.isnan(array)).tobytes() + str(len(array)).encode(), []).append(name)
    tail = (1 - level) / 2
    for names in groups.values():
        columns = np.stack([values[name] for name in names], axis=1)
        columns = columns[~np.isnan(columns[:, 0])].astype(np.float32)
        if len(columns):
            low, high = np.quantile(resampled_means(columns, seed, resamples), [tail, 1 - tail], axis=0)
            result.update(zip(names, zip(low.tolist(), high.tolist(), strict=True), strict=True))
    return result


def resampled_means(columns: npt.NDArray[np.float32], seed: int, resamples: int = RESAMPLES) -> npt.NDArray[np.float64]:
    """Means of each column of `(n, m)` in each resample of its rows, `(resamples, m)`."""
    rng = np.random.default_rng(seed)
    n = len(columns)
    # Deviations from the mean keep float32 exact enough for any number of rows.
    centre = columns.mean(axis=0, dtype=np.float64)
    deviations = (columns - centre).astype(np.float32)
    table = _poisson_table()
    means = np.empty((resamples, columns.shape[1]))
    step = max(1, _COUNTS_AT_ONCE // n)
    for start in range(0, resamples, step):
        rows = min(step, resamples - start)
        if n <= _EXACT_UP_TO:
            drawn = rng.integers(0, n, size=(rows, n)) + np.arange(rows)[:, None] * n
            counts = np.bincount(drawn.ravel(), minlength=rows * n).astype(np.float32)
        else:
            counts = table[rng.integers(0, len(table), size=rows * n, dtype=np.uint16)]
        counts = counts.reshape(rows, n)
        means[start : start + rows] = (counts @ deviations) / counts.sum(axis=1, dtype=np.float64)[:, None]
    means += centre
    return means


def _poisson_table() -> npt.NDArray[np.float32]:
    """Poisson(1) counts at 65,535 evenly spaced quantiles: a uniform 16-bit number looks its count up."""
    size = np.iinfo(np.uint16).max
    edges = np.cumsum([math.exp(-1) / math.factorial(count) for count in range(9)])
    return np.searchsorted(edges, (np.arange(size) + 0.5) / size).astype(np.float32)
