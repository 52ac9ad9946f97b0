"""Texts into rows of numbers: TF-IDF of words and groups of letters in their leading directions (latent semantics).

What `labeling.autolabel.features.tfidf` makes of texts that are all known beforehand, this makes of any text later:
what was learned, words with their weights and the directions, is kept in plain arrays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from palate.errors import InputError

Rows = NDArray[np.float32]
SETTINGS: dict[str, dict[str, Any]] = {
    "words": {"ngram_range": (1, 2)},
    "letters": {"analyzer": "char_wb", "ngram_range": (2, 5)},
}
MAX_TERMS = 10_000
"""Of each kind; together with the directions they decide how large a kept model is: 10 MB at most."""
DIRECTIONS = 256
_MANY = 1000


@dataclass(frozen=True)
class Encoder:
    """vectorizers: by name, as in SETTINGS. directions: (d, terms), as float16 holds them."""

    vectorizers: Mapping[str, TfidfVectorizer]
    directions: Rows

    @classmethod
    def fit(cls, texts: Sequence[str], seed: int = 0) -> Encoder:
        """Learned from at least three texts. Raises InputError if they hold no word and no letter."""
        vectorizers: dict[str, TfidfVectorizer] = {}
        for name in SETTINGS:
            vectorizer = _vectorizer(name, min_df=2 if len(texts) >= _MANY else 1, max_features=MAX_TERMS)
            try:
                vectorizers[name] = vectorizer.fit(texts)
            except ValueError:  # not one word in all texts; the letters may still tell
                continue
        if not vectorizers:
            raise InputError("no text holds a word or letter to learn from.", where="texts")
        weights = _weights(vectorizers, texts)
        kept = min(DIRECTIONS, min(weights.shape) - 1)
        if kept < 1:
            return cls(vectorizers, np.eye(weights.shape[1], dtype=np.float32))
        with np.errstate(divide="ignore", invalid="ignore"):  # it divides by the variance; equal texts have none
            found = TruncatedSVD(kept, n_iter=2, random_state=seed).fit(weights).components_
        return cls(vectorizers, found.astype(np.float16).astype(np.float32))

    def rows(self, texts: Sequence[str]) -> Rows:
        """(n, d) unit rows; of zeros for a text without anything known."""
        unit: Rows = normalize(_weights(self.vectorizers, texts) @ self.directions.T).astype(np.float32)
        return unit

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Plain arrays, by names that start with `encoder_`."""
        arrays: dict[str, NDArray[Any]] = {"encoder_directions": self.directions.astype(np.float16)}
        for name, vectorizer in self.vectorizers.items():
            terms = json.dumps(vectorizer.get_feature_names_out().tolist()).encode()
            arrays[f"encoder_{name}_terms"] = np.frombuffer(terms, dtype=np.uint8)
            arrays[f"encoder_{name}_weights"] = vectorizer.idf_.astype(np.float32)
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Encoder:
        vectorizers: dict[str, TfidfVectorizer] = {}
        for name in SETTINGS:
            if f"encoder_{name}_terms" in arrays:
                terms = json.loads(arrays[f"encoder_{name}_terms"].tobytes())
                vectorizers[name] = _vectorizer(name, vocabulary=terms)
                vectorizers[name].idf_ = arrays[f"encoder_{name}_weights"]
        return cls(vectorizers, arrays["encoder_directions"].astype(np.float32))


def _vectorizer(name: str, **more: Any) -> TfidfVectorizer:
    return TfidfVectorizer(sublinear_tf=True, dtype=np.float32, **SETTINGS[name], **more)


def _weights(vectorizers: Mapping[str, TfidfVectorizer], texts: Sequence[str]) -> Any:
    counted = [vectorizer.transform(texts) for vectorizer in vectorizers.values()]
    return normalize(sparse.hstack(counted).tocsr(), copy=False)
