"""Fitted k-means as a bundle holds it: dense vectors in, the closest cluster and its distance out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from palate.models.dense import dense_column, float_matrix
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]


class KMeans:
    """Assigns vectors to the closest centre by Euclidean distance; a tie goes to the lower cluster.

    Parameters
    ----------
    centers: `(k, n_features) float32`.
    """

    kind: ClassVar[str] = "kmeans"

    def __init__(self, centers: npt.ArrayLike) -> None:
        self.centers: Floats = float_matrix(centers, "centers")

    @property
    def k(self) -> int:
        return int(self.centers.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.centers.shape[1])

    def assign(self, features: Floats) -> tuple[npt.NDArray[np.int32], Floats]:
        """Clusters `(n,) int32` and distances `(n,) float32` of vectors `(n, n_features)`.

        Centres are told apart by |c|^2 - 2 x.c in float64; the distance to the one found is then computed from the
        difference, so that a vector that lies on its centre is at distance 0 exactly.
        """
        wide, centers = features.astype(np.float64), self.centers.astype(np.float64)
        clusters = np.empty(len(features), dtype=np.int32)
        step = max(1, _DISTANCES_AT_ONCE // self.k)
        norms = np.einsum("ij,ij->i", centers, centers)
        for start in range(0, len(features), step):
            part = slice(start, start + step)
            clusters[part] = np.argmin(norms - 2 * (wide[part] @ centers.T), axis=1)
        difference = wide - centers[clusters]
        return clusters, np.sqrt(np.einsum("ij,ij->i", difference, difference)).astype(np.float32)

    def signature(self) -> Signature:
        return Signature({"features": "list<float>"}, {"cluster": "int32", "distance": "float"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`{"features": vectors}` to `{"cluster": numbers, "distance": numbers}`. Raises SchemaError otherwise."""
        clusters, distances = self.assign(dense_column(batch, "features", self.n_features))
        return {"cluster": clusters.tolist(), "distance": distances.tolist()}

    def to_arrays(self) -> Arrays:
        return Arrays(arrays={"centers": self.centers})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        return cls(arrays.arrays["centers"])


_DISTANCES_AT_ONCE = 1 << 23
"""Distances held at once: 64 MB of float64."""
