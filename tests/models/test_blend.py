"""The blend: content for what is new, personal for what is known, popular for nobody in particular; learned."""

from __future__ import annotations

from functools import cache, partial

import numpy as np
import pytest

from palate.dataset.splits import random_split
from palate.errors import BundleFormatError, ParameterError
from palate.evaluation.protocol import evaluate
from palate.models import make_recommender
from palate.models.blend import Blend
from palate.models.blend_lists import lists_of
from palate.models.protocol import Arrays, Capability, Context
from palate.models.trust import COVERS, PART_TERMS, SHARED_TERMS, Scale, rule_of_thumb
from palate.models.trust_learning import Comparison, Lists, compared, learn, safest, simple_shares
from palate.models.validation import cut_validation
from tests.models.checkerboard import NAMES, SMALL, catalogue, fitted, interactions, people
from tests.models.worlds import GROUPS, PER_GROUP, world

NAME = NAMES["string"]


def blend(**values: object) -> Blend:
    model = Blend(**{**SMALL["blend"], **values})
    return model.fit(interactions(NAME), catalogue(NAME), people(NAME))


PARTS = "item-knn(weighting=binary),content(dims=16),popularity"


@cache
def learned(*, told: bool) -> Blend:
    return Blend(parts=PARTS, holdout=0.2).fit(*world(told=told))


# -- what it learns ----------------------------------------------------------------------------------------------------


def test_data_sets_of_opposite_character_get_opposite_weights() -> None:
    by_content, by_others = learned(told=True).weights(5, 5), learned(told=False).weights(30, 30)
    assert by_content["content"] > by_content["item-knn"]
    assert by_others["item-knn"] > 3 * abs(by_others["content"])


@pytest.mark.parametrize("told", [True, False])
def test_it_is_about_as_good_as_the_best_of_its_parts_or_better(told: bool) -> None:
    data, items = world(told=told)
    split = random_split(data, 0.2, seed=1)
    found = {
        kind: evaluate(make_recommender(kind, values), split.train, split.test, (20,), items).metrics["ndcg@20"]
        for kind, values in (
            ("blend", {"parts": PARTS, "holdout": 0.2}),
            ("item-knn", {"weighting": "binary"}),
            ("content", {"dims": 16}),
            ("popularity", {}),
        )
    }
    blended = found.pop("blend")
    assert blended > 0.97 * max(found.values())
    assert blended > 1.1 * min(found.values())


def test_the_less_is_known_the_more_content_counts() -> None:
    model = learned(told=False)
    known, thin, cold = model.weights(40, 40), model.weights(1, 40), model.weights(40, 0)
    assert thin["content"] > known["content"]
    assert cold == {"item-knn": 0.0, "content": 1.0}


def test_one_that_is_always_right_is_trusted_and_one_that_draws_lots_is_not() -> None:
    rng = np.random.default_rng(0)
    rule = rule_of_thumb([False, False], Scale.of(np.arange(9)), Scale.of(np.arange(9)))
    n_lists, length = 400, 20
    terms = np.zeros((n_lists * length, len(rule.flat)), np.float32)
    terms[:, [0, 7]] = rng.normal(size=(len(terms), 2))
    chosen = np.zeros((n_lists, length), bool)
    chosen[np.arange(n_lists), terms[:, 0].reshape(n_lists, length).argmax(axis=1)] = True
    starts = np.arange(n_lists) * length
    lists = Lists(terms, chosen.ravel(), starts, np.ones(n_lists), np.arange(n_lists, dtype=np.int32))
    found = learn(lists, rule)
    assert found.parts[0, 0] > 10 * abs(found.parts[1, 0])


def choices(*noises: float) -> Lists:
    """What users chose, from lists of 40 items: what they like best, of which each part knows so much and no more."""
    rng = np.random.default_rng(0)
    n_lists, length = 400, 40
    likings = rng.normal(size=n_lists * length)
    terms = np.zeros((n_lists * length, len(noises) * len(PART_TERMS) + len(SHARED_TERMS)), np.float32)
    for part, noise in enumerate(noises):
        terms[:, part * len(PART_TERMS)] = likings + noise * rng.normal(size=len(likings))
    chosen = np.zeros((n_lists, length), bool)
    chosen[np.arange(n_lists), likings.reshape(n_lists, length).argmax(axis=1)] = True
    starts, users = np.arange(n_lists) * length, np.arange(n_lists, dtype=np.int32)
    return Lists(terms, chosen.ravel(), starts, np.ones(n_lists), users)


