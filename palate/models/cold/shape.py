"""How much each part of an item's description tells items apart: learned, by leaving items out.

Which differences matter is another matter in each catalogue: in one the combination of genres, in another a tag, the
year, or how much is said at all. So each block of the content and each number has a weight of its own in the Gaussian
kernel (automatic relevance determination; Rasmussen and Williams, "Gaussian Processes for Machine Learning", 2006,
section 5.1). The weights are those with which a regression, of what users did with an item, errs least on items that
were left out (there, section 5.4.2). This is climbed one weight at a time, on a sample: a few weights need few items.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.features.description import Described
from palate.kernels.content_ridge import left_out_residuals

Floats = npt.NDArray[np.float32]

_SAMPLE = 500
_FACTORS = 32
_POPULARITY = 0.7
"""Its deviation, where that of all factors together is 1."""
_STEPS = (4.0, 4.0, 2.0)
"""Each weight is multiplied or divided by the step, one round for each."""
_GAIN = 1e-4
"""A step has to take away so much of the error."""
_BLOCK, _NUMBER, _PENALTY = 1.0, 0.1, 1.0
"""Where the climb begins."""


@dataclass(frozen=True)
class Shape:
    """blocks, numbers: the weight of the squared distance in each, `(n_blocks,)` and `(n_numbers,)`; a block's is
    halved, so that it is one minus the cosine. penalty: of the regression that goes with them."""

    blocks: tuple[float, ...]
    numbers: tuple[float, ...]
    penalty: float = _PENALTY

    @classmethod
    def learn(cls, items: Described, histories: sparse.csr_matrix, seed: int) -> Self:
        """Learn from who touched which of the items, `(n_users, n)` binary."""
        sample = np.sort(np.random.default_rng(seed).permutation(len(items))[:_SAMPLE])
        among = items.take(sample)
        distances = [*_block_distances(among), *_number_distances(among)]
        targets = _targets(histories, seed)[sample]
        centred = targets - targets.mean(axis=0)
        n_blocks = len(among.ends)

        def error(exponent: Floats, penalty: float) -> float:
            residuals = left_out_residuals(np.exp(exponent), centred, penalty)
            return float(np.mean(np.square(residuals), dtype=np.float64))

        even = cls.even(among)
        weights, penalty = [*even.blocks, *even.numbers], even.penalty
        exponent = np.zeros((len(among), len(among)), np.float32)
        for weight, distance in zip(weights, distances, strict=True):
            exponent -= np.float32(weight) * distance
        best = error(exponent, penalty)
        for step in _STEPS:
            for place, factor in product(np.flatnonzero([each.any() for each in distances]), (step, 1 / step)):
                moved = exponent - np.float32((factor - 1) * weights[place]) * distances[place]
                got = error(moved, penalty)
                if got < (1 - _GAIN) * best:
                    best, exponent, weights[place] = got, moved, weights[place] * factor
            for factor in (step, 1 / step):
                got = error(exponent, penalty * factor)
                if got < (1 - _GAIN) * best:
                    best, penalty = got, penalty * factor
        return cls(tuple(weights[:n_blocks]), tuple(weights[n_blocks:]), penalty)

    @classmethod
    def even(cls, items: Described) -> Self:
        """Where nothing is learned."""
        return cls((_BLOCK,) * len(items.ends), (_NUMBER,) * items.numbers.shape[1])

    def of(self, items: Described) -> Described:
        """The items as they lie in the kernel exp(-|x - y|^2 / 2 - |difference of numbers|^2)."""
        scales = np.sqrt(np.asarray(self.blocks, np.float32))
        parts = [block * scale for block, scale in zip(_unit_blocks(items), scales, strict=True)]
        content = sparse.csr_matrix(sparse.hstack(parts, format="csr"), dtype=np.float32)
        return Described(content, items.numbers * np.sqrt(np.asarray(self.numbers, np.float32)), items.ends)

    @classmethod
    def from_params(cls, params: dict[str, Any]) -> Self:
        return cls(tuple(params["blocks"]), tuple(params["numbers"]), params["penalty"])


def _targets(histories: sparse.csr_matrix, seed: int) -> Floats:
    """What users did with each item, `(n, factors + 1) float32`: factors, together of variance 1, and popularity."""
    from sklearn.utils.extmath import randomized_svd

    with threadpool_limits(1, "blas"):
        _, values, rows = randomized_svd(histories, min(_FACTORS, *histories.shape), n_iter=4, random_state=seed)
    factors = rows.T * values
    factors /= max(float(np.sqrt(factors.var(axis=0).sum())), 1e-6)
    popularity = np.log1p(np.bincount(histories.indices, minlength=histories.shape[1]))
    popularity -= popularity.mean()
    popularity *= _POPULARITY / max(float(popularity.std()), 1e-6)
    return np.column_stack([factors, popularity]).astype(np.float32)


def _unit_blocks(items: Described) -> list[sparse.csr_matrix]:
    """The blocks of the content, each with rows of length one, or zero."""
    found = []
    for start, end in pairwise((0, *items.ends)):
        block = sparse.csr_matrix(items.content[:, start:end], dtype=np.float32)
        lengths = np.sqrt(np.asarray(block.multiply(block).sum(axis=1)).ravel())
        block.data = block.data / np.repeat(np.where(lengths > 0, lengths, 1), np.diff(block.indptr))
        found.append(sparse.csr_matrix(block, dtype=np.float32))
    return found


def _block_distances(items: Described) -> list[Floats]:
    """Half the squared distance in each block, `(n, n)`."""
    found = []
    for block in _unit_blocks(items):
        halves = np.asarray(block.multiply(block).sum(axis=1) / 2, dtype=np.float32).ravel()
        found.append(halves[:, None] + halves[None] - np.asarray((block @ block.T).toarray(), dtype=np.float32))
    return found


def _number_distances(items: Described) -> list[Floats]:
    """The squared difference of each number, `(n, n)`."""
    return [np.square(column[:, None] - column[None]).astype(np.float32) for column in items.numbers.T]
