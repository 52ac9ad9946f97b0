"""What the tasks of a KMeans fit do together: read their rows once, start, iterate, and keep the best of several fits.

Python workers import this module, and nothing of pyspark.ml with it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palate.kernels.kmeans_start import start
from palate.kernels.lloyd import Fit, lloyd
from palate.spark.stages.group import Group
from palate.spark.stages.kmeans_rows import read_rows
from palate.spark.stages.tasks import Batches, Results


@dataclass(frozen=True)
class Options:
    """What the tasks are told."""

    column: str
    weight: str
    k: int
    mode: str
    steps: int
    iterations: int
    tolerance: float
    unit: bool
    restarts: int
    seed: int

    def work(self, group: Group, batches: Batches) -> Results | None:
        """Fits on the rows of all tasks; the first of them tells what was found."""
        rows, scale = read_rows(group, batches, self.column, self.weight, unit=self.unit)
        best: Fit | None = None
        for restart in range(self.restarts):
            centers = start(rows, self.k, self.mode, steps=self.steps, seed=(self.seed, restart), peers=group)
            found = lloyd(rows, centers, iterations=self.iterations, tolerance=self.tolerance * scale, peers=group)
            if best is None or found.cost < best.cost:
                best = found
        if group.rank or best is None:
            return None
        return {
            "centers": best.centers / scale + rows.shift,
            "cost": np.asarray(best.cost / (2 if self.unit else scale**2)),
            "sizes": best.sizes,
            "iterations": np.asarray(best.iterations),
        }
