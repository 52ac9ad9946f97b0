"""Full ranking of all test users with its metrics, beside the implicit library's own evaluation of the same factors."""

from __future__ import annotations

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.evaluation import ranking_metrics_at_k
from threadpoolctl import threadpool_limits

from benchmarks.data import MOVIES, TINY, generate, halves
from benchmarks.harness import Benchmark, Timing, alternate, seconds
from palate.evaluation.metrics import PerUser, accuracy
from palate.evaluation.protocol import evaluate
from palate.evaluation.ranking import Queries, rank
from palate.models.als import ALS

K = 20


def run(quick: bool) -> Timing:
    size = TINY if quick else MOVIES
    train, test = halves(generate(size))
    model = ALS(factors=8 if quick else 64, iterations=2).fit(train)
    engine = AlternatingLeastSquares(factors=model.params.factors)
    engine.user_factors, engine.item_factors = model.user_factors, model.item_factors
    seen, relevant = train.matrix(binary=True), test.matrix(binary=True)

    def peer() -> dict[str, float]:
        with threadpool_limits(1, "blas"):  # as implicit asks for: its own threads use the cores
            found: dict[str, float] = ranking_metrics_at_k(
                engine, seen, relevant, K=K, show_progress=False, num_threads=0
            )
        return found

    queries = Queries(lambda part: train.users.ids[part], seen, relevant)

    def ours() -> dict[str, PerUser]:
        return accuracy(rank(model, queries, K).codes, relevant, [K])

    # What the peer calls precision: all hits, as a share of all that lists of K could hold.
    wanted = np.diff(relevant.indptr)
    hits = np.nansum(ours()[f"precision@{K}"]) * K
    quality = {"hits": {"peer": peer()["precision"], "ours": float(hits / np.minimum(wanted, K).sum())}}
    took = alternate(peer, ours, 5, quick)
    whole = seconds(lambda: evaluate(model, train, test, ks=(K,)))
    note = (
        f"Ranking and accuracy alone: 4 metrics of the peer, 6 of ours. All that `evaluate` adds (coverage, novelty, "
        f"diversity, 1,000 bootstrap samples) makes it {whole:.2g} s."
    )
    return Timing(*took, str(size), quality, note)


BENCHMARK = Benchmark(
    "full_ranking", "Full ranking and accuracy for all test users", "implicit's ranking_metrics_at_k", run
)
