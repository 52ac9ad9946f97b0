"""What can be set of the machine that ranks."""

from __future__ import annotations

from dataclasses import dataclass, field

from palate.engines import ENGINES
from palate.models.deep_fm.definition import NETWORKS
from palate.models.params import ModelParams, one_of, within


@dataclass(frozen=True)
class FMRankerParams(ModelParams):
    """Parameters of FMRanker.

    network: "fm", or "deepfm", which adds a deep part, and time for ranking.
    factors: width of the embeddings. hidden, layers: of the deep part.
    negatives: how many items are drawn against each one that was touched.
    regularization: the penalty on the squared embedding and weight of each feature, each time it occurs.
    user_regularization, history_regularization: with network "fm", that on the squared distance of a user from what the
        user's attributes tell, when users are solved for from the final items, and what each item of a history adds to
        it: descent, which stops early, makes no more of a long history than of a short one.
    moments: whether the hour and the weekday (UTC) of an interaction count, where there are timestamps.
    epochs, batch_size, learning_rate: of Adam; the learning rate falls to 0.
    forget: the share of features that are hidden at random in training, so that new items and users can be ranked.
    min_count: a category, tag or attribute that fewer items or users have is not learned.
    engine: what trains: "torch", "mxnet", or "auto", the first that is installed. A trained model needs neither.
    seed: of the start, the batches and the items drawn.
    """

    network: str = field(default="fm", metadata=one_of(*NETWORKS))
    factors: int = field(default=32, metadata=within(1, 4096))
    hidden: int = field(default=64, metadata=within(1, 65_536))
    layers: int = field(default=2, metadata=within(1, 8))
    negatives: int = field(default=4, metadata=within(1, 1000))
    regularization: float = field(default=1e-3, metadata=within(above=0))
    user_regularization: float = field(default=0.5, metadata=within(above=0))
    history_regularization: float = field(default=0.05, metadata=within(0))
    moments: bool = False
    epochs: int = field(default=15, metadata=within(1, 10_000))
    batch_size: int = field(default=1024, metadata=within(1, 1 << 20))
    learning_rate: float = field(default=0.005, metadata=within(above=0))
    forget: float = field(default=0.1, metadata=within(0, 0.95))
    min_count: int = field(default=2, metadata=within(1))
    engine: str = field(default="auto", metadata=one_of("auto", *ENGINES))
    seed: int = field(default=0, metadata=within(0, 2**32 - 1))
