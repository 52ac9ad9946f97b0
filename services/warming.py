"""What workers would else load in the midst of their first requests."""

from __future__ import annotations

import pyarrow as pa


def recommender() -> None:
    """What the recommendation API computes with, and what its filters read."""
    from palate.kernels import top_n
    from palate.retrieval import topk

    top_n.warm()
    topk.warm()
    arrow()


def arrow() -> None:
    """Loads what Arrow looks for when it first makes an array of a list or of numbers: pandas, where that is installed,
    half a second. Before workers are forked it does so once for all of them."""
    pa.array([""])
