"""`python -m benchmarks.click_models --data FOLDER`: AUC of FM and DeepFM, logistic regression and boosted trees.

Whether a rating is 4 or more, from the user, the item, its genres and year, and when the rating was given; and a
generated set in which tastes are low-rank and users, items and the context each have an effect of their own. A random
fifth of the rows is the test. All models get the same features: the linear one as one-hot columns and ranges, the trees
lists as columns of 0 and 1 and all else as numbers. Among them is the mean label of each id in training (target
encoding, cross-fitted and shrunk), without which trees can make nothing of thousands of ids. The parameters of each are
the best of a few for validation rows cut from the training part; with them it is trained once more on the whole of that
part, which is what the seconds tell of.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import TargetEncoder

from palate.dataset import read_dataset
from palate.features.facts import read_facts
from palate.features.fields import FieldEncoder
from palate.models.deep_fm import DeepFM

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """kinds: of each column, as DeepFM takes them. ids: the columns with thousands of values."""

    name: str
    columns: Mapping[str, Sequence[Any]]
    labels: npt.NDArray[np.int64]
    kinds: Mapping[str, str]
    ids: tuple[str, ...]

    def take(self, rows: npt.NDArray[Any]) -> Table:
        columns = {name: [held[row] for row in rows] for name, held in self.columns.items()}
        return Table(self.name, columns, self.labels[rows], self.kinds, self.ids)


def movielens(folder: Path) -> Table:
    """Ratings with what is known of the item and of the moment."""
    data = read_dataset(folder)
    held, items = data.interactions, data.items
    assert held.weights is not None
    assert held.timestamps is not None
    assert items is not None
    about = items.aligned(held.items)
    facts = read_facts(about.table["attributes"].to_pylist(), "items")
    years = [float(row["year"]) if row.get("year") else None for row in facts]
    genres = about.lists("categories")
    times = held.timestamps
    columns = {
        "user": held.user_codes.tolist(),
        "item": held.item_codes.tolist(),
        "genres": [genres[item] for item in held.item_codes],
        "year": [years[item] for item in held.item_codes],
        "when": (times / 86_400 / 365.25).tolist(),
        "hour": (times // 3600 % 24).tolist(),
    }
    kinds = {
        "user": "category", "item": "category", "genres": "list", "year": "number", "when": "number",
        "hour": "category",
    }  # fmt: skip
    return Table(folder.resolve().name, columns, (held.weights >= 4).astype(int), kinds, ("user", "item"))


def generated(n: int = 60_000, seed: int = 0) -> Table:
    """Users and items with hidden natures of six numbers, a genre that half explains an item, and an hour."""
    rng = np.random.default_rng(seed)
    users, items = rng.integers(800, size=n), (1500 * rng.random(n) ** 2).astype(int)
    genre = rng.integers(12, size=1500)
    natures = rng.normal(size=(12, 6))[genre] + 0.7 * rng.normal(size=(1500, 6))
    tastes, hours = 0.6 * rng.normal(size=(800, 6)), rng.integers(24, size=n)
    odds = (tastes[users] * natures[items]).sum(axis=1) + 0.6 * rng.normal(size=800)[users]
    odds += 0.6 * rng.normal(size=1500)[items] + 0.5 * rng.normal(size=(12, 24))[genre[items], hours]
    labels = (rng.random(n) < 1 / (1 + np.exp(-odds))).astype(int)
    columns = {"user": users.tolist(), "item": items.tolist(), "genre": genre[items].tolist(), "hour": hours.tolist()}
    return Table("generated", columns, labels, dict.fromkeys(columns, "category"), ("user", "item"))


def one_hot(train: Table, test: Table) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    encoder = FieldEncoder.fit(train.columns, train.kinds)
    found = []
    for table in (train, test):
        rows = encoder.encode(table.columns)
        at = np.repeat(np.arange(len(rows)), rows.codes.shape[1])
        shape = len(rows), encoder.width
        found.append(sparse.csr_matrix((rows.values.ravel(), (at, rows.codes.ravel())), shape=shape))
    return found[0], found[1]


def with_rates(train: Table, test: Table) -> tuple[Table, Table]:
    """Both with the mean label of each id in training as another number: cross-fitted, and shrunk towards the mean."""
    found = [(dict(table.columns), table) for table in (train, test)]
    for name in train.ids:
        encoder = TargetEncoder(target_type="binary", cv=KFold(5, shuffle=True, random_state=0))
        mine, theirs = (np.array(table.columns[name])[:, None] for table in (train, test))
        found[0][0][f"{name}_rate"] = encoder.fit_transform(mine, train.labels)[:, 0].tolist()
        found[1][0][f"{name}_rate"] = encoder.transform(theirs)[:, 0].tolist()
    kinds = {**train.kinds, **{f"{name}_rate": "number" for name in train.ids}}
    made = [Table(table.name, columns, table.labels, kinds, table.ids) for columns, table in found]
    return made[0], made[1]


def for_trees(train: Table, test: Table) -> tuple[Doubles, Doubles]:
    """Lists as columns of 0 and 1, all else as numbers."""
    parts: tuple[list[Doubles], list[Doubles]] = ([], [])
    for name, kind in train.kinds.items():
        if kind == "list":
            kept = sorted({value for row in train.columns[name] for value in row})
            for table, held in zip((train, test), parts, strict=True):
                held.append(np.array([[value in row for value in kept] for row in table.columns[name]], dtype=float))
            continue
        for table, held in zip((train, test), parts, strict=True):
            held.append(np.array(table.columns[name], dtype=float)[:, None])
    return np.concatenate(parts[0], axis=1), np.concatenate(parts[1], axis=1)


def linear(train: Table, test: Table, strength: float) -> Doubles:
    mine, theirs = one_hot(train, test)
    model = LogisticRegression(C=strength, max_iter=300).fit(mine, train.labels)
    return np.asarray(model.predict_proba(theirs)[:, 1])


def trees(train: Table, test: Table, leaves: int, rate: float) -> Doubles:
    mine, theirs = for_trees(train, test)
    model = HistGradientBoostingClassifier(
        max_leaf_nodes=leaves, learning_rate=rate, max_iter=400, early_stopping=True, random_state=0
    )
    return np.asarray(model.fit(mine, train.labels).predict_proba(theirs)[:, 1])


def machine(train: Table, test: Table, **values: Any) -> Doubles:
    return np.asarray(DeepFM(**values).fit(train.columns, train.labels, train.kinds).score(test.columns))


def contestants() -> Iterator[tuple[str, Any, list[dict[str, Any]]]]:
    """Name, how to train and score, and the parameters to choose from."""
    yield "logistic regression", linear, [{"strength": strength} for strength in (0.3, 1.0, 3.0)]
    yield "boosted trees", trees, [{"leaves": leaves, "rate": 0.05} for leaves in (7, 15, 31)]
    short = {"epochs": 6, "batch_size": 2048}
    yield "FM", machine, [{"network": "fm", "regularization": penalty, **short} for penalty in (1e-4, 1e-3)]
    deep = {"network": "deepfm", "hidden": 32, "regularization": 1e-3, **short}
    yield "DeepFM", machine, [{"deep_regularization": penalty, **deep} for penalty in (1e-3, 3e-3)]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="A MovieLens folder.")
@click.option("--seed", default=0, show_default=True, help="Of the split.")
def main(data: tuple[Path, ...], seed: int) -> None:
    """Print the AUC of each on each table."""
    click.echo("| data | model | AUC | seconds | chosen |\n|---|---|--:|--:|---|")
    for table in [*map(movielens, data), generated()]:
        order = np.random.default_rng(seed).permutation(len(table.labels))
        fifth = len(order) // 5
        test, train = table.take(order[:fifth]), table.take(order[fifth:])
        judged, rest = train.take(np.arange(fifth // 2)), train.take(np.arange(fifth // 2, len(train.labels)))
        rest, judged = with_rates(rest, judged)
        train, test = with_rates(train, test)
        for name, run, settings in contestants():
            best = max(settings, key=lambda values: roc_auc_score(judged.labels, run(rest, judged, **values)))
            started = time.perf_counter()
            area = roc_auc_score(test.labels, run(train, test, **best))
            chosen = ", ".join(f"{key}={value}" for key, value in best.items())
            click.echo(f"| {table.name} | {name} | {area:.4f} | {time.perf_counter() - started:.0f} | {chosen} |")


if __name__ == "__main__":
    main()
