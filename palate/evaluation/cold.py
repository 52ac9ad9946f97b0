"""The cold start, measured: items that nobody has touched yet, and users who have just arrived.

Items: a share of the items is held out with all their interactions; the model learns from the rest and from the
catalogue's content, and ranks the cold items for every user who touched one of them. Users: a share of the users is
held out; each is folded in from the first part of the history and tested on the rest. Arrivals: the same users, of whom
nothing is known but what the users' table says of them. All stand beside what a random ranking of the same candidates
would score, computed exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy import sparse

from palate.dataset.ids import IdMap, Ids
from palate.dataset.schema import Interactions, Items, Users
from palate.dataset.splits import cold_items, cold_users
from palate.errors import ParameterError, SchemaError
from palate.evaluation.background import Background, background_of
from palate.evaluation.baseline import random_accuracy
from palate.evaluation.metrics import check_cutoffs
from palate.evaluation.protocol import fit, ids_of, users_with_relevant
from palate.evaluation.ranking import Progress, Queries, Ranking, measure, rank, rows_of
from palate.evaluation.result import ColdStart, DataFacts, Evaluation, Measures, Seconds, peak_memory_mb
from palate.models.protocol import Capability, Context, Recommender, UserVectors

KINDS = ("items", "users", "arrivals")
HISTORY = 0.8
"""The share of a cold user's history that the model is given: at least one interaction, and never all of them."""


@dataclass(frozen=True)
class Task:
    """What both kinds of cold start are asked with, beside the data."""

    model: Recommender
    holdout: float
    ks: tuple[int, ...]
    items: Items | None
    users: Users | None
    seed: int
    progress: Progress | None


