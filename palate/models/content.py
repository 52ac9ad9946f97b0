"""Ranking by what items are: for items nobody has touched yet, and users known by a few items or stated likings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from palate.dataset.ids import Codes
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import BundleFormatError
from palate.features import ContentEncoder, EncoderParams
from palate.models.params import within
from palate.models.protocol import Arrays, Capability, Context, Floats, Recommender, Vectors

BY_CONTENT = frozenset(Capability) - {Capability.SEGMENTS}
"""The capabilities of every model that judges items by their content."""


@dataclass(frozen=True)
class ContentParams(EncoderParams):
    """Parameters of ContentSimilarity, beside those of its encoder.

    dims: axes of the latent space; fewer if the content has fewer.
    regularization: how much common directions of the content keep their say. Large: plain similarity to the mean of
        the history; small: directions that all items share are discounted entirely.
    preference_weight: a stated category or tag list counts like so many items of average weight in the history.

    The defaults were tuned on cold items cut from the training part of ml-latest-small:
    `python -m benchmarks.tune_models content`.
    """

    dims: int = field(default=256, metadata=within(1, 4096))
    regularization: float = field(default=3.0, metadata=within(above=0))
    preference_weight: float = field(default=2.0, metadata=within(0))


class ContentSimilarity(Recommender):
    """A linear model of taste over the content vectors of the items.

    Items are encoded by ContentEncoder and projected on the `dims` leading right singular vectors of the catalogue
    (latent semantic analysis; Deerwester and others, 1990), with a constant appended: `e_i`. A user is the weighted
    mean `m` of `e_i` over the history. The score of an item is `e_i' (E'E + regularization I)^-1 m`, with the rows of
    E the items of the training data: this is what ridge regression of "has touched it" on content predicts, up to a
    factor per user. Measured on cold items it ranks twice as well as the cosine with `m`.

    Similar items are compared by the cosine of their encoded content. An item without content is never recommended,
    and says nothing of a user.
    """

    kind: ClassVar[str] = "content"
    capabilities: ClassVar[frozenset[Capability]] = BY_CONTENT
    Params: ClassVar[type[ContentParams]] = ContentParams
    params: ContentParams

    encoder: ContentEncoder
    item_vectors: sparse.csr_matrix
    """`(n_items, width) float32`, as encoded."""
    axes: Floats
    """`(width, dims) float32`."""
    embeddings: Floats
    """`(n_items, dims + 1) float32`: on the axes, and the constant 1; zeros for an item without content."""
    whitening: Floats
    """`(dims + 1, dims + 1) float32`: the inverse above."""
    user_sums: Floats
    """`(n_users, dims + 1) float32`: the weighted sum of a user's items; its last column is the weights' sum."""

    def _fit(self, interactions: Interactions, items: Items, users: Users | None) -> None:
        shared = {entry.name: getattr(self.params, entry.name) for entry in dataclasses.fields(EncoderParams)}
        self.encoder = ContentEncoder(EncoderParams(**shared)).fit(items)
        self.item_vectors = self.encoder.encode(items)
        with threadpool_limits(1, "blas"):  # on a busy machine two threads took 8 times as long
            self.axes = leading_axes(self.item_vectors, self.params.dims, self.params.seed)
        self.embeddings = self._embed(self.item_vectors)
        matrix = interactions.matrix()
        self.usual_weight = float(matrix.data.mean(dtype=np.float64)) if matrix.nnz else 1.0
        learned_from = self.embeddings[np.unique(matrix.indices)].astype(np.float64)
        gram = learned_from.T @ learned_from + self.params.regularization * np.eye(self.embeddings.shape[1])
        self.whitening = np.linalg.inv(gram).astype(np.float32)
        self.user_sums = np.asarray(matrix @ self.embeddings)

    def _embed(self, vectors: sparse.csr_matrix) -> Floats:
        known = (np.diff(vectors.indptr) > 0).astype(np.float32)
        return np.column_stack([vectors @ self.axes, known]).astype(np.float32)

    def _user_vectors(self, codes: Codes) -> Vectors:
        sums = self.user_sums[codes]
        sums[codes < 0] = 0
        return (sums,)

    def _fold(self, histories: sparse.csr_matrix) -> Vectors:
        return (np.asarray(histories @ self.embeddings),)

    def _score(self, vectors: Vectors, contexts: Sequence[Context]) -> tuple[Floats, npt.NDArray[np.bool_]]:
        sums = vectors[0] + self._stated(contexts)
        totals = sums[:, -1:]
        means = sums / np.where(totals > 0, totals, 1)
        scores: Floats = (means @ self.whitening) @ self.embeddings.T
        scores[:, self._silent] = -np.inf
        return scores, np.asarray(totals[:, 0] > 0)

    def _stated(self, contexts: Sequence[Context]) -> Floats:
        """Stated likings as if they were items of the history, `(n, dims + 1)`; zeros where none is known."""
        stating = [row for row, context in enumerate(contexts) if context.categories or context.tags]
        sums = np.zeros((len(contexts), self.embeddings.shape[1]), dtype=np.float32)
        if stating and self.params.preference_weight > 0:
            vectors = self.encoder.encode_preferences(
                [contexts[row].categories for row in stating], [contexts[row].tags for row in stating]
            )
            sums[stating] = self._embed(vectors) * np.float32(self.params.preference_weight * self.usual_weight)
        return sums

    @cached_property
    def _silent(self) -> npt.NDArray[np.intp]:
        return np.flatnonzero(self.embeddings[:, -1] == 0)

    def _similar(self, codes: Codes) -> Floats:
        scores = np.ascontiguousarray((self.item_vectors @ self.item_vectors[codes].T.toarray()).T)
        scores[:, self._silent] = -np.inf
        scores[np.isin(codes, self._silent)] = -np.inf
        return scores

    def _extend(self, fresh: Items) -> None:
        vectors = self.encoder.encode(fresh)
        self.item_vectors = sparse.csr_matrix(sparse.vstack([self.item_vectors, vectors], format="csr"))
        self.embeddings = np.concatenate([self.embeddings, self._embed(vectors)])
        self.__dict__.pop("_silent", None)

    def _state(self) -> Arrays:
        return Arrays(
            {"usual_weight": self.usual_weight},
            {
                "item_vectors": self.item_vectors,
                "axes": self.axes,
                "embeddings": self.embeddings,
                "whitening": self.whitening,
                "user_sums": self.user_sums,
            },
            parts={"encoder": self.encoder},
        )

    def _restore(self, state: Arrays) -> None:
        encoder = state.parts["encoder"]
        if not isinstance(encoder, ContentEncoder):
            raise BundleFormatError(f"its encoder must be of kind {ContentEncoder.kind}, not {encoder.kind}.")
        self.encoder, self.usual_weight = encoder, float(state.params["usual_weight"])
        self.item_vectors, self.axes = state.arrays["item_vectors"], state.arrays["axes"]
        self.embeddings, self.whitening = state.arrays["embeddings"], state.arrays["whitening"]
        self.user_sums = state.arrays["user_sums"]


def leading_axes(vectors: sparse.csr_matrix, dims: int, seed: int) -> Floats:
    """The leading right singular vectors of `(n, width)` vectors as columns, `(width, at most dims) float32`."""
    from sklearn.utils.extmath import randomized_svd

    dims = min(dims, *vectors.shape)
    if dims == 0 or vectors.nnz == 0:
        return np.zeros((vectors.shape[1], 0), dtype=np.float32)
    _, _, rows = randomized_svd(vectors, dims, n_iter=4, random_state=seed)
    return np.ascontiguousarray(rows.T, dtype=np.float32)
