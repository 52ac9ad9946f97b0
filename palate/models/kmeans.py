"""Fitted k-means as a bundle holds it: dense vectors in, the closest cluster and its distance out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.errors import ParameterError, SchemaError
from palate.models.dense import dense_column, float_matrix
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]

DISTANCES = ("euclidean", "cosine")


class KMeans:
    """Assigns vectors to the closest centre; a tie goes to the lower cluster.

    Parameters
    ----------
    centers: `(k, n_features)`, kept as float64. For the cosine distance they are scaled to length one.
    distance: "euclidean", or "cosine": 1 - cos, which no vector of zeros has.
    """

    kind: ClassVar[str] = "kmeans"

    def __init__(self, centers: npt.ArrayLike, distance: str = "euclidean") -> None:
        float_matrix(centers, "centers")
        if distance not in DISTANCES:
            raise ParameterError(f"must be one of {', '.join(DISTANCES)}, not {distance!r}.", where="distance")
        self.centers: Doubles = np.ascontiguousarray(centers, dtype=np.float64)
        self.distance = distance
        if distance == "cosine":
            self.centers = _scaled(self.centers, "centers")

    @property
    def k(self) -> int:
        return int(self.centers.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.centers.shape[1])

    def closest(self, features: npt.NDArray[Any] | sparse.csr_matrix) -> Labels:
        """Clusters `(n,) int32` of vectors `(n, n_features)`, dense or sparse.

        Centres are told apart by |c|^2 - 2 x.c in float64, where vectors are dense about a point among the centres, so
        that large offsets cost no digits; for centres of length one that orders them by angle too. Raises SchemaError
        for a vector of zeros, if the distance is cosine.
        """
        clusters = np.empty(features.shape[0], dtype=np.int32)
        step = max(1, _DISTANCES_AT_ONCE // max(self.k, self.n_features))
        shift = np.zeros(1) if self.distance == "cosine" or sparse.issparse(features) else _offset(self.centers)
        centers = self.centers - shift
        norms = np.einsum("ij,ij->i", centers, centers)
        twice = np.ascontiguousarray(-2 * centers.T)
        for start in range(0, len(clusters), step):
            part = features[start : start + step].astype(np.float64)
            if self.distance == "cosine":
                _lengths(part, "features", start)
            elif not sparse.issparse(part):
                part -= shift
            clusters[start : start + step] = np.argmin(part @ twice + norms, axis=1)
        return clusters

    def assign(self, features: Floats) -> tuple[Labels, Floats]:
        """Clusters `(n,) int32` and distances `(n,) float32` of vectors `(n, n_features)`.

        The distance to the centre found is computed from the difference, so that a vector that lies on its centre is
        at distance 0 exactly.
        """
        clusters = self.closest(features)
        wide = features.astype(np.float64)
        if self.distance == "cosine":
            wide = _scaled(wide, "features")
        difference = wide - self.centers[clusters]
        squares = np.einsum("ij,ij->i", difference, difference)
        return clusters, (squares / 2 if self.distance == "cosine" else np.sqrt(squares)).astype(np.float32)

    def signature(self) -> Signature:
        return Signature({"features": "list<float>"}, {"cluster": "int32", "distance": "float"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`{"features": vectors}` to `{"cluster": numbers, "distance": numbers}`. Raises SchemaError otherwise."""
        clusters, distances = self.assign(dense_column(batch, "features", self.n_features))
        return {"cluster": clusters.tolist(), "distance": distances.tolist()}

    def to_arrays(self) -> Arrays:
        return Arrays(params={"distance": self.distance}, arrays={"centers": self.centers})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        """Bundles written before there was a choice of distance name none, and hold float32."""
        return cls(arrays.arrays["centers"], arrays.params.get("distance", "euclidean"))


_DISTANCES_AT_ONCE = 1 << 20
"""Distances, or values, held at once: 8 MB of float64."""


def _offset(centers: Doubles) -> Doubles:
    """About the mean of the centres, in steps as large as their spread: of so few digits that ties stay ties."""
    mean = centers.mean(axis=0)
    spread = float(np.abs(centers - mean).max())
    step = 2.0 ** np.ceil(np.log2(spread)) if spread > 0 else 1.0
    return np.asarray(np.round(mean / step) * step)


def _lengths(vectors: Any, name: str, start: int = 0) -> Doubles:
    """`(n,)`. Raises SchemaError for a vector of zeros, the first one being row `start`."""
    squares = vectors.multiply(vectors).sum(axis=1) if sparse.issparse(vectors) else (vectors * vectors).sum(axis=1)
    lengths: Doubles = np.sqrt(np.asarray(squares).ravel())
    if not lengths.all():
        row = start + int(np.argmin(lengths))
        raise SchemaError("a vector of zeros has no angle, hence no cosine distance.", where=f"{name}:{row}")
    return lengths


def _scaled(vectors: Doubles, name: str) -> Doubles:
    """To length one."""
    return np.asarray(vectors / _lengths(vectors, name)[:, None])
