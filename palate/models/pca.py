"""A fitted principal component analysis as a bundle holds it: dense vectors in, projections out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from palate.errors import SchemaError
from palate.models.dense import dense_column, float_matrix
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]


class PCA:
    """Projects vectors on principal components: `(x - mean) @ components.T`.

    Parameters
    ----------
    components: `(n_components, n_features) float32`, one component a row.
    mean: `(n_features,) float32`, taken off before projecting. pyspark.ml's PCA takes nothing off in `transform`
        although it centres while fitting; None does the same.
    explained_variance: `(n_components,) float32`, the share of each component, where known.
    """

    kind: ClassVar[str] = "pca"

    def __init__(
        self,
        components: npt.ArrayLike,
        mean: npt.ArrayLike | None = None,
        explained_variance: npt.ArrayLike | None = None,
    ) -> None:
        self.components: Floats = float_matrix(components, "components")
        self.mean = None if mean is None else np.asarray(mean, dtype=np.float32)
        self.explained_variance = None if explained_variance is None else np.asarray(explained_variance, np.float32)
        for name, array, length in (
            ("mean", self.mean, self.n_features),
            ("explained_variance", self.explained_variance, self.n_components),
        ):
            if array is not None and array.shape != (length,):
                raise SchemaError(f"must have shape ({length},), not {array.shape}.", where=name)

    @property
    def n_components(self) -> int:
        return int(self.components.shape[0])

    @property
    def n_features(self) -> int:
        return int(self.components.shape[1])

    def transform(self, features: Floats) -> Floats:
        """Projections `(n, n_components) float32` of `(n, n_features)`; summed in float64, as Spark does."""
        wide = features.astype(np.float64)
        if self.mean is not None:
            wide -= self.mean
        return (wide @ self.components.T.astype(np.float64)).astype(np.float32)

    def signature(self) -> Signature:
        return Signature({"features": "list<float>"}, {"projection": "list<float>"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """`{"features": vectors}` to `{"projection": vectors}`. Raises SchemaError for anything else."""
        return {"projection": self.transform(dense_column(batch, "features", self.n_features)).tolist()}

    def to_arrays(self) -> Arrays:
        arrays = {"components": self.components, "mean": self.mean, "explained_variance": self.explained_variance}
        return Arrays(arrays={name: array for name, array in arrays.items() if array is not None})

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        held = arrays.arrays
        return cls(held["components"], held.get("mean"), held.get("explained_variance"))
