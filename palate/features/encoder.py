"""Items as sparse vectors of what they are: categories, tags, and the words of title and text.

The same fitted encoder runs offline on a whole catalogue and online on one new item, and is part of the model's
bundle: there is no second definition of a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.dataset.schema import ITEM_SCHEMA, Items
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.text import label, words
from palate.models.params import ModelParams, within
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]
_BLOCKS = ("categories", "tags", "words")


@dataclass(frozen=True)
class EncoderParams(ModelParams):
    """Parameters of ContentEncoder.

    categories, tags, words: the weights of the blocks; 0 leaves a block out.
    min_count: a tag or word that fewer items have is not learned (categories always are).
    max_words, max_tags: the most common ones are kept.

    The defaults were tuned on cold items cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models content`.
    """

    categories: float = field(default=1.0, metadata=within(0))
    tags: float = field(default=1.0, metadata=within(0))
    words: float = field(default=0.5, metadata=within(0))
    min_count: int = field(default=2, metadata=within(1))
    max_words: int = field(default=20_000, metadata=within(1))
    max_tags: int = field(default=20_000, metadata=within(1))


class ContentEncoder:
    """Items to CSR vectors `(n, width) float32` with rows of length one (or zero, if nothing of them is known).

    Three blocks side by side: categories and tags as multi-hot, words of title and text as term counts (their
    logarithm plus one), each entry times its inverse document frequency `ln((1 + n) / (1 + df)) + 1` (as in
    scikit-learn's TfidfVectorizer with sublinear_tf). Each block of a row is scaled to length one, then weighted,
    then the whole row is scaled to length one.
    """

    kind: ClassVar[str] = "content-encoder"
    params: EncoderParams
    vocabularies: tuple[IdMap, ...]
    """The terms of each block, in column order."""
    idf: tuple[Floats, ...]

    def __init__(self, params: EncoderParams | None = None, /, **values: Any) -> None:
        try:
            self.params = params if params is not None else EncoderParams(**values)
        except TypeError as error:
            raise ParameterError(str(error), where=self.kind) from None

    def fit(self, items: Items) -> Self:
        """Learn the vocabularies and how common each term is. An empty catalogue gives vectors of width 0."""
        limits = (None, self.params.max_tags, self.params.max_words)
        floors = (1, self.params.min_count, self.params.min_count)
        learned = [
            _learn(terms, floor, limit) for terms, floor, limit in zip(_terms(items), floors, limits, strict=True)
        ]
        self.vocabularies = tuple(vocabulary for vocabulary, _ in learned)
        self.idf = tuple(idf for _, idf in learned)
        return self

    @property
    def width(self) -> int:
        self._require_fitted()
        return sum(len(vocabulary) for vocabulary in self.vocabularies)

    def encode(self, items: Items) -> sparse.csr_matrix:
        """`(len(items), width) float32`, sorted indices."""
        self._require_fitted()
        return self._encode(_terms(items))

    def encode_preferences(
        self, categories: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]
    ) -> sparse.csr_matrix:
        """Stated categories and tags, one list of each per user, in the space of the items: `(n, width) float32`."""
        self._require_fitted()
        return self._encode([_labels(categories), _labels(tags), [[] for _ in categories]])

    def feature_names(self) -> list[str]:
        """What each column stands for, as `block:term`."""
        self._require_fitted()
        named = zip(_BLOCKS, self.vocabularies, strict=True)
        return [f"{block}:{term}" for block, vocabulary in named for term in vocabulary.ids.to_pylist()]

    def _encode(self, blocks: Sequence[list[list[str]]]) -> sparse.csr_matrix:
        weights = (self.params.categories, self.params.tags, self.params.words)
        parts = [
            _unit_rows(_weighted(terms, vocabulary, idf)) * np.float32(weight)
            for terms, vocabulary, idf, weight in zip(blocks, self.vocabularies, self.idf, weights, strict=True)
        ]
        whole = sparse.csr_matrix(sparse.hstack(parts, format="csr"), dtype=np.float32)
        whole.eliminate_zeros()
        return _unit_rows(whole)

    # -- as an artifact --------------------------------------------------------------------------------------------

    def signature(self) -> Signature:
        inputs = {name: str(ITEM_SCHEMA.field(name).type) for name in ("title", "text", "categories", "tags")}
        return Signature(inputs, {"indices": "list<int32>", "values": "list<float>"})

    def predict(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Any of the signature's columns to the stored entries of each row's vector: column numbers and values."""
        columns = {name: batch[name] for name in self.signature().inputs if name in batch}
        if not columns:
            wanted = ", ".join(self.signature().inputs)
            raise SchemaError("there is no column to encode.", where="predict", hint=f"Give any of: {wanted}.")
        for name, column in columns.items():
            if isinstance(column, (str, bytes)) or not hasattr(column, "__len__"):
                raise SchemaError(f"must be a list, not {type(column).__name__}.", where=f"predict:{name}")
            if name in ("categories", "tags") and any(isinstance(row, (str, bytes)) for row in column):
                raise SchemaError("each row must be a list of strings, not one string.", where=f"predict:{name}")
        lengths = {len(column) for column in columns.values()}
        if len(lengths) > 1:
            raise SchemaError("the columns differ in length.", where="predict")
        try:
            table = pa.table(
                {name: pa.array(list(values), ITEM_SCHEMA.field(name).type) for name, values in columns.items()}
            )
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise SchemaError(f"a value is of the wrong type ({error}).", where="predict") from None
        vectors = self.encode(Items(IdMap(range(lengths.pop())), table))
        rows = [slice(start, stop) for start, stop in zip(vectors.indptr[:-1], vectors.indptr[1:], strict=True)]
        return {
            "indices": [vectors.indices[row].tolist() for row in rows],
            "values": [vectors.data[row].tolist() for row in rows],
        }

    def to_arrays(self) -> Arrays:
        self._require_fitted()
        return Arrays(
            {"params": asdict(self.params)},
            {f"{block}_idf": idf for block, idf in zip(_BLOCKS, self.idf, strict=True)},
            dict(zip(_BLOCKS, self.vocabularies, strict=True)),
        )

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        encoder = cls(**arrays.params["params"])
        encoder.vocabularies = tuple(arrays.ids[block] for block in _BLOCKS)
        encoder.idf = tuple(np.asarray(arrays.arrays[f"{block}_idf"]) for block in _BLOCKS)
        return encoder

    def _require_fitted(self) -> None:
        if not hasattr(self, "idf"):
            raise NotFittedError("the content encoder is not fitted yet.", hint="Call fit(items) first.")


def _labels(column: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each once per row, whatever its case or spacing."""
    return [list(dict.fromkeys(filter(None, map(label, row)))) for row in column]


def _terms(items: Items) -> list[list[list[str]]]:
    """The terms of each item, block by block."""
    texts = zip(items.strings("title"), items.strings("text"), strict=True)
    return [
        _labels(items.lists("categories")),
        _labels(items.lists("tags")),
        [words(f"{title} {text}") for title, text in texts],
    ]


def _flat(rows: list[list[str]]) -> pa.Array:
    return pa.array(chain.from_iterable(rows), pa.large_string())


def _learn(rows: list[list[str]], floor: int, limit: int | None) -> tuple[IdMap, Floats]:
    """The vocabulary, sorted, of terms in at least `floor` rows, the `limit` most common ones; and their idf."""
    counted = _flat([list(set(row)) for row in rows]).value_counts()
    order = pc.array_sort_indices(counted.field("values"))
    terms, counts = counted.field("values").take(order), np.asarray(counted.field("counts").take(order))
    common = np.argsort(-counts, kind="stable")[:limit]
    kept = np.sort(common[counts[common] >= floor])
    idf = np.log((1 + len(rows)) / (1 + counts[kept])) + 1
    return IdMap.from_values(terms.take(pa.array(kept))), idf.astype(np.float32)


def _weighted(rows: list[list[str]], vocabulary: IdMap, idf: Floats) -> sparse.csr_matrix:
    """Known terms of each row, `(1 + ln count) * idf`."""
    columns = vocabulary.encode(_flat(rows))
    at = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    held = columns >= 0
    matrix = sparse.csr_matrix(
        (np.ones(int(held.sum()), np.float32), (at[held], columns[held])), shape=(len(rows), len(vocabulary))
    )
    matrix.sum_duplicates()
    matrix.data = (1 + np.log(matrix.data)) * idf[matrix.indices]
    return matrix


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row divided by its length; a row of zeros stays."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    lengths = np.sqrt(np.where(squares > 0, squares, 1)).astype(np.float32)
    scaled = matrix.copy()
    scaled.data = (scaled.data / np.repeat(lengths, np.diff(matrix.indptr))).astype(np.float32)
    return scaled