def test_the_simplest_blend_adds_what_helps_and_leaves_out_what_does_not() -> None:
    first, second, third = simple_shares(choices(1.0, 1.0, 30.0))
    assert first + second + third == pytest.approx(1)
    assert min(first, second) > 0.3
    assert third < 0.1


def comparison(*cuts: Lists, ahead: bool = False) -> Comparison:
    scale = Scale.of(np.arange(9))
    rule = partial(rule_of_thumb, [False] * 2, scale, scale)
    return compared(cuts, lambda some: rule(simple_shares(some)), ahead=ahead)


def test_a_blend_is_worth_it_where_it_is_better_beyond_chance() -> None:
    helpful, idle = comparison(choices(1.0, 1.0)), comparison(choices(1.0, 8))
    assert helpful.worthwhile
    assert helpful.blended > helpful.alone + 5 * helpful.error
    assert 0 < idle.blended - idle.alone < 2.5 * idle.error, "better, but chance would do that"
    assert not idle.worthwhile


def test_several_lists_of_the_same_users_are_no_further_witnesses() -> None:
    once, thrice = choices(1.0, 1.0), comparison(*[choices(1.0, 1.0)] * 3)
    assert thrice.error == pytest.approx(comparison(once).error, rel=0.2)


def test_a_blend_that_was_better_in_one_time_has_to_be_so_in_the_next() -> None:
    """Its second part knew more than the first until lately, when it knows little any more."""
    before, now = choices(1.0, 0.5), choices(1.0, 3.0)
    assert comparison(now, before).worthwhile, "the two times together"
    assert not comparison(now, before, ahead=True).worthwhile
    assert comparison(before, before, ahead=True).worthwhile


def test_what_covers_the_new_speaks_as_strongly_as_it_helps_and_else_hardly() -> None:
    scale, width = Scale.of(np.arange(9)), len(PART_TERMS)
    new_item = PART_TERMS.index("new item")
    rules = [rule_of_thumb([False, True], scale, scale, [1.0, 0.0], cover) for cover in COVERS]

    def cover(noise: float) -> float:
        """Of half the items, which are new; `noise` is in what the second part says of them."""
        lists = choices(3.0, noise)
        new = np.random.default_rng(1).random(len(lists.chosen)) < 0.5
        for part in range(2):
            lists.terms[:, part * width + new_item] = lists.terms[:, part * width] * new
        return float(2 * safest(lists, rules).parts[1, new_item])

    assert cover(0.5) == pytest.approx(COVERS[0])
    assert cover(100.0) == pytest.approx(COVERS[-1])
    assert COVERS[-1] > 0


def test_where_there_is_too_little_to_learn_from_the_rule_of_thumb_stays() -> None:
    model = fitted("blend")
    assert isinstance(model, Blend)
    assert (model.trust.flat == blend(holdout=0.0).trust.flat).all()


# -- what it ranks -----------------------------------------------------------------------------------------------------


def test_untouched_items_are_ranked_among_the_others() -> None:
    ids = fitted("blend").recommend([NAME(3)], 12, exclude=None).ids()[0]
    assert set(ids) == {NAME(item) for item in range(12)}
    assert ids.index(NAME(11)) < ids.index(NAME(2))


def test_hidden_items_are_found_by_their_content() -> None:
    data, items = world(told=True)
    hidden = np.random.default_rng(5).permutation(GROUPS * PER_GROUP)[:60]
    inside = np.isin(data.item_codes, hidden)
    model = Blend(parts=PARTS).fit(data.take(~inside), items)
    wanted = data.take(inside).matrix(binary=True)
    users = np.flatnonzero(np.diff(wanted.indptr))
    found = model.recommend(users, 6, candidates=hidden)
    hits = wanted[np.repeat(users, 6), found.codes.ravel()].sum() / wanted.nnz
    assert hits > 3 * 6 / 60


def test_the_shorter_the_history_the_more_popularity_counts() -> None:
    model = blend()
    folded = model.fold_in_users([[NAME(3)], [NAME(item) for item in (1, 3, 5, 7, 9)]])
    found = model.recommend(folded, 12, exclude=None)
    short, long = dict(found.row(0)), dict(found.row(1))
    assert short[NAME(0)] - short[NAME(1)] > long[NAME(0)] - long[NAME(1)]


