"""`python -m benchmarks.peers --data FOLDER`: our models beside those of implicit, LensKit and Cornac.

The last fifth of each user's history is the test. Every peer is tuned over its grid on the last fifth of what is left,
as our defaults were on ml-latest-small, and then fitted on all of that; ours run with their defaults. Each runs in a
process of its own. All are measured by the same code: the 20 best unseen items of every test user. A peer that is not
installed is left out, and said to be (`pip install 'palate[peers]'`). `--write docs/models.md` puts the table between
the marks of that page.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import product
from pathlib import Path
from typing import Any

import click
import numpy as np
from scipy import sparse

from benchmarks.pages import put
from palate.dataset import Interactions, leave_last_fraction, read_dataset
from palate.dataset.ids import Codes
from palate.evaluation.metrics import accuracy
from palate.evaluation.result import peak_memory_mb
from palate.models import make_recommender
from palate.retrieval.topk import top_k

K = 20
Rank = Callable[[], Codes]
"""The `K` best unseen items of every user in code order, `(n_users, K)`, padded with -1."""
Fit = Callable[[Interactions, Mapping[str, Any]], Rank]


def ours(kind: str) -> Fit:
    def fit(train: Interactions, values: Mapping[str, Any]) -> Rank:
        model = make_recommender(kind, values).fit(train)
        return lambda: model.recommend(train.users.ids, K).codes

    return fit


def weighted(train: Interactions, values: Mapping[str, Any]) -> tuple[sparse.csr_matrix, dict[str, Any]]:
    """The matrix that a peer learns from, and its own settings: `ratings`, divided by their mean, or ones."""
    own = dict(values)
    matrix = train.matrix(binary=not own.pop("ratings", False))
    matrix.data /= matrix.data.mean()
    return matrix, own


def of_implicit(name: str) -> Fit:
    def fit(train: Interactions, values: Mapping[str, Any]) -> Rank:
        import implicit

        made: Any = {
            "als": implicit.als.AlternatingLeastSquares,
            "bpr": implicit.bpr.BayesianPersonalizedRanking,
            "bm25": implicit.nearest_neighbours.BM25Recommender,
        }[name]
        seen, values = weighted(train, values)
        seed = {} if name == "bm25" else {"random_state": 0}
        model = made(**values, **seed)
        model.fit(seen, show_progress=False)

        def rank() -> Codes:
            found, scores = model.recommend(np.arange(train.n_users), seen, N=K, filter_already_liked_items=True)
            ranked: Codes = np.where(scores > np.finfo(np.float32).min / 2, found, -1).astype(np.int32)
            return ranked

        return rank

    return fit


def of_lenskit(name: str) -> Fit:
    def fit(train: Interactions, values: Mapping[str, Any]) -> Rank:
        import pandas as pd
        from lenskit.als import ImplicitMFScorer
        from lenskit.batch import recommend
        from lenskit.data import from_interactions_df
        from lenskit.flexmf import FlexMFImplicitScorer
        from lenskit.knn import ItemKNNScorer
        from lenskit.pipeline import topn_pipeline

        made: Any = {"item-knn": ItemKNNScorer, "implicit-mf": ImplicitMFScorer, "flexmf": FlexMFImplicitScorer}[name]
        frame = pd.DataFrame({"user_id": train.user_codes, "item_id": train.item_codes})
        if train.weights is not None:
            frame["rating"] = train.weights
        data = from_interactions_df(frame)
        pipeline = topn_pipeline(made(**values), n=K)
        pipeline.train(data)

        def rank() -> Codes:
            found = np.full((train.n_users, K), -1, np.int32)
            for key, items in recommend(pipeline, np.arange(train.n_users).tolist(), K, n_jobs=1):
                ids = items.ids()
                found[int(key.user_id), : len(ids)] = ids
            return found

        return rank

    return fit


def of_cornac(name: str) -> Fit:
    def fit(train: Interactions, values: Mapping[str, Any]) -> Rank:
        from cornac.data import Dataset
        from cornac.models import BPR, EASE

        matrix, values = weighted(train, values)
        rows = matrix.tocoo()
        data = Dataset.from_uir(
            list(zip(rows.row.tolist(), rows.col.tolist(), rows.data.tolist(), strict=True)), seed=0
        )
        made: Any = {"bpr": BPR, "ease": EASE}[name]
        model = made(**values, verbose=False, seed=0)
        model.fit(data)
        users = np.fromiter(data.uid_map, np.int64, len(data.uid_map))
        items = np.fromiter(data.iid_map, np.int64, len(data.iid_map))

        def rank() -> Codes:
            scores = np.full((train.n_users, train.n_items), -np.inf, np.float32)
            for row, user in enumerate(users):
                scores[user, items] = model.score(row)
            return top_k(scores, K, train.matrix(binary=True))[0]

        return rank

    return fit


@dataclass(frozen=True)
class Contestant:
    """library: its distribution's name. grid: of the settings, each name to the values tried."""

    library: str
    fit: Fit
    grid: Mapping[str, Sequence[Any]]


