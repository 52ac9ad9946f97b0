"""`python -m benchmarks.cold_items --data FOLDER`: the cold start beside simple methods, as a table.

A random fifth of the items is hidden from training and ranked for every user who touched one: among themselves, and
among all items; the mean of several seeds. The simple methods get the same content: the cosine of an item's TF-IDF
vector with the mean of the user's, and ridge regression from content to the factors of a singular value decomposition,
whose rank and penalty are the best of a grid, chosen by the very hidden items, each measure by itself, which favours
the ridge. Beside the given folders two generated sets of opposite character (`benchmarks.cold_sets`); and, for users
of whom only attributes are known, a third, where the simple method is popularity among the users of one attribute, of
the attribute for which that is best.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.linear_model import Ridge
from sklearn.utils.extmath import randomized_svd

from benchmarks.cold_sets import films, papers, people
from palate.dataset import Dataset, read_dataset
from palate.dataset.splits import cold_items, cold_users
from palate.evaluation.cold import evaluate_cold
from palate.features.description import Describer
from palate.features.encoder import EncoderParams
from palate.models import make_recommender
from palate.models.cold.taste import facts_of_users
from palate.models.cold.weights import Judge

Scores = npt.NDArray[np.float32]

RANKS, PENALTIES = (8, 32, 128), (0.3, 1.0, 3.0, 10.0)


def simple_items(data: Dataset, seed: int) -> dict[str, tuple[float, float]]:
    """NDCG@20 of both simple methods, among the cold items and among all."""
    split = cold_items(data.interactions, 0.2, seed)
    assert data.items is not None
    items = data.items.aligned(data.interactions.items)
    content = Describer.fit(items, EncoderParams(), 0.7).describe(items).content
    train, test = split.train.matrix(binary=True), split.test.matrix(binary=True)
    testers = np.flatnonzero((np.diff(train.indptr) > 0) & (np.diff(test.indptr) > 0))
    cold = np.unique(split.test.item_codes)
    warm = np.unique(split.train.item_codes)
    histories = train[testers]
    seen = histories.toarray() > 0
    among, among_all = Judge.of(test[testers][:, cold]), Judge.of(test[testers])

    def judged(scores: Scores) -> tuple[float, float]:
        return among(scores[:, cold]), among_all(np.where(seen, -np.inf, scores))

    profiles = histories @ content
    lengths = np.sqrt(np.asarray(profiles.multiply(profiles).sum(axis=1)))
    found = {"cosine": judged(np.asarray((profiles @ content.T).todense() / np.maximum(lengths, 1e-9)))}
    left, values, right = randomized_svd(train[:, warm], max(RANKS), n_iter=4, random_state=0)
    best = (0.0, 0.0)
    for penalty in PENALTIES:
        said = Ridge(alpha=penalty, solver="sparse_cg").fit(content[warm], right.T).predict(content)
        for rank in RANKS:
            got = judged((left[testers, :rank] * values[:rank]) @ said[:, :rank].T)
            best = max(best[0], got[0]), max(best[1], got[1])
    return {**found, "ridge": best}


def simple_arrivals(data: Dataset, seed: int) -> float:
    """NDCG@20 of popularity within each value of the best attribute, for users who are new."""
    split = cold_users(data.interactions, 0.2, seed)
    assert data.users is not None
    rows = facts_of_users(data.users)
    train, test = split.train.matrix(binary=True), split.test.matrix(binary=True)
    testers = np.flatnonzero(np.diff(test.indptr))
    judge = Judge.of(test[testers])
    overall = np.asarray(train.sum(axis=0), dtype=np.float32).ravel()
    best = judge(overall[None])
    for name in sorted({name for row in rows for name in row}):
        values = [row.get(name) for row in rows]
        if name == "age":
            values = [value // 10 for value in values if value is not None]
        kept = sorted(set(values), key=str)
        member = sparse.csr_matrix(
            (np.ones(len(values), np.float32), ([kept.index(value) for value in values], np.arange(len(values))))
        )
        popular = np.asarray((member @ train).todense(), dtype=np.float32) + 1e-6 * overall
        best = max(best, judge(popular[[kept.index(values[user]) for user in testers]]))
    return best


def ours(data: Dataset, kind: str, model: str, seed: int, values: Mapping[str, object]) -> tuple[float, float, float]:
    """NDCG@20 among the candidates and among all, and seconds of training, by `palate evaluate`'s own code."""
    found = evaluate_cold(
        make_recommender(model, {"seed": seed, **values}), data.interactions, kind,
        ks=(20,), items=data.items, users=data.users, seed=seed,
    )  # fmt: skip
    full = found.cold.full_ranking.metrics["ndcg@20"] if found.cold and found.cold.full_ranking else float("nan")
    return found.metrics["ndcg@20"], full, found.seconds.training


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="A data set with content.")
@click.option("--seeds", default=5, show_default=True, help="How many splits.")
@click.option("--model", "models", multiple=True, default=("cold-start",), show_default=True, help="Kinds to measure.")
@click.option("--generated/--no-generated", default=True, help="The generated sets, too.")
def main(data: tuple[Path, ...], seeds: int, models: tuple[str, ...], generated: bool) -> None:
    """Print the cold start's tables."""
    sets = [(folder.resolve().name, read_dataset(folder)) for folder in data]
    if generated:
        sets += [("films (generated)", films()), ("papers (generated)", papers())]
    click.echo(
        "| data | model | NDCG@20 among cold | cosine | ridge | ratio | among all | cosine | ridge | ratio | s |"
    )
    click.echo("|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|")
    for name, dataset in sets:
        simple = [simple_items(dataset, seed) for seed in range(seeds)]
        cosine, ridge = (np.mean([each[way] for each in simple], axis=0) for way in ("cosine", "ridge"))
        for model in models:
            among, full, seconds = np.mean([ours(dataset, "items", model, seed, {}) for seed in range(seeds)], axis=0)
            click.echo(
                f"| {name} | `{model}` | {among:.4f} | {cosine[0]:.4f} | {ridge[0]:.4f} "
                f"| {among / max(cosine[0], ridge[0]):.2f} | {full:.4f} | {cosine[1]:.4f} | {ridge[1]:.4f} "
                f"| {full / max(cosine[1], ridge[1]):.2f} | {seconds:.0f} |"
            )
    if not generated:
        return
    click.echo("\n| arrivals | model | NDCG@20 | popularity by attribute | ratio |\n|---|---|--:|--:|--:|")
    everybody = people()
    popular = float(np.mean([simple_arrivals(everybody, seed) for seed in range(seeds)]))
    got = float(np.mean([ours(everybody, "arrivals", "cold-start", seed, {})[0] for seed in range(seeds)]))
    click.echo(f"| people (generated) | `cold-start` | {got:.4f} | {popular:.4f} | {got / popular:.2f} |")


if __name__ == "__main__":
    main()