def test_nobody_gets_the_popular_part_in_their_segment_if_known() -> None:
    model = blend()
    plain, segment = model.recommend(["a", "b"], 6, context=[Context(), Context(segment=1)]).ids()
    popular = model.parts["popularity"]
    assert plain[:5] == popular.recommend(["a"], 5).ids()[0]
    assert segment == popular.recommend(["a"], 6, context=Context(segment=1)).ids()[0]


def test_only_stated_likings_are_answered_by_content_not_popularity() -> None:
    found = blend().recommend(["nobody"], 3, context=Context(categories=("Comedy",)))
    assert found.personal[0]
    assert NAME(0) not in found.ids()[0]


# -- what it is made of ------------------------------------------------------------------------------------------------


def test_a_kind_may_come_twice_and_capabilities_are_those_of_the_parts() -> None:
    model = blend(parts="item-knn(shrinkage=0),item-knn(similarity=jaccard),popularity")
    assert list(model.parts) == ["item-knn", "item-knn-2", "popularity"]
    assert model.parts["item-knn-2"].params.similarity == "jaccard"
    assert not model.can(Capability.ATTRIBUTES)
    assert not model.can(Capability.FOLD_IN_ITEMS)
    assert Blend(parts="popularity").capabilities == {Capability.SEGMENTS}


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ("", "it names no model"),
        ("als(factors=8", "is no list of models"),
        ("als(factors)", "'factors' is not NAME=VALUE"),
        ("als(factors=8,factors=9)", "not NAME=VALUE, once each"),
        ("nothing", "there is no model kind 'nothing'"),
        ("pca", "'pca' does not rank items"),
        ("als(factors=0)", "als.factors: it must be between"),
        ("als(depth=3)", "als has no parameter 'depth'"),
    ],
)
def test_wrong_parts_are_told(parts: str, told: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Blend(parts=parts)
    assert told in str(caught.value)
    assert "blend.parts" in str(caught.value)


def test_a_bundle_of_the_first_format_is_read() -> None:
    now = fitted("blend").to_arrays()
    parts = {"personal": now.parts["als"], "content": now.parts["content"], "popular": now.parts["popularity"]}
    params = {"factors": 4, "regularization": 0.35, "alpha": 2.0, "iterations": 15, "dims": 8, "seed": 0}
    params |= {"half_life_days": 0.0, "content": 0.5, "popular": 1.0, "user_half": 2.0, "item_half": 1.0}
    first = Arrays({"usual_weight": 1.0, "params": params}, {"seen": now.arrays["seen"]}, now.ids, parts)
    model = Blend.from_arrays(first)
    assert model.recommend([NAME(3)], 12).ids() == fitted("blend").recommend([NAME(3)], 12).ids()


def test_parts_that_do_not_fit_the_weights_are_refused() -> None:
    held = fitted("blend").to_arrays()
    fewer = Arrays({**held.params, "order": ["als"]}, held.arrays, held.ids, {"als": held.parts["als"]})
    with pytest.raises(BundleFormatError, match="1 rankers and weights for 2"):
        Blend.from_arrays(fewer)


def test_every_list_to_learn_from_holds_what_was_chosen_even_where_a_part_is_silent_on_it() -> None:
    """One part ranks new items, too; the other, which comes after it, none that nobody touched."""
    data, items = world(told=True)
    cut = cut_validation(data, 0.2, 0, hide=True)
    assert cut is not None
    model = Blend(parts="content(dims=16),item-knn(weighting=binary)", holdout=0.0).fit(cut.train, items)
    lists = lists_of(model, cut, model.trust, 1000, 0)
    chosen = np.add.reduceat(lists.chosen.astype(int), lists.starts)
    assert chosen.min() >= 1
    assert len(lists) > 200
    untouched = lists.terms[:, -1] == 1
    assert (lists.chosen & untouched).any()


def test_a_part_to_which_the_order_matters_is_told_it() -> None:
    pytest.importorskip("torch", reason="needs torch: pip install 'palate[torch]'")
    model = Blend(parts="sasrec(factors=8,epochs=1,patience=0),popularity", holdout=0.2)
    model.fit(interactions(NAME), catalogue(NAME), people(NAME))
    history = model.items.decode(np.arange(4))
    there, back = (model.fold_in_users([items]).vectors for items in (history, history[::-1]))
    assert any(not np.array_equal(a, b) for a, b in zip(there, back, strict=True))
