"""ALS: its equations, and what makes it repeatable."""

from __future__ import annotations

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from palate.dataset.schema import Interactions
from palate.errors import ParameterError, SchemaError
from palate.models import make_recommender
from palate.models.als import ALS
from tests.models.checkerboard import NAMES, catalogue, fitted, interactions


def random_interactions(seed: int, ratings: bool = True) -> Interactions:
    rng = np.random.default_rng(seed)
    users, items = rng.integers(0, 60, 900), np.minimum(rng.geometric(0.05, 900), 80)
    return Interactions.from_ids(users, items, rng.integers(1, 6, 900) if ratings else None)


def test_user_vectors_solve_their_normal_equations() -> None:
    data = random_interactions(0)
    model = ALS(factors=5, alpha=3.0).fit(data)
    matrix, y = data.matrix().toarray().astype(float), model.item_factors.astype(float)
    for user in (0, 17, 42):
        confidence = np.where(matrix[user] > 0, 3.0 * matrix[user] / data.matrix().data.mean(), 1.0)
        left = y.T @ (confidence[:, None] * y) + model.penalty * np.eye(5)
        right = y.T @ (confidence * (matrix[user] > 0))
        assert model.user_factors[user] == pytest.approx(np.linalg.solve(left, right), abs=1e-4)


def test_more_iterations_lower_the_loss() -> None:
    data = random_interactions(1, ratings=False)
    wanted = data.matrix(binary=True).toarray()

    def loss(iterations: int) -> float:
        model = ALS(factors=6, iterations=iterations, alpha=5.0, weighting="binary").fit(data)
        error = np.where(wanted > 0, 5.0, 1.0) * (wanted - model.user_factors @ model.item_factors.T) ** 2
        return float(error.sum() + model.penalty * ((model.user_factors**2).sum() + (model.item_factors**2).sum()))

    assert loss(30) <= loss(3) <= loss(1)


def test_the_number_of_threads_changes_nothing() -> None:
    data = random_interactions(2)
    many = ALS(factors=8).fit(data)
    with threadpool_limits(1):
        one = ALS(factors=8).fit(data)
    assert np.allclose(many.item_factors, one.item_factors, atol=1e-5)


def test_another_seed_is_another_start() -> None:
    first, second = (ALS(factors=4, seed=seed).fit(random_interactions(3)) for seed in (0, 1))
    assert not np.allclose(first.item_factors, second.item_factors, atol=1e-3)


def test_alpha_means_the_same_whatever_the_scale_of_the_weights() -> None:
    data = random_interactions(4)
    assert data.weights is not None
    tenfold = Interactions(data.users, data.items, data.user_codes, data.item_codes, data.weights * 10)
    first, second = (ALS(factors=4).fit(each).item_factors for each in (data, tenfold))
    assert np.allclose(first, second, atol=1e-4)


def test_untouched_items_are_never_recommended_nor_similar() -> None:
    name = NAMES["string"]
    model = fitted("als")
    found = model.recommend([name(1), "nobody"], 12, exclude=None).ids()
    assert name(11) not in found[0]
    assert found[1][-2:] == [name(10), name(11)]
    alone = model.similar_items([name(11), name(1)], 5)
    assert alone.ids()[0] == []
    assert alone.personal.tolist() == [False, True]


def test_a_user_without_history_is_not_personal() -> None:
    name = NAMES["string"]
    data = interactions(name)
    kept = data.take(data.user_codes != 3)
    assert kept.n_users == data.n_users
    assert ALS(factors=4).fit(kept, catalogue(name)).recommend([name(3), name(4)]).personal.tolist() == [False, True]


def test_weights_of_zero_teach_nothing() -> None:
    with pytest.raises(SchemaError, match="weight above zero"):
        ALS().fit(Interactions.from_ids(["a"], ["x"], [0.0]))


def test_weights_as_large_as_float32_holds() -> None:
    pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "z")]
    users, items = zip(*pairs, strict=True)
    small, large = (
        ALS(factors=2).fit(Interactions.from_ids(users, items, [weight] * 4)).recommend(["a"], 3, exclude=None)
        for weight in (1.0, 3e38)
    )
    assert large.ids() == small.ids()
    assert np.isfinite(large.scores).all()


@pytest.mark.parametrize("wrong", [{"regularization": 1e30}, {"alpha": 1e30}])
def test_parameters_that_leave_no_finite_factors_are_named(wrong: dict[str, float]) -> None:
    data = Interactions.from_ids(["a", "a", "b"], ["x", "y", "x"])
    with pytest.raises(ParameterError, match="not finite") as caught:
        ALS(factors=4, **wrong).fit(data)
    assert next(iter(wrong)) in caught.value.message


@pytest.mark.parametrize(("kind", "values"), [("als", {"alpha": 0.0}), ("blend", {"parts": "als(alpha=0.0)"})])
def test_without_confidence_there_is_nothing_to_learn(kind: str, values: dict[str, object]) -> None:
    with pytest.raises(ParameterError, match=r"als.alpha: it must be above 0"):
        make_recommender(kind, values)


def test_a_short_history_alone_gives_the_vector_that_it_gives_among_others() -> None:
    model = ALS(factors=16).fit(random_interactions(3))
    history = model.items.decode(np.arange(0, 9, 2))
    assert len(history) <= model.params.factors // 2
    alone, among = model.fold_in_users([history]), model.fold_in_users([history, history[:1]])
    np.testing.assert_allclose(alone.vectors[0][0], among.vectors[0][0], rtol=1e-4, atol=1e-6)
    assert (alone.seen != among.seen[:1]).nnz == 0
    twice, both = model.fold_in_users([[*history, history[0]]]), model.fold_in_users([[*history, history[0]], history])
    np.testing.assert_allclose(twice.vectors[0][0], both.vectors[0][0], rtol=1e-4, atol=1e-6)
    assert np.abs(twice.vectors[0] - alone.vectors[0]).max() > 1e-3
