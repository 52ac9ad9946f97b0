"""The default model for what is to be labeled."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.autolabel.features import table_views, text_views
from labeling.autolabel.learners import CrossFitted, KernelLearner, Learner, Stack
from labeling.autolabel.tables import Known


def learner_for(known: Known, features: str = "auto", cache: Path | None = None) -> Learner:
    """Texts: kernels on words and, where they can be had, embeddings. Tables: a kernel, stacked with boosted trees."""
    if known.texts is not None:
        return KernelLearner(text_views(known.texts, features, cache=cache))
    views = table_views(known.columns)
    return Stack(
        [KernelLearner(views), CrossFitted("trees", boosted_trees, views["raw"] if "raw" in views else views["scaled"])]
    )


def learner_of_images(images: NDArray[np.float32], *, network: bool = False) -> Learner:
    """A kernel on the principal components of their pixels; with `network`, stacked with a convolutional network.

    images: (n, height, width[, channels]).
    """
    from labeling.autolabel.images import ConvNet, image_views

    kernel = KernelLearner(image_views(images))
    if not network:
        return kernel
    rows, shape = images.reshape(len(images), -1), images.shape[1:]
    return Stack([kernel, CrossFitted("network", partial(ConvNet, shape), rows)])


def boosted_trees(seed: int) -> Any:
    """Gradient boosting with few, small trees, as suits few labels."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=40,
        learning_rate=0.2,
        max_leaf_nodes=8,
        min_samples_leaf=5,
        early_stopping=False,
        random_state=seed % 2**32,
    )
