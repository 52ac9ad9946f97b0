"""Full-ranking evaluation of a model: on held-out interactions of known users, and in the cold start.

Every item of the catalogue is ranked for every test user, training items masked; nothing is sampled. Users without
test items are left out. The definitions of the metrics are in `palate.evaluation.metrics`.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items, Users
from palate.errors import ParameterError, SchemaError
from palate.evaluation.background import background_of
from palate.evaluation.metrics import check_cutoffs
from palate.evaluation.ranking import Progress, Queries, Ranker, measure, rank, rows_of
from palate.evaluation.result import DataFacts, Evaluation, Seconds, peak_memory_mb
from palate.models.protocol import Recommender


def evaluate(
    model: Recommender,
    train: Interactions,
    test: Interactions,
    ks: Sequence[int] = (10, 20),
    items: Items | None = None,
    users: Users | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    ranker: Ranker | None = None,
) -> Evaluation:
    """Rank all items for every test user, and compare with the test items.

    Parameters
    ----------
    model: fitted here on `train`, `items` and `users`, unless it is fitted already.
    train, test: need not share id maps. Test items that the model lacks count as missed, and so do test pairs that
        are training pairs as well; test rows of weight zero or less are not relevant.
    ks: rank cut-offs, each at least 1.
    items: the catalogue; its content is what `diversity` compares (else co-occurrence in `train`).
    seed: of the bootstrap intervals. A model's own seed is among its parameters.
    progress: called as the ranking goes on.
    ranker: ranks instead of this process, on a cluster say.

    Raises ParameterError for a cut-off below 1; SchemaError if `test` holds nothing relevant, or if none of its users
    is in `train`.
    """
    check_cutoffs(ks)
    test_users = users_with_relevant(test, "test")
    learned_from = ids_of(train.users, np.unique(train.user_codes))  # shared maps hold users without a row here
    if not (learned_from.encode(test_users.ids) >= 0).any():
        raise SchemaError(
            "no user of the test data is in the training data.",
            where="test",
            hint="Are both files of the same data set, with the same kind of ids?",
        )
    training = fit(model, train, items, users, progress)
    started = time.perf_counter()
    masked = rows_of(train, test_users, model.items)
    relevant = rows_of(test, test_users, model.items.extended(test.items.ids), positive=True)
    seen = relevant[:, : len(model.items)].multiply(masked).nnz
    queries = Queries(lambda part: test_users.ids[part], masked, relevant)
    ranking = rank(model, queries, max(ks), progress=progress) if ranker is None else ranker(model, queries, max(ks))
    background = background_of(train, model.items, items)
    measures = measure(ranking, relevant, background, ks, seed, len(model.items))
    data = DataFacts(
        users=background.n_train_users,
        items=len(model.items),
        train_interactions=len(train),
        test_interactions=len(test),
        test_users=len(test_users),
        personal_users=int(ranking.personal.sum()),
        train_fingerprint=train.fingerprint,
        test_fingerprint=test.fingerprint,
        test_pairs_seen_in_training=int(seen),
        diversity_of=background.of,
    )
    seconds = Seconds(training=training, ranking=time.perf_counter() - started)
    return Evaluation(model.kind, asdict(model.params), seed, tuple(ks), measures, data, seconds, peak_memory_mb())


def fit(
    model: Recommender, train: Interactions, items: Items | None, users: Users | None, progress: Progress | None
) -> float:
    """Fit the model unless it is fitted; the seconds that took."""
    if hasattr(model, "items"):
        return 0.0
    if progress is not None:
        progress("training", 0, 1)
    started = time.perf_counter()
    model.fit(train, items, users)
    if progress is not None:
        progress("training", 1, 1)
    return time.perf_counter() - started


def users_with_relevant(test: Interactions, where: str) -> IdMap:
    """The users of `test` with a row of positive weight. Raises SchemaError if there is none."""
    codes = test.user_codes if test.weights is None else test.user_codes[test.weights > 0]
    if not len(codes):
        raise SchemaError("there is nothing to test on: no interaction of positive weight.", where=where)
    return ids_of(test.users, np.unique(codes))


def ids_of(ids: IdMap, codes: npt.NDArray[np.integer]) -> IdMap:
    """A map of some of the ids alone."""
    return IdMap(ids.ids.take(codes))


def require_unfitted(model: Recommender) -> None:
    """The cold start is measured on a model that has not seen what is held out."""
    if hasattr(model, "items"):
        raise ParameterError("the model is fitted already; the cold start needs a fresh one.", where="model")
