"""Items as sparse vectors of what they are: categories, tags, and title and text by words, topics or meaning.

The same fitted encoder runs offline on a whole catalogue and online on one new item, and is part of the model's
bundle: there is no second definition of a feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from itertools import accumulate, chain
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.dataset.schema import ITEM_SCHEMA, Items
from palate.errors import NotFittedError, ParameterError, SchemaError
from palate.features.embeddings import OFFLINE_MODEL, SentenceEncoder
from palate.features.segments import Segments
from palate.features.text import label, words
from palate.features.topics import Topics
from palate.models.params import ModelParams, within
from palate.models.protocol import Arrays, Signature

Floats = npt.NDArray[np.float32]
_BLOCKS = ("categories", "tags", "words")


@dataclass(frozen=True)
class EncoderParams(ModelParams):
    """Parameters of ContentEncoder.

    categories, tags, words, topics, embeddings: the weights of the blocks; 0 leaves a block out. The last three are
        three ways to read title and text: by their words, by what the words are about (latent Dirichlet allocation),
        and by their meaning (a language model; needs the extra `text`).
    segments: the weight of the segment that the other blocks together put an item into; 0 leaves it out.
    min_count: a tag or word that fewer items have is not learned (categories always are).
    max_words, max_tags: the most common ones are kept.
    n_topics: how many topics are learned; fewer if fewer items have words.
    n_segments: how many segments there are; fewer if fewer items differ.
    language_model: a sentence-transformers model, by name or folder. The one that is set comes with the extra `text`.
    seed: of what is learned at random.

    The defaults were tuned on cold items cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models content`.
    """

    categories: float = field(default=1.0, metadata=within(0))
    tags: float = field(default=1.0, metadata=within(0))
    words: float = field(default=0.5, metadata=within(0))
    min_count: int = field(default=2, metadata=within(1))
    max_words: int = field(default=20_000, metadata=within(1))
    max_tags: int = field(default=20_000, metadata=within(1))
    topics: float = field(default=0.0, metadata=within(0))
    embeddings: float = field(default=0.0, metadata=within(0))
    segments: float = field(default=0.0, metadata=within(0))
    n_topics: int = field(default=50, metadata=within(1, 10_000))
    n_segments: int = field(default=20, metadata=within(2, 10_000))
    language_model: str = OFFLINE_MODEL
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))


class ContentEncoder:
    """Items to CSR vectors `(n, width) float32` with rows of length one (or zero, if nothing of them is known).

    Blocks side by side: categories and tags as multi-hot, words of title and text as term counts (their logarithm
    plus one), each entry times its inverse document frequency `ln((1 + n) / (1 + df)) + 1` (as in scikit-learn's
    TfidfVectorizer with sublinear_tf); then the shares of topics, and the embedding. Each block of a row is scaled to
    length one, then weighted, then the whole row is scaled to length one. The last block is a one in the column of the
    segment (principal components, then k-means) of that row; with it the row is scaled again.
    """

    kind: ClassVar[str] = "content-encoder"
    params: EncoderParams
    vocabularies: tuple[IdMap, ...]
    """The terms of each block, in column order."""
    idf: tuple[Floats, ...]
    topics: Topics
    """Over the words' columns; none if they have no weight."""
    sentences: SentenceEncoder | None
    """None if embeddings have no weight."""
    segments: Segments
    """Over the columns of all other blocks; none if they have no weight."""

    def __init__(self, params: EncoderParams | None = None, /, **values: Any) -> None:
        try:
            self.params = params if params is not None else EncoderParams(**values)
        except TypeError as error:
            raise ParameterError(str(error), where=self.kind) from None

    def fit(self, items: Items) -> Self:
        """Learn the vocabularies and how common each term is. An empty catalogue gives vectors of width 0."""
        limits = (None, self.params.max_tags, self.params.max_words)
        floors = (1, self.params.min_count, self.params.min_count)
        blocks = _terms(items)
        learned = [_learn(terms, floor, limit) for terms, floor, limit in zip(blocks, floors, limits, strict=True)]
        self.vocabularies = tuple(vocabulary for vocabulary, _ in learned)
        self.idf = tuple(idf for _, idf in learned)
        n_topics = self.params.n_topics if self.params.topics > 0 else 0
        self.topics = Topics.fit(_counted(blocks[-1], self.vocabularies[-1]), n_topics, self.params.seed)
        self.sentences = SentenceEncoder.load(self.params.language_model) if self.params.embeddings > 0 else None
        n_segments = self.params.n_segments if self.params.segments > 0 else 0
        self.segments = Segments.fit(self._described(blocks, _texts(items)), n_segments, self.params.seed)
        return self

    @property
    def width(self) -> int:
        return self.ends[-1]

    @property
    def ends(self) -> tuple[int, ...]:
        """The column at which each block ends: categories, tags, words, topics, embedding, segment."""
        self._require_fitted()
        meaning = self.sentences.width if self.sentences is not None else 0
        widths = [*map(len, self.vocabularies), len(self.topics), meaning, len(self.segments)]
        return tuple(accumulate(widths))

    def encode(self, items: Items) -> sparse.csr_matrix:
        """`(len(items), width) float32`, sorted indices."""
        self._require_fitted()
        return self._encode(_terms(items), _texts(items))

    def encode_preferences(
        self, categories: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]
    ) -> sparse.csr_matrix:
        """Stated categories and tags, one list of each per user, in the space of the items: `(n, width) float32`."""
        self._require_fitted()
        return self._encode([_labels(categories), _labels(tags), [[] for _ in categories]], [""] * len(categories))

    def feature_names(self) -> list[str]:
        """What each column stands for, as `block:term`."""
        self._require_fitted()
        terms = [vocabulary.ids.to_pylist() for vocabulary in self.vocabularies]
        named = {**dict(zip(_BLOCKS, terms, strict=True)), "topics": self.topics.names(terms[-1])}
        if self.sentences is not None:
            named["embeddings"] = [str(place) for place in range(self.sentences.width)]
        named["segments"] = [str(place) for place in range(len(self.segments))]
        return [f"{block}:{term}" for block, terms in named.items() for term in terms]

    def _encode(self, blocks: Sequence[list[list[str]]], texts: Sequence[str]) -> sparse.csr_matrix:
        rows = self._described(blocks, texts)
        if not len(self.segments):
            return rows
        segment = self.segments.of(rows) * np.float32(self.params.segments)
        return _unit_rows(sparse.csr_matrix(sparse.hstack([rows, segment], format="csr"), dtype=np.float32))

    def _described(self, blocks: Sequence[list[list[str]]], texts: Sequence[str]) -> sparse.csr_matrix:
        """All blocks but the segments."""
        params = self.params
        counts = [_counted(terms, words) for terms, words in zip(blocks, self.vocabularies, strict=True)]
        parts = [_weighted(count, idf) for count, idf in zip(counts, self.idf, strict=True)]
        weights = [params.categories, params.tags, params.words]
        if len(self.topics):
            parts.append(self.topics.shares(counts[-1]))
            weights.append(params.topics)
        if self.sentences is not None:
            parts.append(sparse.csr_matrix(self.sentences.encode(texts)))
            weights.append(params.embeddings)
        parts = [_unit_rows(part) * np.float32(weight) for part, weight in zip(parts, weights, strict=True)]
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
        arrays = {f"{block}_idf": idf for block, idf in zip(_BLOCKS, self.idf, strict=True)}
        if len(self.topics):
            arrays["topics"] = self.topics.words
        if self.sentences is not None:
            arrays["language_probe"] = self.sentences.probe
        if len(self.segments):
            arrays |= {f"segment_{name}": array for name, array in asdict(self.segments).items()}
        return Arrays({"params": asdict(self.params)}, arrays, dict(zip(_BLOCKS, self.vocabularies, strict=True)))

    @classmethod
    def from_arrays(cls, arrays: Arrays) -> Self:
        encoder = cls(**arrays.params["params"])
        encoder.vocabularies = tuple(arrays.ids[block] for block in _BLOCKS)
        encoder.idf = tuple(np.asarray(arrays.arrays[f"{block}_idf"]) for block in _BLOCKS)
        none = np.empty((0, len(encoder.vocabularies[-1])), np.float32)
        encoder.topics = Topics(np.asarray(arrays.arrays.get("topics", none)))
        probe = arrays.arrays.get("language_probe")
        encoder.sentences = None if probe is None else SentenceEncoder(encoder.params.language_model, np.asarray(probe))
        encoder.segments = Segments.none(0)
        if "segment_axes" in arrays.arrays:
            encoder.segments = Segments(
                *(np.asarray(arrays.arrays[f"segment_{part.name}"]) for part in fields(Segments))
            )
        return encoder

    def _require_fitted(self) -> None:
        if not hasattr(self, "idf"):
            raise NotFittedError("the content encoder is not fitted yet.", hint="Call fit(items) first.")


def _labels(column: Sequence[Sequence[str]]) -> list[list[str]]:
    """Each once per row, whatever its case or spacing."""
    return [list(dict.fromkeys(filter(None, map(label, row)))) for row in column]


def _texts(items: Items) -> list[str]:
    """Title and text of each item, as one."""
    return [f"{title} {text}" for title, text in zip(items.strings("title"), items.strings("text"), strict=True)]


def _terms(items: Items) -> list[list[list[str]]]:
    """The terms of each item, block by block."""
    return [_labels(items.lists("categories")), _labels(items.lists("tags")), [words(text) for text in _texts(items)]]


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


def _counted(rows: list[list[str]], vocabulary: IdMap) -> sparse.csr_matrix:
    """How often each known term is in each row, `(n, len(vocabulary)) float32`."""
    columns = vocabulary.encode(_flat(rows))
    at = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    held = columns >= 0
    matrix = sparse.csr_matrix(
        (np.ones(int(held.sum()), np.float32), (at[held], columns[held])), shape=(len(rows), len(vocabulary))
    )
    matrix.sum_duplicates()
    return matrix


def _weighted(counts: sparse.csr_matrix, idf: Floats) -> sparse.csr_matrix:
    """`(1 + ln count) * idf`."""
    data = (1 + np.log(counts.data)) * idf[counts.indices]
    return sparse.csr_matrix((data, counts.indices, counts.indptr), shape=counts.shape)


def _unit_rows(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    """Each row divided by its length; a row of zeros stays."""
    squares = np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel()
    lengths = np.sqrt(np.where(squares > 0, squares, 1)).astype(np.float32)
    scaled = matrix.copy()
    scaled.data = (scaled.data / np.repeat(lengths, np.diff(matrix.indptr))).astype(np.float32)
    return scaled
