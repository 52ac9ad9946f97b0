"""`python -m benchmarks.explicit_ratings --data FOLDER`: predicting ratings, beside Surprise's SVD++ on the same folds.

Five folds of the ratings at random; the root of the mean squared error (RMSE) of each fold, and the seconds that
fitting and predicting took. SVD++ has its own defaults, which are those that its authors publish figures with, and is
told the scale of the ratings. `--tune` prints what the defaults of `explicit-mf` were chosen by: a grid on a fifth of
the training part of the first fold, the test part never looked at. Needs scikit-surprise
(`pip install 'palate[peers]'`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt

from palate.dataset import Interactions, read_dataset
from palate.models.explicit_mf import ExplicitMF

GRID = {
    "factors": (4, 8, 16),
    "features": (20, 40, 80),
    "ridge": (30.0, 100.0, 300.0),
    "iterations": (40, 60, 100),
}


def halves(ratings: Interactions, folds: int, seed: int) -> Iterator[tuple[Interactions, Interactions]]:
    """(train, test) of each fold."""
    fold = np.random.default_rng(seed).permutation(len(ratings)) % folds
    for each in range(folds):
        yield ratings.take(fold != each), ratings.take(fold == each)


def ours(train: Interactions, test: Interactions, **values: Any) -> npt.NDArray[np.float32]:
    """Predictions of the test part."""
    return ExplicitMF(**values).fit(train).ratings(test.user_codes, test.item_codes)


def peer(train: Interactions, test: Interactions) -> npt.NDArray[np.float64]:
    import pandas as pd
    import surprise

    assert train.weights is not None
    frame = pd.DataFrame({"user": train.user_codes, "item": train.item_codes, "rating": train.weights})
    reader = surprise.Reader(rating_scale=(float(train.weights.min()), float(train.weights.max())))
    model = surprise.SVDpp(random_state=0, cache_ratings=True)
    model.fit(surprise.Dataset.load_from_df(frame, reader).build_full_trainset())
    pairs = zip(test.user_codes.tolist(), test.item_codes.tolist(), strict=True)
    return np.array([model.predict(user, item).est for user, item in pairs])


def rmse(found: npt.NDArray[np.floating], test: Interactions) -> float:
    assert test.weights is not None
    return float(np.sqrt(np.mean(np.square(found - test.weights.astype(np.float64)))))


def tune(ratings: Interactions, folds: int, seed: int) -> None:
    """Print the RMSE on validation data of every setting of the grid, the mean of three starts."""
    kept, _ = next(halves(ratings, folds, seed))
    train, validation = next(halves(kept, folds, seed + 1))
    for setting in product(*GRID.values()):
        values = dict(zip(GRID, setting, strict=True))
        found = np.mean([rmse(ours(train, validation, **values, seed=start), validation) for start in range(3)])
        click.echo(f"{', '.join(f'{name}={value}' for name, value in values.items())}: RMSE {found:.4f}")


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="A data set with ratings.")
@click.option("--folds", default=5, show_default=True, help="How many parts the ratings are cut into.")
@click.option("--seed", default=0, show_default=True, help="Of the cut.")
@click.option("--tune", "tuning", is_flag=True, help="Print the validation grid instead.")
def main(data: Path, folds: int, seed: int, tuning: bool) -> None:
    """Print RMSE and seconds of both, fold by fold and their mean."""
    ratings = read_dataset(data).interactions
    if ratings.weights is None:
        raise click.ClickException(f"{data} has no ratings.")
    if tuning:
        tune(ratings, folds, seed)
        return
    rows = []
    ours(*next(halves(ratings.take(np.arange(1000)), 2, 0)), iterations=2)  # compiles, once for ever
    for fold, (train, test) in enumerate(halves(ratings, folds, seed)):
        row = []
        for contestant in (peer, ours):
            started = time.perf_counter()
            found = contestant(train, test)
            row += [rmse(found, test), time.perf_counter() - started]
        rows.append(row)
        click.echo(f"fold {fold}: SVD++ {row[0]:.4f} in {row[1]:.1f} s, explicit-mf {row[2]:.4f} in {row[3]:.1f} s")
    mean = np.mean(rows, axis=0)
    click.echo(
        f"mean of {folds}: SVD++ {mean[0]:.4f} in {mean[1]:.1f} s, explicit-mf {mean[2]:.4f} in {mean[3]:.1f} s, "
        f"{100 * (1 - mean[2] / mean[0]):.1f} % lower"
    )


if __name__ == "__main__":
    main()
