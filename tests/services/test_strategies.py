"""Each strategy, the order they come in, and what happens to items that come, change and go."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from services_world import COMEDIES, ITEMS, WESTERNS, interactions, items, rows

from palate.bundle import publish_bundle, set_current
from palate.dataset.ids import IdMap
from palate.dataset.schema import Users
from palate.models import make_recommender
from palate.models.popularity import Popularity
from services.recommender.catalogue import ItemRow
from services.recommender.served import Release, Served
from services.recommender.strategies import STRATEGIES, Question, answer


def ask(served, n=5, barred=(), **question):
    """(item, strategy, why) of each place."""
    asked = Question(code=served.user_code(question.get("user")), **question)
    mask = served.catalogue.barred.copy()
    for item in barred:
        mask[served.catalogue.ids.code(item)] = True
    if asked.code >= 0:
        mask[served.seen(asked.code)] = True
    found = answer(served, asked, mask, n)
    return [(str(served.catalogue.entries[c]["item"]), s.name, s.why(served, asked, c)) for c, _, s in found]


@pytest.fixture(scope="module")
def served(als):
    return Served.of(Release("1", als), rows())


def test_the_order_is_that_of_the_plan():
    assert [strategy.name for strategy in STRATEGIES] == [
        "personal",
        "fold-in",
        "attributes",
        "content",
        "similar",
        "popular-in-segment",
        "popular",
    ]


def test_a_known_user_gets_their_own_taste(served):
    for taste, user in ((COMEDIES, "a1"), (WESTERNS, "b1")):
        found = ask(served, 3, user=user)
        assert [(strategy, why) for _, strategy, why in found] == [("personal", {"because": "history"})] * 3
        assert {item for item, _, _ in found} <= set(taste)


def test_events_since_the_training_are_folded_in_at_once(served):
    found = ask(served, 4, user="new", recent=("western-1", "western-2"))
    assert {strategy for _, strategy, _ in found} == {"fold-in"}
    assert {item for item, _, _ in found} <= set(WESTERNS)
    assert found[0][2] == {"because": "recent items", "items": ["western-1", "western-2"]}


def test_a_known_user_with_fresh_events_is_folded_in_with_all_their_history(served):
    many = tuple(f"western-{number}" for number in range(9))
    assert ask(served, 1, user="a1", recent=many, barred=many)[0][1] == "fold-in"
    turned = [item for item, _, _ in ask(served, 2, user="a1", recent=many, barred=many)]
    assert any(item in WESTERNS for item in turned)


def test_what_is_recent_is_told_oldest_first():
    """As models read it that know what follows what."""
    pytest.importorskip("torch", reason="needs torch: pip install 'palate[torch]'")
    known = interactions()
    model = make_recommender("sasrec", {"factors": 8, "epochs": 2, "patience": 0, "batch": 4}).fit(known)
    around = Served.of(Release("1", model), rows())
    newest_first = ("western-3", "comedy-1", "western-2", "comedy-1")

    def scores(history):
        return model.recommend(model.fold_in_users([history]), 5).row(0)

    told = ["western-2", "comedy-1", "western-3"]
    assert scores(told) != scores(told[::-1])
    found = answer(around, Question(recent=newest_first), around.catalogue.barred | _barred(around, told), 5)
    assert [str(around.catalogue.entries[code]["item"]) for code, _, _ in found] == [item for item, _ in scores(told)]
    assert [score for _, score, _ in found] == pytest.approx([score for _, score in scores(told)])


def _barred(served, items):
    mask = np.zeros(len(served.catalogue), bool)
    mask[served.catalogue.ids.encode(items)] = True
    return mask


def test_events_that_the_training_knew_already_change_nothing(served):
    seen = served.catalogue.ids.decode(served.seen(served.user_code("a1")))
    assert ask(served, 3, user="a1", recent=(seen[0],)) == ask(served, 3, user="a1")


def test_stated_preferences_are_answered_by_content(served):
    found = ask(served, 12, categories=("Western",))
    assert {item for item, strategy, _ in found if strategy == "content"} == set(WESTERNS)
    assert found[0][2] == {"because": "content", "categories": ["Western"]}


def test_who_tells_something_of_themselves_gets_what_people_like_them_do(open_api, settings):
    known = sorted({str(user) for user in interactions().users.ids.to_pylist()})
    told = [json.dumps({"from": "Rome" if user.startswith("a") else "Reno"}) for user in known]
    users = Users(IdMap(known), pa.table({"attributes": pa.array(told, pa.large_string())}))
    model = make_recommender("cold-start").fit(interactions(), items(), users)
    set_current(settings.bundle, publish_bundle(model, settings.bundle))
    api = open_api(settings)
    for place, liked in (("Rome", COMEDIES), ("Reno", WESTERNS)):
        api.call("PUT", f"/v1/users/{place}", {"attributes": {"from": place, "odd": [{"deep": None}]}})
        found = api.items(f"/v1/users/{place}/recommendations?limit=5")
        assert {strategy for _, strategy in found} == {"attributes"}
        assert {item for item, _ in found} <= set(liked)
    api.call("PUT", "/v1/users/nowhere", {"attributes": {"from": "the moon"}})
    assert {strategy for _, strategy in api.items("/v1/users/nowhere/recommendations")} == {"popular"}


def test_the_item_on_the_page_is_answered_by_similar_ones(served):
    found = ask(served, 4, item="comedy-3")
    assert {strategy for _, strategy, _ in found} == {"similar"}
    assert {item for item, _, _ in found} <= set(COMEDIES) - {"comedy-3"}
    assert found[0][2] == {"because": "similar item", "items": ["comedy-3"]}


def test_a_segment_gets_what_is_popular_in_it():
    base = interactions()
    model = make_recommender("popularity").fit(base, items())
    assert isinstance(model, Popularity)
    users = base.users.decode(np.arange(base.n_users))
    model = model.with_segments(users, [int(user.startswith("b")) for user in users])
    served = Served.of(Release("1", model), [])
    found = ask(served, 5, segment=1)
    assert {item for item, _, _ in found} <= set(WESTERNS)
    assert {strategy for _, strategy, _ in found} == {"popular-in-segment"}
    assert {strategy for _, strategy, _ in ask(served, 5, segment=77)} == {"popular"}
    assert {strategy for _, strategy, _ in ask(served, 5, user="a1")} == {"popular"}


def test_nobody_gets_what_is_popular(served):
    assert {strategy for _, strategy, _ in ask(served, 5)} == {"popular"}
    assert {strategy for _, strategy, _ in ask(served, 5, user="stranger")} == {"popular"}


def test_what_one_strategy_leaves_open_the_next_fills_without_repeating(served):
    found = ask(served, 24, categories=("Comedy",), item="western-1", barred=["western-1"])
    assert len({item for item, _, _ in found}) == len(found) == 23
    order = list(dict.fromkeys(strategy for _, strategy, _ in found))
    assert order[0] == "content"
    assert order == [s.name for s in STRATEGIES if s.name in order]


def test_a_new_item_is_recommended_by_its_content(served):
    fresh = served.changed([ItemRow("western-new", "Western 99", "riders shoot at dawn", ("Western",))])
    found = ask(fresh, 13, categories=("Western",))
    assert ("western-new", "content") in [(item, strategy) for item, strategy, _ in found]
    assert "western-new" not in served.live
    assert ask(fresh, 3, item="western-new")[0][1] == "similar"


def test_a_changed_new_item_is_recommended_by_what_it_is_now(served):
    def likeness(held):
        """The score of the new item for lovers of westerns, beside that of a western."""
        asked = Question(categories=("Western",))
        places = answer(held, asked, held.catalogue.barred.copy(), 25)
        scores = {held.catalogue.entries[code]["item"]: score for code, score, _ in places}
        return scores["new"] / scores["western-0"]

    first = served.changed([ItemRow("new", "Western 99", "riders shoot at dawn", ("Western", "Drama"), change=1)])
    second = first.changed([ItemRow("new", "Comedy 99", "people laugh a lot", ("Comedy",), change=2)])
    assert likeness(first) > 0.9
    assert likeness(second) < 0.5
    assert second.catalogue.by_category["Comedy"].tolist()[-1] == 24
    assert len(second.catalogue) == 25


def test_gone_items_are_never_recommended(served):
    gone = served.changed([ItemRow("western-0", available=False), ItemRow("western-1", deleted=True)])
    for question in ({"user": "b1"}, {"categories": ("Western",)}, {"item": "western-5"}, {}):
        assert not {"western-0", "western-1"} & {item for item, _, _ in ask(gone, 24, **question)}
    back = gone.changed([rows()[12]])
    assert "western-0" in {item for item, _, _ in ask(back, 24)}


def test_a_model_without_content_gets_it_from_the_first_items_that_have_some(als):
    bare = Served.of(Release("1", als), [])
    assert bare.content is None
    assert {strategy for _, strategy, _ in ask(bare, 3, categories=("Opera",))} == {"popular"}
    told = bare.changed([ItemRow("aria", "Aria", "a singer", ("Opera",))])
    assert ask(told, 3, categories=("Opera",))[0][:2] == ("aria", "content")


def test_integer_ids_are_found_by_their_digits(integer_als):
    served = Served.of(Release("1", integer_als), rows(integer=True))
    assert ask(served, 2, user="1071")[0][1] == "personal"
    assert served.user_code("01071") == -1
    grown = served.changed([ItemRow("99", "Western 99", "riders", ("Western",)), ItemRow("x", "not a number")])
    assert grown.foreign == 1
    assert grown.catalogue.entries[-1]["item"] == 99


def test_items_of_the_store_in_any_order_give_the_same_answers(als):
    live = [ItemRow("z-new", "Western", "dawn", ("Western",)), ItemRow("a-new", "Comedy", "laugh", ("Comedy",))]
    at_once = Served.of(Release("1", als), [*rows(), *live])
    one_by_one = Served.of(Release("1", als), rows()).changed(live[1:]).changed(live[:1])
    for question in ({"user": "b1"}, {"categories": ("Western",)}, {"item": "western-5"}, {}):
        assert {i for i, _, _ in ask(at_once, 6, **question)} == {i for i, _, _ in ask(one_by_one, 6, **question)}
    assert set(ITEMS) < {str(entry["item"]) for entry in at_once.catalogue.entries}


def test_taking_an_item_out_and_back_rebuilds_nothing(als):
    new = ItemRow("new", "New", categories=("drama",), timestamp=5)
    served = Served.of(Release("1", als), [*rows(), new])
    without = served.changed([ItemRow("new", available=False, deleted=True)])
    code = without.catalogue.ids.code("new")
    assert without.content is served.content
    assert without.catalogue.deleted[code]
    assert without.catalogue.barred[code]
    back = without.changed([new])
    assert back.content is served.content
    assert not back.catalogue.barred[code]
    assert back.catalogue.entries[code]["title"] == "New"
    gone = without.changed([ItemRow("other", "Other", categories=("drama",))]).changed([ItemRow("other", "Another")])
    assert gone.content is not served.content
    assert gone.catalogue.barred[gone.catalogue.ids.code("new")]
