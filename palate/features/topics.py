"""What texts are about: shares of topics that are learned from which words go together.

Latent Dirichlet allocation (Blei, Ng and Jordan, 2003), learned by scikit-learn's variational Bayes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Topics:
    """words: `(n_topics, n_words) float32`, how much each word belongs to each topic, in words seen."""

    words: Floats

    @classmethod
    def fit(cls, counts: sparse.csr_matrix, n_topics: int, seed: int) -> Self:
        """Learns from word counts `(n, n_words)`.

        There are as many topics as rows with a word, if these are fewer; none without words.
        """
        from sklearn.decomposition import LatentDirichletAllocation

        told = counts[np.diff(counts.indptr) > 0]
        n_topics = min(n_topics, told.shape[0])
        if n_topics == 0:
            return cls(np.empty((0, counts.shape[1]), np.float32))
        model = LatentDirichletAllocation(n_topics, max_iter=20, random_state=seed)
        return cls(model.fit(told).components_.astype(np.float32))

    def __len__(self) -> int:
        return len(self.words)

    def shares(self, counts: sparse.csr_matrix) -> sparse.csr_matrix:
        """How much of each topic is in each row, `(n, n_topics) float32`.

        What is at chance level or below, one in `n_topics`, is left out, and a row without words is empty. A row does
        not depend on the others.
        """
        found = np.zeros((counts.shape[0], len(self)), np.float32)
        told = np.flatnonzero(np.diff(counts.indptr) > 0)
        if len(told) and len(self):
            found[told] = self._inference.transform(counts[told])
        if len(self) > 1:
            found[found <= 1.001 / len(self)] = 0
        return sparse.csr_matrix(found)

    def names(self, vocabulary: list[str]) -> list[str]:
        """The three weightiest words of each topic, joined."""
        return ["-".join(vocabulary[word] for word in np.argsort(-row, kind="stable")[:3]) for row in self.words]

    @cached_property
    def _inference(self) -> Any:
        """scikit-learn's model with what was learned put back, so that a loaded one infers as the one that learned."""
        from scipy.special import psi
        from sklearn.decomposition import LatentDirichletAllocation

        model = LatentDirichletAllocation(len(self))
        model.components_ = words = self.words.astype(np.float64)
        model.exp_dirichlet_component_ = np.exp(psi(words) - psi(words.sum(axis=1, keepdims=True)))
        model.doc_topic_prior_ = model.topic_word_prior_ = 1 / len(self)
        model.n_features_in_ = words.shape[1]
        return model