CONTESTANTS: dict[str, Contestant] = {
    **{f"palate {kind}": Contestant("palate", ours(kind), {}) for kind in ("ease", "ials", "item-knn", "graph-filter")},
    "implicit ALS": Contestant(
        "implicit",
        of_implicit("als"),
        {
            "ratings": (False, True),
            "factors": (32, 64),
            "regularization": (0.01, 1.0, 10.0),
            "alpha": (2.0, 10.0),
            "iterations": (15,),
        },
    ),
    "implicit BPR": Contestant(
        "implicit",
        of_implicit("bpr"),
        {"factors": (64,), "learning_rate": (0.03, 0.1), "regularization": (0.003, 0.01, 0.03), "iterations": (100,)},
    ),
    "implicit BM25": Contestant("implicit", of_implicit("bm25"), {"K": (50, 300), "K1": (1.2, 10.0), "B": (0.2, 0.5)}),
    "LensKit ItemKNN": Contestant(
        "lenskit", of_lenskit("item-knn"), {"feedback": ("implicit",), "max_nbrs": (20, 50, 200)}
    ),
    "LensKit ImplicitMF": Contestant(
        "lenskit",
        of_lenskit("implicit-mf"),
        {
            "embedding_size": (32, 64),
            "regularization": (0.1, 10.0),
            "weight": (5.0, 40.0),
            "use_ratings": (False, True),
        },
    ),
    "LensKit FlexMF BPR": Contestant(
        "lenskit",
        of_lenskit("flexmf"),
        {"preset": ("bpr",), "embedding_size": (64,), "regularization": (0.01, 0.1), "epochs": (30,)},
    ),
    # As published: interactions count alike, lambda 500. A fit takes so long that a grid would take all the time.
    "Cornac EASE": Contestant("cornac", of_cornac("ease"), {"lamb": (500,), "posB": (False,)}),
    "Cornac BPR": Contestant(
        "cornac",
        of_cornac("bpr"),
        {"k": (64,), "max_iter": (200,), "learning_rate": (0.01, 0.05), "lambda_reg": (0.001, 0.01)},
    ),
}
"""Grids around the libraries' defaults and what their documentation and papers take."""


def quality(train: Interactions, test: Interactions, rank: Rank) -> tuple[float, float]:
    """NDCG@K and Recall@K, the mean over users with test items."""
    found = accuracy(rank(), test.matrix(binary=True), [K])
    return float(np.nanmean(found[f"ndcg@{K}"])), float(np.nanmean(found[f"recall@{K}"]))


def contest(contestant: Contestant, data: Path) -> dict[str, Any]:
    """Tune, fit on everything but the test, measure."""
    whole = leave_last_fraction(read_dataset(data).interactions)
    settings = [dict(zip(contestant.grid, values, strict=True)) for values in product(*contestant.grid.values())]
    best: dict[str, Any] = settings[0]
    if len(settings) > 1:
        inner = leave_last_fraction(whole.train)
        scored = [
            (quality(inner.train, inner.test, contestant.fit(inner.train, values))[0], place)
            for place, values in enumerate(settings)
        ]
        best = settings[max(scored)[1]]
    started = time.perf_counter()
    rank = contestant.fit(whole.train, best)
    seconds = time.perf_counter() - started
    ndcg, recall = quality(whole.train, whole.test, rank)
    # Of settings that had no choice nothing was tuned.
    chosen = {name: value for name, value in best.items() if len(contestant.grid[name]) > 1}
    return {"ndcg": ndcg, "recall": recall, "seconds": seconds, "memory": peak_memory_mb(), "settings": chosen}


def measured(name: str, data: Path) -> dict[str, Any] | str:
    """The figures of a contestant run in a process of its own, or why there are none."""
    library = CONTESTANTS[name].library
    try:
        version(library)
    except PackageNotFoundError:
        return f"{library} is not installed"
    with tempfile.TemporaryDirectory(prefix="palate-peers-") as folder:
        out = Path(folder) / "found.json"
        command = [sys.executable, "-m", "benchmarks.peers", "--data", str(data), "--only", name, "--here", str(out)]
        ran = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
        if ran.returncode or not out.is_file():
            return (ran.stderr.strip().splitlines() or [f"ended with {ran.returncode}"])[-1][:200]
        found: dict[str, Any] = json.loads(out.read_text("utf-8"))
        return found


def table(name: str, found: Mapping[str, dict[str, Any] | str]) -> str:
    """Markdown, the most accurate first."""
    good = {each: facts for each, facts in found.items() if not isinstance(facts, str)}
    rows = [
        f"{name}. " + ", ".join(f"{each} {version(each)}" for each in _libraries(good)) + ".",
        "",
        f"| model | NDCG@{K} | Recall@{K} | training, s | memory, MiB | tuned |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for each, facts in sorted(good.items(), key=lambda item: -item[1]["ndcg"]):
        tuned = ", ".join(f"{key} {value}" for key, value in facts["settings"].items()) or "no"
        rows.append(
            f"| {each} | {facts['ndcg']:.4f} | {facts['recall']:.4f} | {facts['seconds']:.1f} "
            f"| {facts['memory']:.0f} | {tuned} |"
        )
    rows += [f"| {each} | {why} | | | | |" for each, why in found.items() if isinstance(why, str)]
    return "\n".join(rows)


def _libraries(names: Mapping[str, Any]) -> list[str]:
    return list(dict.fromkeys(CONTESTANTS[name].library for name in names))


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="A data set with times.")
@click.option("--only", multiple=True, type=click.Choice(list(CONTESTANTS)), help="Only these.")
@click.option("--write", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="The page to put it in.")
@click.option("--here", type=click.Path(path_type=Path), hidden=True, help="Run one, in this process.")
def main(data: Path, only: tuple[str, ...], write: Path | None, here: Path | None) -> None:
    """Print a table of all."""
    if here is not None:
        here.write_text(json.dumps(contest(CONTESTANTS[only[0]], data)), "utf-8")
        return
    found = {}
    for name in only or CONTESTANTS:
        found[name] = told = measured(name, data)
        click.echo(f"{name}: {told if isinstance(told, str) else format(told['ndcg'], '.4f')}", err=True)
    text = table(data.resolve().name, found)
    click.echo(text)
    if write is not None:
        put(write, "benchmarks.peers", text)


if __name__ == "__main__":
    main()
