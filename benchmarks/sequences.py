"""`python -m benchmarks.sequences [--data FOLDER]`: what the order of a history is worth to a model.

`--write docs/choosing.md` puts the tables between the marks of that page.

The last item of each history is held out and ranked among all items that the history lacks: hit rate and NDCG at 10.
`sasrec` stands beside models that know no order, and beside a chain that knows the last item alone (the share of
those who went from it to each item, then popularity). On two generated sets the next item follows from the last one or
from the one before it, by chances that the models have to find out; `--data` adds sets of one's own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np
from scipy import sparse

from benchmarks.pages import put
from palate.dataset import Interactions, leave_last_out, read_dataset
from palate.dataset.ids import Codes, IdMap
from palate.evaluation.metrics import accuracy
from palate.models import make_recommender
from palate.models.sequences import Ordered
from palate.retrieval.topk import top_k

KINDS = ("sasrec", "item-knn", "ease", "popularity")
K = 10
_AFTER_LAST, _AFTER_BEFORE = 0.4, 0.4


def habits(n_users: int = 1000, n_items: int = 300, length: int = 20, kinds: int = 0, seed: int = 0) -> Interactions:
    """Some items tend to follow an item at once, and others to come one later; the rest is popularity.

    With `kinds` an item is one of so many, and what follows is any item of a certain kind: items have something in
    common that can be learned. Without, each item has five of its own that follow, which nothing but counting tells.
    """
    random = np.random.default_rng(seed)
    popularity = 1 / (np.arange(n_items) + 10)
    popularity /= popularity.sum()
    if kinds:
        kind = random.integers(0, kinds, n_items)
        shares = np.where(kind == np.arange(kinds)[:, None], popularity, 1e-12)
        follow, later = (
            np.array([random.choice(n_items, 50, p=shares[to] / shares[to].sum()) for to in random.permutation(kinds)])
            for _ in range(2)
        )
        follow, later = follow[kind], later[kind]
    else:
        follow, later = (random.integers(0, n_items, (n_items, 5)) for _ in range(2))
    rows = np.empty((n_users, length), np.int32)
    rows[:, :2] = random.choice(n_items, (n_users, 2), p=popularity)
    for place in range(2, length):
        chance, which = random.random(n_users), random.integers(0, follow.shape[1], n_users)
        rows[:, place] = np.select(
            [chance < _AFTER_LAST, chance < _AFTER_LAST + _AFTER_BEFORE],
            [follow[rows[:, place - 1], which], later[rows[:, place - 2], which]],
            random.choice(n_items, n_users, p=popularity),
        )
    users = np.repeat(np.arange(n_users, dtype=np.int32), length)
    times = np.tile(np.arange(length, dtype=np.int64), n_users)
    ids = IdMap(np.arange(n_users)), IdMap(np.arange(n_items))
    _, first = np.unique(users.astype(np.int64) * n_items + rows.ravel(), return_index=True)
    return Interactions(*ids, users, rows.ravel(), None, times).take(np.sort(first))  # an item once per history


def chain(train: Interactions, seen: sparse.csr_matrix) -> Codes:
    """The best items by how many went from each history's last item to them; ties and gaps by popularity."""
    histories = Ordered.of_interactions(train, train.item_codes)
    inside = np.ones(len(histories.codes), dtype=bool)
    inside[histories.starts[1:] - 1] = False
    at = np.flatnonzero(inside)
    pairs = (np.ones(len(at), np.float32), (histories.codes[at], histories.codes[at + 1]))
    went = sparse.csr_matrix(pairs, shape=(train.n_items, train.n_items))
    popular = np.bincount(train.item_codes, minlength=train.n_items).astype(np.float32)
    scores = went[histories.codes[histories.starts[1:] - 1]].toarray() + popular / (popular.max() + 1)
    found, _ = top_k(scores.astype(np.float32), K, seen)
    return found


def by_model(kind: str) -> Callable[[Interactions, sparse.csr_matrix], Codes]:
    def ranked(train: Interactions, _: sparse.csr_matrix) -> Codes:
        return make_recommender(kind).fit(train).recommend(train.users.ids, K).codes

    return ranked


def table(name: str, data: Interactions, kinds: Sequence[str]) -> str:
    """Markdown, the best first."""
    held = leave_last_out(data)
    seen, wanted = held.train.matrix(binary=True), held.test.matrix(binary=True)
    ranked = {**{kind: by_model(kind) for kind in kinds}, "the last item's followers": chain}
    rows = []
    for model, rank in ranked.items():
        started = time.perf_counter()
        found = accuracy(rank(held.train, seen), wanted, [K])
        took = time.perf_counter() - started
        hits, ndcg = (float(np.nanmean(found[f"{name}@{K}"])) for name in ("hit_rate", "ndcg"))
        rows.append((ndcg, f"| {model} | {hits:.4f} | {ndcg:.4f} | {took:.1f} |"))
        click.echo(f"{name}, {model}: NDCG@{K} {ndcg:.4f}", err=True)
    return "\n".join(
        [
            f"{name}: {len(held.train):,} interactions of {data.n_users:,} users and {data.n_items:,} items.",
            "",
            f"| model | hit rate@{K} | NDCG@{K} | training and ranking, s |",
            "|---|--:|--:|--:|",
            *(row for _, row in sorted(rows, reverse=True)),
        ]
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", multiple=True, type=click.Path(exists=True, path_type=Path), help="A data set with times.")
@click.option("--model", "kinds", multiple=True, default=KINDS, help="Only these kinds.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The page to put it in.")
def main(data: tuple[Path, ...], kinds: tuple[str, ...], write: Path | None) -> None:
    """Print a table for each generated set and for each of yours."""
    made = {"Habits of kinds": habits(kinds=30), "Habits of single items": habits()}
    sets = {**made, **{path.name: read_dataset(path).interactions for path in data}}
    text = "\n\n".join(table(name, found, kinds) for name, found in sets.items())
    click.echo(text)
    if write is not None:
        put(write, "benchmarks.sequences", text)


if __name__ == "__main__":
    main()
