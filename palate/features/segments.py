"""The segment that a vector falls into, as a feature: principal components, then k-means over them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.models.kmeans import KMeans

Floats = npt.NDArray[np.float32]

_COMPONENTS = 16
_ALIKE = 1e-6


@dataclass(frozen=True)
class Segments:
    """axes: `(width, n_components) float32`. offset: `(n_components,)`, the mean on the axes.
    centers: `(k, n_components)`, on the axes, the mean taken off.
    """

    axes: Floats
    offset: Floats
    centers: Floats

    @classmethod
    def none(cls, width: int) -> Self:
        return cls(np.empty((width, 0), np.float32), np.empty(0, np.float32), np.empty((0, 0), np.float32))

    @classmethod
    def fit(cls, vectors: sparse.csr_matrix, n_segments: int, seed: int) -> Self:
        """Learns from vectors `(n, width)`; empty ones say nothing, and belong to no segment.

        There are no more segments than different vectors, and none where all are alike.
        """
        from sklearn import cluster, decomposition

        told = sparse.csr_matrix(vectors[np.diff(vectors.indptr) > 0], dtype=np.float64)
        n_components = min(_COMPONENTS, min(told.shape) - 1)
        if n_segments == 0 or n_components < 1 or (told.max(axis=0) - told.min(axis=0)).max() < _ALIKE:
            return cls.none(vectors.shape[1])
        pca = decomposition.PCA(n_components, svd_solver="arpack", random_state=seed).fit(told)
        places = pca.transform(told)
        different = len(np.unique((places / _ALIKE).round(), axis=0))
        means = cluster.KMeans(min(n_segments, different), n_init=4, random_state=seed).fit(places)
        axes = np.ascontiguousarray(pca.components_.T, np.float32)
        return cls(axes, (pca.mean_ @ axes).astype(np.float32), means.cluster_centers_.astype(np.float32))

    def __len__(self) -> int:
        return len(self.centers)

    def of(self, vectors: sparse.csr_matrix) -> sparse.csr_matrix:
        """A one in the column of each row's segment, `(n, len(self)) float32`; none for an empty row."""
        told = np.flatnonzero(np.diff(vectors.indptr) > 0) if len(self) else np.empty(0, np.int64)
        columns = self._closest.closest(vectors[told] @ self.axes - self.offset) if len(told) else told
        return sparse.csr_matrix((np.ones(len(told), np.float32), (told, columns)), shape=(vectors.shape[0], len(self)))

    @cached_property
    def _closest(self) -> KMeans:
        return KMeans(self.centers)
