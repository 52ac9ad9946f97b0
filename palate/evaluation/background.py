"""What the metrics beyond accuracy compare a list with: how popular items are, and how alike."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items

CONTENT, CO_OCCURRENCE = "content", "co-occurrence"


@dataclass(frozen=True)
class Background:
    """All over the items that are ranked.

    popularity: `(n_items,)` training users per item. n_train_users: users with any training interaction.
    vectors: CSR, a row per item, whose cosine is similarity. of: CONTENT or CO_OCCURRENCE.
    """

    popularity: npt.NDArray[np.float64]
    n_train_users: int
    vectors: sparse.csr_matrix
    of: str


def background_of(train: Interactions, catalogue: IdMap, items: Items | None = None) -> Background:
    """From the training data. Items are alike by their content where `items` tells any, else by their users."""
    matrix = train.matrix(binary=True)
    codes = catalogue.encode(train.items.ids)
    held = np.flatnonzero(codes >= 0)
    popularity = np.zeros(len(catalogue))
    popularity[codes[held]] = np.bincount(matrix.indices, minlength=train.n_items)[held]
    known = int((np.diff(matrix.indptr) > 0).sum())
    content = None if items is None else content_vectors(items.aligned(catalogue))
    if content is not None and content.nnz:
        return Background(popularity, known, content, CONTENT)
    columns = matrix[:, held].tocoo()
    vectors = sparse.csr_matrix(
        (columns.data, (codes[held][columns.col], columns.row)), shape=(len(catalogue), train.n_users)
    )
    return Background(popularity, known, vectors, CO_OCCURRENCE)


def content_vectors(items: Items) -> sparse.csr_matrix:
    """Which categories and tags each item has, CSR `(n_items, n_labels)` of ones.

    Not a model's item vectors: a yardstick has to stay the same whatever encoder the measured models use.
    """
    labels: dict[tuple[str, str], int] = {}
    columns: list[int] = []
    ends = [0]
    for categories, tags in zip(items.lists("categories"), items.lists("tags"), strict=True):
        held = {("category", name) for name in categories} | {("tag", name) for name in tags}
        columns.extend(labels.setdefault(label, len(labels)) for label in held)
        ends.append(len(columns))
    return sparse.csr_matrix(
        (np.ones(len(columns)), np.array(columns, dtype=np.int32), np.array(ends)), shape=(len(items), len(labels))
    )
