"""What every recommender does, whatever its kind: add one to `palate.models.KINDS` and it is tested here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from palate.bundle import load_bundle, write_bundle
from palate.dataset.ids import IdMap
from palate.dataset.schema import Interactions, Items
from palate.errors import CapabilityError, NotFittedError, PalateError, ParameterError, SchemaError, UnknownIdError
from palate.models import make_recommender
from palate.models.protocol import Arrays, Artifact, Capability, Context, Recommendations, Recommender
from tests.models.checkerboard import N_ITEMS, NAMES, SMALL, catalogue, fitted, interactions, people

NAME = NAMES["string"]
EVERYBODY = [NAME(user) for user in range(10)]


def same(first: Recommendations, second: Recommendations) -> bool:
    return (
        first.ids() == second.ids()
        and np.allclose(first.scores, second.scores, rtol=1e-4, atol=1e-5)
        and bool((first.personal == second.personal).all())
    )


def with_new_item(number: int = 20) -> Items:
    table = pa.table(
        {
            "title": pa.array(["Comedy part 20"], pa.large_string()),
            "categories": pa.array([["Comedy"]]),
            "tags": pa.array([["funny", "loud"]]),
        }
    )
    return Items(IdMap([NAME(number)]), table)  # type: ignore[misc]


# -- ranking -----------------------------------------------------------------------------------------------------------


def test_known_user(model: Recommender) -> None:
    found = model.recommend([NAME(2)], 5)
    assert found.codes.shape == found.scores.shape == (1, 5)
    assert found.codes.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert found.personal.tolist() == [model.can(Capability.PERSONAL)]
    held = found.scores[0][found.codes[0] >= 0]
    assert len(held) >= 4
    assert (np.diff(held) <= 0).all()
    assert np.isfinite(held).all()


def test_personal_models_find_the_gap_in_the_pattern(model: Recommender) -> None:
    if model.can(Capability.PERSONAL):
        for user in range(1, 10):
            best = model.recommend([NAME(user)], 1, candidates=[NAME(item) for item in range(1, 10)]).ids()[0][0]
            assert int(str(best)[3:]) % 2 == user % 2


def test_unknown_user_gets_what_is_popular_and_is_told_so(model: Recommender) -> None:
    found = model.recommend(["nobody"], 4)
    assert not found.personal[0]
    assert found.ids()[0][0] == NAME(0)
    counts = np.bincount(interactions(NAME).item_codes, minlength=N_ITEMS)
    assert (np.diff(counts[[model.items.code(item) for item in found.ids()[0]]]) <= 0).all()


def test_known_and_unknown_users_together_are_as_alone(model: Recommender) -> None:
    together = model.recommend([NAME(3), "nobody", NAME(4)], 5)
    assert together.personal.tolist() == [model.can(Capability.PERSONAL), False, model.can(Capability.PERSONAL)]
    for row, user in enumerate([NAME(3), "nobody", NAME(4)]):
        assert np.allclose(together.scores[row], model.recommend([user], 5).scores[0], atol=1e-5)


def test_no_users(model: Recommender) -> None:
    found = model.recommend([], 5)
    assert found.codes.shape == (0, 5)
    assert found.ids() == []


def test_seen_items_stay_out(model: Recommender) -> None:
    data = interactions(NAME)
    for row, items in enumerate(model.recommend(EVERYBODY, N_ITEMS).ids()):
        seen = data.item_codes[data.user_codes == row]
        assert not set(items) & set(data.items.decode(seen))


def test_a_user_who_has_seen_everything_gets_an_empty_row(kind: str) -> None:
    data = Interactions.from_ids(["a", "a", "b"], ["x", "y", "x"])
    found = make_recommender(kind, SMALL.get(kind)).fit(data).recommend(["a"], 3)
    assert found.ids() == [[]]
    assert found.codes.tolist() == [[-1, -1, -1]]
    assert (found.scores == -np.inf).all()


def test_n_larger_than_the_catalogue_is_padded(model: Recommender) -> None:
    found = model.recommend([NAME(1)], 1000, exclude=None)
    assert found.codes.shape == (1, 1000)
    held = found.codes[0][found.codes[0] >= 0]
    assert len(held) == len(set(held.tolist())) <= N_ITEMS
    assert (found.codes[0][len(held) :] == -1).all()


def test_a_shorter_list_is_the_beginning_of_a_longer_one(model: Recommender) -> None:
    assert [row[:3] for row in model.recommend(EVERYBODY, 8).ids()] == model.recommend(EVERYBODY, 3).ids()


@pytest.mark.parametrize("n", [0, -1, 10**9, 1.5, "10", None, True])
def test_wrong_n(model: Recommender, n: Any) -> None:
    with pytest.raises(ParameterError, match="at least 1"):
        model.recommend([NAME(1)], n)
    with pytest.raises((ParameterError, CapabilityError)):
        model.similar_items([NAME(1)], n)


def test_one_id_is_no_list_of_ids(model: Recommender) -> None:
    with pytest.raises(ParameterError, match="list of ids"):
        model.recommend(NAME(1), 3)  # type: ignore[arg-type]


def test_candidates(model: Recommender) -> None:
    wanted = [NAME(5), NAME(6), "no such item"]
    found = model.recommend(EVERYBODY, 5, exclude=None, candidates=wanted)
    assert all(set(row) == {NAME(5), NAME(6)} for row in found.ids())
    assert model.recommend(EVERYBODY, 5, candidates=[]).ids() == [[]] * 10


def test_ways_to_exclude(model: Recommender) -> None:
    everything = set(model.recommend([NAME(1)], N_ITEMS, exclude=None).ids()[0])
    by_list = model.recommend([NAME(1)], N_ITEMS, exclude=[[NAME(0), "no such item"]])
    assert set(by_list.ids()[0]) == everything - {NAME(0)}
    matrix = sparse.csr_matrix(([1.0], ([0], [model.items.code(NAME(0))])), shape=(1, N_ITEMS))
    for form in (matrix, matrix.tocsc(), matrix.tocoo()):
        assert same(model.recommend([NAME(1)], N_ITEMS, exclude=form), by_list)
    for wrong in ("all", [[], []], sparse.csr_matrix((1, N_ITEMS + 1)), ["id-001"]):
        with pytest.raises(ParameterError):
            model.recommend([NAME(1)], 3, exclude=wrong)  # type: ignore[arg-type]


def test_one_user_at_a_time_gets_the_same(model: Recommender) -> None:
    everything = np.ones(len(model.items), bool)
    asked: list[Any] = [(model.users.code(NAME(user)), [NAME(user)], "seen") for user in (2, 7)]
    if model.can(Capability.FOLD_IN_USERS):
        folded = model.fold_in_users([[NAME(1), NAME(3), NAME(1), "nothing"]])
        asked.append((folded, folded, None))
    for one, many, exclude in asked:
        barred = np.zeros(len(model.items), bool)
        if exclude == "seen":
            barred = np.asarray(model.seen[one].toarray()[0] > 0)
        found, expected = model.best(one, 5, barred), model.recommend(many, len(model.items), exclude=exclude)
        assert (found is not None) == bool(expected.personal[0])
        if found is not None:
            scores = dict(zip(expected.codes[0].tolist(), expected.scores[0].tolist(), strict=True))
            assert np.allclose(found[1], expected.scores[0][: len(found[1])], rtol=1e-4, atol=1e-5)
            assert np.allclose(found[1], [scores[code] for code in found[0].tolist()], rtol=1e-4, atol=1e-5)
            assert len(found[0]) == min(5, int((expected.codes[0] >= 0).sum()))
            assert [len(part) for part in model.best(one, 5, everything) or ()] == [0, 0]
    assert model.best(-1, 5) is None


@pytest.mark.parametrize("kind", ["als", "content"])
def test_fitting_again_forgets_what_was_learned_before(kind: str) -> None:
    model = make_recommender(kind, SMALL.get(kind)).fit(interactions(NAME), catalogue(NAME), people(NAME))  # its own
    model.recommend([NAME(2), "nobody"], 5)
    model.best(model.users.code(NAME(2)), 5)
    if model.can(Capability.FOLD_IN_USERS):
        model.fold_in_users([[NAME(1)]])
    turned = Interactions.from_ids([NAME(9 - user) for user in range(10) for _ in range(3)],
                                   [NAME((user * 3 + at) % 10) for user in range(10) for at in range(3)])  # fmt: skip
    model.fit(turned, catalogue(NAME), people(NAME))
    fresh = make_recommender(kind, SMALL.get(kind, {})).fit(turned, catalogue(NAME), people(NAME))
    everybody = [*EVERYBODY, "nobody"]
    assert same(model.recommend(everybody, 5), fresh.recommend(everybody, 5))


def test_contexts_count_users(model: Recommender) -> None:
    with pytest.raises(ParameterError, match="2 contexts for 1 users"):
        model.recommend([NAME(1)], 3, context=[Context(), Context()])


# -- what a model can do it does, what it can't it says ----------------------------------------------------------------


def test_fold_in_users(model: Recommender) -> None:
    histories = [[NAME(1), NAME(3), NAME(5)], [], ["no such item"]]
    if not model.can(Capability.FOLD_IN_USERS):
        with pytest.raises(CapabilityError, match="fold-in-users"):
            model.fold_in_users(histories)
        return
    found = model.recommend(model.fold_in_users(histories), 2, candidates=[NAME(item) for item in range(1, 10)])
    assert found.personal.tolist() == [True, False, False]
    assert set(found.ids()[0]) == {NAME(7), NAME(9)}
    with pytest.raises(ParameterError, match="list of ids"):
        model.fold_in_users(["id-001"])


def test_folding_in_a_known_history_ranks_as_the_known_user(model: Recommender) -> None:
    if model.can(Capability.FOLD_IN_USERS):
        told = [Context(attributes=each) for each in people(NAME).table["attributes"].to_pylist()]
        folded = model.recommend(model.fold_in_users(interactions(NAME)), 5, context=told)
        known = model.recommend(EVERYBODY, 5)
        assert np.allclose(folded.scores, known.scores, rtol=1e-3, atol=1e-4)


def test_fold_in_items(model: Recommender) -> None:
    new = with_new_item()
    if not model.can(Capability.FOLD_IN_ITEMS):
        with pytest.raises(CapabilityError, match="fold-in-items"):
            model.fold_in_items(new)
        return
    before = model.recommend(EVERYBODY, N_ITEMS)
    grown = model.fold_in_items(new)
    assert len(grown.items) == N_ITEMS + 1
    assert len(model.items) == N_ITEMS
    assert same(model.recommend(EVERYBODY, N_ITEMS), before)
    odd, even = grown.recommend([NAME(3), NAME(4)], 20, exclude=None).ids()
    assert odd.index(NAME(20)) < odd.index(NAME(2))  # a new comedy before a known drama, for who likes comedies
    assert even.index(NAME(20)) > even.index(NAME(2))
    assert grown.recommend(["nobody"], 20).ids()[0][-1] == NAME(20)
    assert grown.fold_in_items(new) is grown
    if model.can(Capability.SIMILAR_ITEMS):
        assert int(str(grown.similar_items([NAME(20)], 1).ids()[0][0])[3:]) % 2 == 1
    if model.can(Capability.FOLD_IN_USERS):
        found = grown.recommend(grown.fold_in_users([[NAME(20)]]), 3)
        assert found.personal[0]
        assert NAME(20) not in found.ids()[0]


def test_similar_items(model: Recommender) -> None:
    if not model.can(Capability.SIMILAR_ITEMS):
        with pytest.raises(CapabilityError, match="similar-items"):
            model.similar_items([NAME(1)])
        return
    found = model.similar_items([NAME(3), NAME(4)], 3)
    for item, row in zip((3, 4), found.ids(), strict=True):
        assert NAME(item) not in row
        assert int(str(row[0])[3:]) % 2 == item % 2
    assert model.similar_items([], 3).codes.shape == (0, 3)
    assert model.similar_items([NAME(1)], 50).codes.shape == (1, 50)
    with pytest.raises(UnknownIdError, match="no such item"):
        model.similar_items(["no such item"])


def test_stated_preferences(model: Recommender) -> None:
    found = model.recommend(["nobody"], 4, context=Context(categories=("comedy",), tags=("Funny", "unheard of")))
    assert found.personal[0] == model.can(Capability.ATTRIBUTES)
    if model.can(Capability.ATTRIBUTES):
        assert all(int(str(item)[3:]) % 2 == 1 for item in found.ids()[0])
        assert not model.recommend(["nobody"], 4, context=Context(categories=("unheard of",))).personal[0]


def test_segments(model: Recommender) -> None:
    found = model.recommend(["nobody"] * 3, 5, context=[Context(segment=0), Context(segment=1), Context(segment=99)])
    assert found.personal.tolist() == [model.can(Capability.SEGMENTS)] * 2 + [False]
    if model.can(Capability.SEGMENTS):
        assert all(int(str(item)[3:]) % 2 == 0 for item in found.ids()[0])
        assert sum(int(str(item)[3:]) % 2 for item in found.ids()[1]) == 4


# -- the same again ----------------------------------------------------------------------------------------------------


def saved_in_memory(model: Recommender, _: Path) -> Artifact:
    def copied(arrays: Arrays) -> Arrays:
        parts = {name: type(part).from_arrays(copied(part.to_arrays())) for name, part in arrays.parts.items()}
        return Arrays(arrays.params, arrays.arrays, arrays.ids, parts)

    return type(model).from_arrays(copied(model.to_arrays()))


def saved_as_bundle(model: Recommender, folder: Path) -> Artifact:
    write_bundle(model, folder / "bundle")
    return load_bundle(folder / "bundle", verify="always")


@pytest.mark.parametrize("save", [saved_in_memory, saved_as_bundle])
@pytest.mark.parametrize("ids", NAMES)
def test_save_and_load_gives_the_same_answer(
    kind: str, ids: str, save: Callable[[Recommender, Path], Artifact], tmp_path: Path
) -> None:
    model, name = fitted(kind, ids), NAMES[ids]
    again = save(model, tmp_path)
    assert isinstance(again, type(model))
    assert again.params == model.params
    users = [name(user) for user in range(11)]
    context = Context(categories=("Comedy",), segment=1, now=1e9)
    assert same(again.recommend(users, 6), model.recommend(users, 6))
    assert same(again.recommend(users, 6, context=context), model.recommend(users, 6, context=context))
    if model.can(Capability.SIMILAR_ITEMS):
        assert same(again.similar_items([name(3)], 6), model.similar_items([name(3)], 6))
    if model.can(Capability.FOLD_IN_USERS):
        history = [[name(1), name(3)]]
        found = (each.recommend(each.fold_in_users(history), 6) for each in (model, again))
        assert same(*found)
    if model.can(Capability.FOLD_IN_ITEMS) and ids == "string":
        grown = [each.fold_in_items(with_new_item()) for each in (model, again)]
        assert same(*(each.recommend(users, 13, exclude=None) for each in grown))


def test_a_grown_model_can_be_saved(model: Recommender, tmp_path: Path) -> None:
    if model.can(Capability.FOLD_IN_ITEMS):
        grown = model.fold_in_items(with_new_item())
        again = saved_as_bundle(grown, tmp_path)
        assert isinstance(again, Recommender)
        assert same(again.recommend(EVERYBODY, 13, exclude=None), grown.recommend(EVERYBODY, 13, exclude=None))


def test_same_seed_same_answer(kind: str) -> None:
    first, second = (
        make_recommender(kind, SMALL.get(kind)).fit(interactions(NAME), catalogue(NAME)).recommend(EVERYBODY, 6)
        for _ in range(2)
    )
    assert (first.codes == second.codes).all()
    assert (first.scores == second.scores).all()


@pytest.mark.parametrize("ids", NAMES)
def test_ids_of_every_sort(kind: str, ids: str) -> None:
    name = NAMES[ids]
    rows = fitted(kind, ids).recommend([name(user) for user in range(10)], 4).ids()
    numbers = {name(item): NAMES["string"](item) for item in range(N_ITEMS)}
    assert [[numbers[item] for item in row] for row in rows] == fitted(kind).recommend(EVERYBODY, 4).ids()


# -- little or wrong ---------------------------------------------------------------------------------------------------


def test_one_user_one_item(kind: str) -> None:
    model = make_recommender(kind, SMALL.get(kind)).fit(Interactions.from_ids(["a"], ["x"]))
    assert model.recommend(["a", "b"], 3).ids() == [[], ["x"]]


def test_nothing_to_learn_from(kind: str) -> None:
    empty = Interactions(IdMap([]), IdMap([]), np.empty(0, np.int32), np.empty(0, np.int32))
    with pytest.raises(SchemaError, match="there are no interactions"):
        make_recommender(kind).fit(empty)


def test_not_fitted(kind: str) -> None:
    model = make_recommender(kind)
    doors: list[Callable[[], object]] = [
        lambda: model.recommend(["a"]),
        lambda: model.similar_items(["a"]),
        lambda: model.fold_in_users([["a"]]),
        lambda: model.fold_in_items(with_new_item()),
        lambda: model.to_arrays(),
        lambda: model.predict({"user": ["a"]}),
    ]
    for door in doors:
        with pytest.raises(NotFittedError, match=kind):
            door()


def test_unknown_parameter(kind: str) -> None:
    with pytest.raises(ParameterError, match="no parameter 'depth'") as caught:
        make_recommender(kind, {"depth": 3})
    assert "It has:" in str(caught.value)


WRONG = {
    "factors": [0, -3, 1.5, "many", True, 10**6],
    "regularization": [0.0, -1.0, float("nan"), float("inf"), "much"],
    "alpha": [-1.0],
    "iterations": [0],
    "weighting": ["stars"],
    "neighbours": [0],
    "similarity": ["vibes"],
    "known": [0],
    "unobserved": [0.0],
    "shrinkage": [-1.0],
    "bm25_k1": [-1.0],
    "bm25_b": [1.5],
    "user_power": [-0.1, 1.1],
    "item_power": [-0.1, 1.1],
    "debias": [-0.1, 1.1],
    "seed": [-1, 2**40],
    "half_life_days": [-1.0],
    "floor": [1.5],
    "segment_attribute": [5],
    "dims": [0],
    "preference_weight": [-1.0],
    "categories": [-0.1],
    "min_count": [0],
    "hidden": [0],
    "forget": [-0.1, 1.0],
    "fresh": [-1.0],
    "attributes": [-1.0],
    "topics": [-1.0],
    "n_topics": [0],
    "embeddings": [-1.0],
    "language_model": [5],
    "segments": [-1.0],
    "n_segments": [1],
    "blocks": [0],
    "heads": [0, 65],
    "length": [0],
    "dropout": [-0.1, 1.0],
    "shuffle": [-0.1, 1.1],
    "patience": [-1],
    "batch": [0],
    "parts": ["", "als(", 5],
    "holdout": [-0.1, 1.0],
    "learning_rate": [0.0, -0.1],
    "negatives": [0],
    "epochs": [0],
    "batch_size": [0],
    "layers": [0, 9],
    "network": ["deep"],
    "engine": ["jax"],
    "objective": ["clicks"],
    "features": [0],
    "ridge": [0.0],
    "rating_weight": [-1.0],
    "user_regularization": [0.0],
}


def test_wrong_parameter_values_are_named(kind: str) -> None:
    known = make_recommender(kind).params
    for name in sorted(set(WRONG) & set(vars(known))):
        for value in WRONG[name]:
            with pytest.raises(ParameterError) as caught:
                type(make_recommender(kind))(**{name: value})
            assert f"{kind}.{name}" in str(caught.value)


def test_parameters_from_text_and_back(kind: str) -> None:
    values = {name: str(value) for name, value in vars(make_recommender(kind).params).items()}
    assert make_recommender(kind, values).params == make_recommender(kind).params


def test_predict_speaks_its_signature(model: Recommender) -> None:
    answer = model.predict({"user": np.array([NAME(1), "nobody"], dtype=object), "n": 3})
    signature = model.signature()
    assert set(signature.outputs) - set(signature.optional) <= set(answer) <= set(signature.outputs)
    assert set(signature.inputs) - set(signature.optional) == {"user"}
    assert answer["items"] == model.recommend([NAME(1), "nobody"], 3).ids()
    for wrong in ({}, {"user": [NAME(1)], "n": "many"}, {"user": NAME(1)}):
        with pytest.raises(PalateError):
            model.predict(wrong)


def test_the_catalogue_may_hold_more_or_less_than_the_interactions(kind: str) -> None:
    few = catalogue(NAME).take([1, 2, 11])
    model = make_recommender(kind, SMALL.get(kind)).fit(interactions(NAME), few, people(NAME))
    assert len(model.items) == 11
    assert model.recommend([NAME(1)], 20, exclude=None).codes.max() < 11