def evaluate_cold(
    model: Recommender,
    interactions: Interactions,
    kind: str,
    holdout: float = 0.2,
    ks: Sequence[int] = (10, 20),
    items: Items | None = None,
    users: Users | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Evaluation:
    """Hold out a share of the items or users, fit on the rest, and rank for or among those held out.

    Parameters
    ----------
    model: not fitted yet.
    kind: "items": only the cold items are candidates (and, in `cold.full_ranking`, all items are); users without a
        training interaction are left out, as they are cold themselves. "users": all items are candidates; of each
        cold user the first 80 % by time (a seeded random 80 % without timestamps) are given to the model by
        `fold_in_users`, or, if it can't, only for masking; users with a single interaction are left out. "arrivals":
        cold users are asked for as unknown ids, with their categories, tags and attributes as context; every
        interaction of theirs is to be found.
    holdout: the share held out, between 0 and 1.
    seed: of the split and of the intervals.

    Raises ParameterError for another kind, a share out of range or a fitted model; SchemaError if nothing is left
    to learn from or to test on.
    """
    check_cutoffs(ks)
    if kind not in KINDS:
        raise ParameterError(f"it must be items, users or arrivals, not {kind!r}.", where="cold")
    if kind == "arrivals" and users is None:
        raise ParameterError(
            "nothing is known of users who arrive.", where="cold", hint="It needs a data set with a users' table."
        )
    if not 0 < holdout < 1:
        raise ParameterError(f"it must be between 0 and 1, not {holdout:g}.", where="holdout")
    if hasattr(model, "items"):
        raise ParameterError("the model is fitted already; the cold start needs a fresh one.", where="model")
    task = Task(model, holdout, tuple(ks), items, users, seed, progress)
    if kind == "items":
        return _cold_items(task, interactions)
    return _cold_users(task, interactions, arrivals=kind == "arrivals")


def _cold_items(task: Task, interactions: Interactions) -> Evaluation:
    split = cold_items(interactions, task.holdout, seed=task.seed)
    known = np.bincount(split.train.user_codes, minlength=split.train.n_users) > 0
    testers = users_with_relevant(split.test.take(known[split.test.user_codes]), "the cold items")
    model, training = task.model, fit(task.model, split.train, task.items, task.users, task.progress)
    started = time.perf_counter()
    cold = ids_of(split.test.items, np.unique(split.test.item_codes))
    relevant = rows_of(split.test, testers, model.items, positive=True)
    queries = Queries(lambda part: testers.ids[part], rows_of(split.train, testers, model.items), relevant)
    random = random_accuracy(np.diff(relevant.indptr), np.full(len(testers), len(cold)), task.ks)
    among = rank(model, queries, max(task.ks), cold.ids, task.progress)
    among_all = rank(model, queries, max(task.ks), None, task.progress)
    background = background_of(split.train, model.items, task.items)
    measures = measure(among, relevant, background, task.ks, task.seed, len(cold))
    full = measure(among_all, relevant, background, task.ks, task.seed, len(model.items))
    facts = ColdStart("items", task.holdout, len(cold), *_beside_random(measures, random), full)
    seconds = Seconds(training=training, ranking=time.perf_counter() - started)
    return _evaluation(task, split.train, split.test, among, background, measures, facts, seconds)


def _cold_users(task: Task, interactions: Interactions, *, arrivals: bool) -> Evaluation:
    split = cold_users(interactions, task.holdout, seed=task.seed)
    first = np.zeros(len(split.test), dtype=bool) if arrivals else first_part(split.test, HISTORY, task.seed)
    history, rest = split.test.take(first), split.test.take(~first)
    everyone = users_with_relevant(rest, "the cold users")
    model, training = task.model, fit(task.model, split.train, task.items, task.users, task.progress)
    started = time.perf_counter()
    masked = rows_of(history, everyone, model.items)
    wanted = rows_of(rest, everyone, model.items, positive=True)
    wanted = sparse.csr_matrix(wanted - wanted.multiply(masked))  # what was given is not asked for again
    wanted.eliminate_zeros()
    kept = np.flatnonzero(np.diff(wanted.indptr))
    if not len(kept):
        raise SchemaError("no cold user has anything left to test on.", where="the cold users")
    testers, masked, wanted = ids_of(everyone, kept), masked[kept], wanted[kept]
    if arrivals:
        contexts = contexts_of(task.users, testers) if task.users is not None else []
        queries = Queries(lambda part: testers.ids[part], masked, wanted, lambda part: contexts[part])
    else:
        queries = Queries(_folding(model, history, testers), masked, wanted)
    ranking = rank(model, queries, max(task.ks), None, task.progress)
    background = background_of(split.train, model.items, task.items)
    measures = measure(ranking, wanted, background, task.ks, task.seed, len(model.items))
    random = random_accuracy(np.diff(wanted.indptr), len(model.items) - np.diff(masked.indptr), task.ks)
    n_cold = len(np.unique(split.test.user_codes))
    facts = ColdStart("arrivals" if arrivals else "users", task.holdout, n_cold, *_beside_random(measures, random))
    seconds = Seconds(training=training, ranking=time.perf_counter() - started)
    return _evaluation(task, split.train, split.test, ranking, background, measures, facts, seconds)


def first_part(interactions: Interactions, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """The rows, `(n,) bool`, that make up the first `share` of each user's history.

    By time, ties in a seeded random order; without timestamps all in that order. Rounded down, but at least one row
    of each user is inside, and, of users with two rows or more, at least one outside.
    """
    shuffled = np.random.default_rng(seed).permutation(len(interactions))
    codes = interactions.user_codes[shuffled]
    keys = (codes,) if interactions.timestamps is None else (interactions.timestamps[shuffled], codes)
    order = np.lexsort(keys)
    counts = np.bincount(codes, minlength=interactions.n_users)
    starts = np.concatenate([[0], counts.cumsum()[:-1]])
    place = np.arange(len(codes)) - starts[codes[order]]
    given = np.maximum(1, np.minimum((counts * share).astype(np.int64), counts - 1))
    inside = np.empty(len(codes), dtype=bool)
    inside[shuffled[order]] = place < given[codes[order]]
    return inside


def _folding(model: Recommender, history: Interactions, testers: IdMap) -> Callable[[slice], Ids | UserVectors]:
    """How to ask for slices of cold users: by their vectors if the model folds users in, else as unknown ids."""
    if not model.can(Capability.FOLD_IN_USERS):
        return lambda part: testers.ids[part]
    codes = testers.encode(history.users.ids)[history.user_codes]
    order = np.argsort(codes, kind="stable")
    history, codes = history.take(order), codes[order]

    def fold(part: slice) -> UserVectors:
        low, high = np.searchsorted(codes, [part.start, part.stop])
        rows = history.take(np.arange(low, high))
        users = IdMap(testers.ids[part])
        return model.fold_in_users(replace(rows, users=users, user_codes=codes[low:high] - np.int32(part.start)))

    return fold


def contexts_of(users: Users, wanted: IdMap) -> list[Context]:
    """What the table says of each of the wanted users, as a request's context; nothing for one that it lacks."""
    codes = users.ids.encode(wanted.ids)
    rows = users.table.take(pa.array(codes.astype(np.int64), mask=codes < 0)).to_pylist()
    return [
        Context(tuple(row["categories"] or ()), tuple(row["tags"] or ()), attributes=row["attributes"] or "")
        for row in rows
    ]


def _beside_random(
    measures: Measures, random: Mapping[str, npt.NDArray[np.float64]]
) -> tuple[dict[str, float], dict[str, float]]:
    """Random's expected metrics, and how many times better the measured ones are."""
    expected = {name: float(values.mean()) for name, values in random.items()}
    return expected, {name: measures.metrics[name] / value for name, value in expected.items()}


def _evaluation(
    task: Task,
    train: Interactions,
    test: Interactions,
    ranking: Ranking,
    background: Background,
    measures: Measures,
    facts: ColdStart,
    seconds: Seconds,
) -> Evaluation:
    data = DataFacts(
        users=background.n_train_users,
        items=len(task.model.items),
        train_interactions=len(train),
        test_interactions=len(test),
        test_users=len(ranking.codes),
        personal_users=int(ranking.personal.sum()),
        left_out_users=len(np.unique(test.user_codes)) - len(ranking.codes),
        train_fingerprint=train.fingerprint,
        test_fingerprint=test.fingerprint,
        diversity_of=background.of,
    )
    params = asdict(task.model.params)
    return Evaluation(task.model.kind, params, task.seed, task.ks, measures, data, seconds, peak_memory_mb(), facts)
