"""What the demo measures: each model beside popularity, and how much of the demand is cold."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from palate.bundle import load_recommender
from palate.dataset.schema import Interactions, Items
from palate.demo.plan import MODELS, TRAINED, Plan
from palate.evaluation.cold import evaluate_cold
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender
from palate.models.protocol import Recommender
from palate.spark.prepared import Prepared

THIN = 5
"""Training interactions below which a user counts as thin."""


@dataclass(frozen=True)
class Score:
    """One model on the held-out interactions."""

    model: str
    ndcg: float
    recall: float
    coverage: float
    interval: tuple[float, float]
    seconds: float


@dataclass(frozen=True)
class Cold:
    """Shares of the held-out interactions whose item or user training has never seen, and of users with little
    training history; and how content ranks items that nobody has touched, as a multiple of a random ranking."""

    items: float
    users: float
    thin_users: float
    lift: float | None


def fitted(plan: Plan, name: str) -> Recommender:
    """The model that a Spark job trained, from its bundle; or a new one, for what is quick to fit here."""
    return load_recommender(plan.bundle(name)) if name in TRAINED else make_recommender(name)


def measure(plan: Plan) -> tuple[list[Score], Cold]:
    """Every model of MODELS, and how cold the demand is, on what `prepare` held out."""
    data = Prepared(plan.prepared)
    train, test, items = data.interactions("train"), data.interactions("test"), data.catalogue()
    return scores(plan, train, test, items), cold(train, test, items)


def scores(plan: Plan, train: Interactions, test: Interactions, items: Items | None) -> list[Score]:
    """Every model of MODELS, by full ranking with the training items left out."""
    found = []
    for name in MODELS:
        told = evaluate(fitted(plan, name), train, test, (10, 20), items)
        found.append(
            Score(
                name,
                told.metrics["ndcg@10"],
                told.metrics["recall@20"],
                told.metrics["coverage@20"],
                told.intervals["ndcg@10"],
                told.seconds.training + told.seconds.ranking,
            )
        )
    return found


def cold(train: Interactions, test: Interactions, items: Items | None) -> Cold:
    """How much of the held-out demand is cold, and how content answers it."""
    lift = None
    if items is not None:
        told = evaluate_cold(make_recommender("content"), train, kind="items", holdout=0.2, ks=(20,), items=items)
        lift = None if told.cold is None else told.cold.ratio["ndcg@20"]
    counts = np.bincount(train.user_codes, minlength=train.n_users)
    return Cold(
        _unseen(train, test, "item_codes"), _unseen(train, test, "user_codes"), float((counts < THIN).mean()), lift
    )


def _unseen(train: Interactions, test: Interactions, column: str) -> float:
    """The share of test rows whose code no training row has; both have the same id maps."""
    return float((~np.isin(getattr(test, column), getattr(train, column))).mean()) if len(test) else 0.0
