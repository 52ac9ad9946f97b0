"""`python -m benchmarks.tune_models MODEL --data FOLDER`: what the models' default parameters were chosen by.

The last fifth of each user's history is put away and never looked at. Of the rest, the last fifth is for validation
("warm"); in a second copy a third of the users keep one to five interactions ("thin"); in a third a fifth of the items
is held out ("cold", ranked among themselves; "found", their NDCG when all items are ranked). NDCG@10 for users,
NDCG@20 for cold items. The defaults come from ml-latest-small.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np

from palate.dataset import Dataset, Interactions, Split, leave_last_fraction, read_dataset
from palate.evaluation.cold import evaluate_cold
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender

GRIDS: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "popularity": {"half_life_days": (0.0, 100.0, 365.0, 1000.0, 3000.0)},
    "als": {
        "factors": (32, 64, 128),
        "regularization": (0.1, 0.25, 0.35, 0.5, 0.7, 1.0),
        "alpha": (0.5, 1.0, 2.0, 3.0, 8.0),
        "weighting": ("weights", "binary"),
    },
    "ials": {
        "factors": (64, 128),
        "regularization": (0.003, 0.005, 0.01, 0.015, 0.03, 0.1),
        "unobserved": (3.0, 10.0, 20.0, 40.0, 80.0),
        "weighting": ("binary", "weights"),
    },
    "bpr": {
        "factors": (64, 128),
        "learning_rate": (0.02, 0.05),
        "regularization": (0.02, 0.03, 0.05),
        "user_regularization": (0.1, 0.2, 0.3),
        "iterations": (100, 200),
    },
    "logistic-mf": {
        "factors": (16, 32, 64),
        "regularization": (0.6, 3.0, 10.0, 30.0),
        "negatives": (10, 30, 60),
        "iterations": (30, 60),
    },
    "mf": {
        "factors": (64, 128),
        "negatives": (4, 8),
        "regularization": (0.01, 0.03, 0.05, 0.1),
        "learning_rate": (0.003, 0.01, 0.02),
        "epochs": (10, 20),
    },
    "explicit-mf": {"features": (20, 40, 80), "rating_weight": (0.0, 0.3, 0.5, 0.7, 1.0)},
    "ease": {
        "regularization": (100.0, 200.0, 300.0, 400.0, 700.0, 1000.0),
        "user_power": (0.0, 0.25, 0.5),
        "item_power": (0.0, 0.2),
        "debias": (0.0, 0.2),
        "weighting": ("binary", "weights"),
    },
    "sparse-ease": {"neighbours": (50, 100, 200), "known": (300, 1000)},
    "item-knn": {
        "neighbours": (30, 100, 300),
        "similarity": ("cosine", "jaccard", "tf-idf", "bm25"),
        "shrinkage": (0.0, 3.0, 10.0, 30.0),
        "weighting": ("binary", "weights"),
    },
    "user-knn": {
        "neighbours": (30, 60, 100),
        "similarity": ("cosine", "jaccard", "tf-idf", "bm25"),
        "shrinkage": (0.0, 10.0, 30.0),
        "bm25_k1": (1.2, 10.0, 100.0),
        "bm25_b": (0.2, 0.5, 0.8),
        "weighting": ("binary", "weights"),
    },
    "graph-filter": {
        "factors": (32, 64, 128, 256),
        "alpha": (0.1, 0.3, 1.0),
        "user_power": (0.3, 0.5, 0.7),
        "item_power": (0.3, 0.4, 0.5),
        "weighting": ("binary", "weights"),
    },
    "content": {
        "dims": (64, 128, 256, 512),
        "regularization": (1.0, 3.0, 10.0),
        "words": (0.35, 0.5, 1.0),
        "tags": (0.5, 1.0, 2.0),
    },
    "blend": {
        "parts": ("als,content,popularity", "ease,als,content,popularity"),
        "holdout": (0.0, 0.1, 0.2),
    },
}


def shortened(interactions: Interactions, seed: int) -> Interactions:
    """A random third of the users keep their first one to five interactions."""
    rng = np.random.default_rng(seed)
    limits = np.full(interactions.n_users, len(interactions))
    chosen = rng.permutation(interactions.n_users)[: interactions.n_users // 3]
    limits[chosen] = rng.integers(1, 6, len(chosen))
    times = interactions.timestamps if interactions.timestamps is not None else np.arange(len(interactions))
    order = np.lexsort((times, interactions.user_codes))
    counts = np.bincount(interactions.user_codes, minlength=interactions.n_users)
    place = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    return interactions.take(np.sort(order[place < limits[interactions.user_codes[order]]]))


def measured(
    kind: str, values: Mapping[str, Any], data: Dataset, warm: Split, seed: int
) -> Iterator[tuple[str, float]]:
    """Name and value of each measure of one setting."""

    def at_ten(train: Interactions, test: Interactions) -> float:
        return evaluate(make_recommender(kind, values), train, test, (10,), data.items).metrics["ndcg@10"]

    yield "warm", at_ten(warm.train, warm.test)
    few = shortened(warm.train, seed)
    before, after = (np.bincount(each.user_codes, minlength=each.n_users) for each in (warm.train, few))
    yield "thin", at_ten(few, warm.test.take((after < before)[warm.test.user_codes]))
    if kind in ("content", "blend"):
        model = make_recommender(kind, values)
        cold = evaluate_cold(model, data.interactions, "items", ks=(20,), items=data.items, seed=seed)
        yield "cold", cold.metrics["ndcg@20"]
        if cold.cold is not None and cold.cold.full_ranking is not None:
            yield "times random", cold.cold.ratio["ndcg@20"]
            yield "found", cold.cold.full_ranking.metrics["ndcg@20"]


@click.command()
@click.argument("kind", metavar="MODEL", type=click.Choice(list(GRIDS)))
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="A data set's folder.")
@click.option("--seed", default=0, show_default=True, help="Of the splits.")
def main(kind: str, data: Path, seed: int) -> None:
    """Print the validation measures of every setting of a model's grid."""
    whole = read_dataset(data)
    kept = leave_last_fraction(whole.interactions).train
    dataset = Dataset(kept, whole.items, whole.users, whole.source)
    warm = leave_last_fraction(kept)
    grid = GRIDS[kind]
    for setting in product(*grid.values()):
        values = dict(zip(grid, setting, strict=True))
        row = "  ".join(f"{name} {value:.4f}" for name, value in measured(kind, values, dataset, warm, seed))
        click.echo(f"{', '.join(f'{name}={value}' for name, value in values.items())}: {row}")


if __name__ == "__main__":
    main()
