"""Items as two kinds of features side by side: what is said of them, and how much is said.

Content vectors alone lose how well described an item is, because their rows have length one; yet what has many tags
and a long text is as a rule what many people know. The second part keeps that, and an item's numbers.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.schema import Items
from palate.features.encoder import ContentEncoder, EncoderParams
from palate.features.facts import Facts, read_facts

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Described:
    """content: `(n, width) float32` CSR with rows of length one, or zero. numbers: `(n, n_numbers) float32`.
    ends: the column at which each block of the content ends."""

    content: sparse.csr_matrix
    numbers: Floats
    ends: tuple[int, ...]

    def __len__(self) -> int:
        return int(self.content.shape[0])

    def take(self, rows: npt.NDArray[Any]) -> Described:
        return Described(sparse.csr_matrix(self.content[rows]), self.numbers[rows], self.ends)

    @property
    def known(self) -> npt.NDArray[np.bool_]:
        """Whether anything is said of an item, `(n,)`."""
        return np.diff(self.content.indptr) > 0


@dataclass(frozen=True)
class Describer:
    """Makes `Described` rows of items: ContentEncoder's blocks, the labels of the attributes, and numbers.

    encoder: of categories, tags and words. facts: of the attributes. weight: of the attributes' block, where that of
    the whole of the encoder's is 1. scale: mean and standard deviation of ln(1 + terms) of each of the encoder's
    blocks, `(2, 3)`: how much is said; in the order categories, tags, words.
    """

    encoder: ContentEncoder
    facts: Facts
    weight: float
    scale: Floats

    @classmethod
    def fit(cls, items: Items, params: EncoderParams, weight: float) -> Self:
        encoder = ContentEncoder(params).fit(items)
        facts = Facts.fit(read_facts(items.table["attributes"].to_pylist(), "items"))
        sizes = _sizes(encoder, encoder.encode(items))
        spread = sizes.std(axis=0) if len(items) else np.ones(sizes.shape[1])
        means = sizes.mean(axis=0) if len(items) else np.zeros(sizes.shape[1])
        return cls(encoder, facts, weight, np.stack([means, np.where(spread > 1e-6, spread, 1)]).astype(np.float32))

    def describe(self, items: Items) -> Described:
        content = self.encoder.encode(items)
        labels, numbers = self.facts.encode(read_facts(items.table["attributes"].to_pylist(), "items"))
        sizes = (_sizes(self.encoder, content) - self.scale[0]) / self.scale[1]
        scaled = np.column_stack([sizes, numbers]).astype(np.float32)
        return Described(self._joined(content, labels), scaled, self.ends)

    def prefer(self, categories: list[tuple[str, ...]], tags: list[tuple[str, ...]]) -> Described:
        """Stated likings as if each row were an item, described as much as the average one."""
        content = self.encoder.encode_preferences(categories, tags)
        labels = sparse.csr_matrix((content.shape[0], self.facts.width), dtype=np.float32)
        width = self.scale.shape[1] + len(self.facts.numbers)
        return Described(self._joined(content, labels), np.zeros((content.shape[0], width), np.float32), self.ends)

    @property
    def ends(self) -> tuple[int, ...]:
        """As `Described` has them: the encoder's blocks, and that of the attributes."""
        return (*self.encoder.ends, self.encoder.width + self.facts.width)

    def _joined(self, content: sparse.csr_matrix, labels: sparse.csr_matrix) -> sparse.csr_matrix:
        """Both blocks, each of length one before it is weighed, as rows of length one."""
        counts = np.diff(labels.indptr)
        scaled = sparse.csr_matrix(labels * np.float32(self.weight), dtype=np.float32)
        scaled.data /= np.repeat(np.sqrt(np.maximum(counts, 1)), counts).astype(np.float32)
        joined = sparse.csr_matrix(sparse.hstack([content, scaled], format="csr"), dtype=np.float32)
        lengths = np.sqrt(np.asarray(joined.multiply(joined).sum(axis=1)).ravel())
        joined.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(joined.indptr)).astype(np.float32)
        return joined

    def to_params(self) -> dict[str, Any]:
        return {"facts": self.facts.to_params(), "attributes": self.weight}

    @classmethod
    def from_parts(cls, encoder: ContentEncoder, params: Mapping[str, Any], labels: Any, scale: Floats) -> Self:
        return cls(encoder, Facts.from_params(params["facts"], labels), float(params["attributes"]), scale)


def encoder_params(params: Any) -> EncoderParams:
    """The encoder's own among the parameters of a model that has them, too."""
    return EncoderParams(**{entry.name: getattr(params, entry.name) for entry in dataclasses.fields(EncoderParams)})


def _sizes(encoder: ContentEncoder, content: sparse.csr_matrix) -> npt.NDArray[np.float64]:
    """ln(1 + how many terms) of each block of each row, `(n, 3)`."""
    ends = np.cumsum([len(vocabulary) for vocabulary in encoder.vocabularies])
    block = np.searchsorted(ends, content.indices, side="right")
    rows = np.repeat(np.arange(content.shape[0]), np.diff(content.indptr))
    terms = block < len(ends)  # the columns of topics and embeddings, which follow, are none
    counts = np.bincount((rows * len(ends) + block)[terms], minlength=content.shape[0] * len(ends))
    return np.log1p(counts.reshape(content.shape[0], len(ends)).astype(np.float64))
