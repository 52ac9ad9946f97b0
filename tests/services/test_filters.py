"""The filter language: what matches, what its errors say and where, and what a changed catalogue changes."""

from __future__ import annotations

import contextlib
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from palate.client.catalogue import Catalogue as RemoteCatalogue
from palate.client.recommender import RecommenderClient
from palate.dataset.ids import IdMap
from palate.errors import ParameterError
from services.recommender.catalogue import Catalogue, ItemRow
from services.recommender.filters import MAX_DEPTH, MAX_LENGTH
from tests.services.listening import House

ALIEN = {"price": 9.5, "year": 1979, "adult": True, "país": "UK"}
AMELIE = {"price": 20, "year": 2001, "adult": False, "cast": ["Tautou"]}
DUNE = {"price": "unknown", "year": 1965, "in": "a word", 'odd "name"': 1}
ROWS = [
    ItemRow("alien", "Alien", categories=("Film", "Horror"), tags=("space",), timestamp=300, attributes=ALIEN),
    ItemRow("amelie", "Amélie", categories=("Film",), tags=("paris", "love"), attributes=AMELIE),
    ItemRow("dune", "Dune", categories=("Book",), available=False, attributes=DUNE),
    ItemRow("emma", "Emma", categories=("Book",), attributes={"year": 1815, "language": "en"}),
    ItemRow("void"),
]


@pytest.fixture(scope="module")
def catalogue():
    return Catalogue.of(IdMap([row.id for row in ROWS])).changed(ROWS)


def matching(catalogue, text, **more):
    return [catalogue.entries[code]["item"] for code in catalogue.columns.mask(text, **more).nonzero()[0]]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ('category = "Film"', "alien amelie"),
        ('categories has "Horror" or category = "Book"', "alien dune emma"),
        ('category != "Film"', "dune emma void"),
        ('category in ("Horror", "Book")', "alien dune emma"),
        ('category = "Opera"', ""),
        ("price < 20", "alien"),
        ("price <= 20", "alien amelie"),
        ("price >= 20", "amelie"),
        ("price = 9.5", "alien"),
        ("price == 2e1", "amelie"),
        ("price > -1", "alien amelie"),
        ('price = "unknown"', "dune"),
        ('price in (9.5, "unknown")', "alien dune"),
        ("not price < 20", "amelie"),
        ("price is missing", "emma void"),
        ("price is not missing", "alien amelie dune"),
        ("year in (1979, 1815)", "alien emma"),
        ("year not in (1979, 1815)", "amelie dune"),
        ("not (year in (1979, 1815) or year > 2000)", "dune"),
        ("adult", "alien"),
        ("not adult", "amelie"),
        ("adult = false or adult <> false", "alien amelie"),
        ("available", "alien amelie emma void"),
        ("not available", "dune"),
        ('title contains "LI"', "alien amelie"),
        ("title contains 'é'", "amelie"),
        ('title not contains "a"', "dune"),
        ('title > "D" and title < "E"', "dune"),
        ('item = "emma"', "emma"),
        ("timestamp < 400", "alien"),
        ('tags has "love"', "amelie"),
        ('not tags has "love"', "alien dune emma void"),
        ('tags not has "love" and tags not has "space"', "dune emma void"),
        ('cast has "Tautou"', "amelie"),
        ('cast = "Tautou"', "amelie"),
        ('not cast has "Tautou"', ""),
        ('país = "UK"', "alien"),
        ('attributes.language = "en"', "emma"),
        ('attributes."in" = "a word"', "dune"),
        ('attributes."odd \\"name\\"" = 1', "dune"),
        ("year = 1 or year = 1815", "emma"),
        ('price not in (20, "unknown")', "alien"),
        ('adult AND NOT tags HAS "love"', "alien"),
        ('category = "Film" and price < 20 or year = 1815 and not adult', "alien"),
        ('(category = "Film" or year = 1815) and year < 1900', "emma"),
        ('language = "\\u0065n"', "emma"),
    ],
)  # fmt: skip
def test_what_matches(catalogue, text, items):
    assert matching(catalogue, text) == items.split()


@pytest.mark.parametrize(
    ("text", "at", "said"),
    [
        ("", 1, "expected an attribute, found the end"),
        ("   ", 4, "expected an attribute, found the end"),
        ("price <", 8, "expected a number, text in quotes, true or false, found the end"),
        ("price < twenty", 9, "found twenty"),
        ("price 20", 7, "expected =, !=, <, <=, >, >=, in, has, contains or is, found 20"),
        ("price < 20 and", 15, "expected an attribute"),
        ("price < 20 year > 3", 12, "expected and, or, or the end, found year"),
        ("(price < 20", 12, "expected and, or, or ), found the end"),
        ("price < 20)", 11, "found )"),
        ("year in 3", 9, "expected (, found 3"),
        ("year in ()", 10, "expected a number"),
        ("year in (1 2)", 12, "expected , or ), found 2"),
        ("year is 3", 9, "expected missing or not missing"),
        ("year not = 3", 10, "expected in, has or contains"),
        ("tags has 3", 10, "expected text in quotes"),
        ('title = "x', 9, "this quote is never closed"),
        ("price & 3", 7, "'&' means nothing here"),
        ("price = 1e999", 9, "too large"),
        ('title = "\\q"', 9, "no escape"),
        ('title = "\\ud800"', 9, "not text"),
        ("and", 1, "expected an attribute, found and"),
        ("attributes.3", 12, "expected an attribute's name, or its name in quotes, found 3"),
        ("__import__('os')", 11, "expected =, "),
        ("year = 1 and prise < 3", 14, "there is no attribute 'prise'"),
        ("attributes.title = 3", 12, "no attribute 'title'"),
        ('year < "old"', 8, "year holds numbers, which cannot be compared with text"),
        ("title = 3", 9, "title holds text"),
        ("category < 3", 12, "category holds lists of text"),
        ('title has "x"', 11, "title holds text, which cannot be compared with lists of text"),
        ('tags contains "x"', 15, "tags holds lists of text"),
        ("adult < true", 9, "true and false have no order"),
        ("year", 1, "year holds numbers"),
    ],
)
def test_an_error_says_where_and_what_was_expected(catalogue, text, at, said):
    with pytest.raises(ParameterError) as error:
        catalogue.columns.mask(text, "boost.0.filter")
    assert said in error.value.message
    assert error.value.where == f"boost.0.filter, at {at}"


def test_an_unknown_attribute_is_told_those_known(catalogue):
    with pytest.raises(ParameterError) as error:
        catalogue.columns.mask("prise < 3")
    for name in ("available", "category", "price", "year", "país"):
        assert name in error.value.hint


def test_what_no_item_has_is_missing_everywhere_where_that_is_no_error(catalogue):
    assert matching(catalogue, "prise < 3 or not prise < 3", strict=False) == []
    assert len(matching(catalogue, "prise is missing", strict=False)) == len(ROWS)
    assert matching(catalogue, 'year = "old" or year = 1815', strict=False) == ["emma"]


def test_bounds(catalogue):
    deep = "(" * MAX_DEPTH + "adult" + ")" * MAX_DEPTH
    assert matching(catalogue, deep) == ["alien"]
    for text in (f"({deep})", "not " * (MAX_DEPTH + 1) + "adult", "(" * 1000):
        with pytest.raises(ParameterError, match="nested deeper"):
            catalogue.columns.mask(text)
    with pytest.raises(ParameterError, match="2000 characters"):
        catalogue.columns.mask("x" * (MAX_LENGTH + 1))
    assert len(matching(catalogue, " or ".join(["adult"] * 200))) == 1


def test_masks_are_kept_and_cannot_be_written(catalogue):
    mask = catalogue.columns.mask("price < 20")
    assert catalogue.columns.mask("price < 20") is mask
    with pytest.raises(ValueError, match="read-only"):
        mask[0] = True


texts = st.sampled_from(
    ["price < 2", "price is missing", "not adult", 'title = "a"', 'tags has "x"', 'category = "x"', "available"]
)
values = st.none() | st.integers(0, 3) | st.booleans() | st.sampled_from(["x", "y"])
changes = st.builds(
    ItemRow,
    st.sampled_from(["a", "b", "c", "d"]),
    st.none() | st.sampled_from(["a", "b"]),
    categories=st.lists(st.sampled_from("xy"), unique=True).map(tuple),
    tags=st.lists(st.sampled_from("xy"), unique=True).map(tuple),
    available=st.booleans(),
    attributes=st.dictionaries(st.sampled_from(["price", "adult"]), values),
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(changes, max_size=3, unique_by=lambda row: row.id), max_size=4), texts)
def test_columns_taken_over_are_those_made_anew(batches, text):
    ids = IdMap(["a", "b", "c"])
    taken, latest = Catalogue.of(ids), {}
    for batch in batches:
        taken.columns.mask(text, strict=False)
        taken.columns.known()
        if any(row.id == "d" for row in batch) and len(taken) == 3:
            taken = taken.grown(IdMap(["a", "b", "c", "d"]))
        taken = taken.changed(batch)
        latest.update({row.id: row for row in batch})
    anew = Catalogue.of(taken.ids).changed(latest.values())
    assert taken.columns.known() == anew.columns.known()
    assert matching(taken, text, strict=False) == matching(anew, text, strict=False)


words = ["price", "<", "=", "3", '"x"', "and", "not", "(", ")", "in", ",", "tags", "has", "is", "missing", ".", "'"]


@settings(deadline=None, max_examples=100)
@given(st.text(max_size=60) | st.lists(st.sampled_from(words), max_size=12).map(" ".join))
def test_no_text_is_a_bug_of_ours(catalogue, text):
    with contextlib.suppress(ParameterError):
        assert catalogue.columns.mask(text).shape == (len(ROWS),)


def test_every_list_takes_a_filter_and_fills_itself_from_what_matches(shared_api):
    only = quote('category = "Comedy" and timestamp >= 2000008')
    wanted = {f"comedy-{number}" for number in (8, 9, 10, 11)}
    for path in ("/v1/users/b1/recommendations", "/v1/items/popular", "/v1/items/latest", "/v1/items/comedy-1/similar"):
        more = "&exclude_seen=false" if "users" in path else ""
        found = {item for item, _ in shared_api.items(f"{path}?filter={only}{more}")}
        # Nobody has touched comedy-11, so the model knows nothing that it were similar to or liked for.
        assert found | {"comedy-11"} == wanted, path
    asked = {"filter": 'item in ("western-3", "comedy-3")', "exclude_seen": False}
    answer = shared_api.call("POST", "/v1/recommendations", asked).json
    assert {place["item"] for place in answer["items"]} == {"western-3", "comedy-3"}


def test_stored_items_are_listed_by_what_they_have_or_lack(api, monkeypatch):
    monkeypatch.setattr("services.recommender.about._LOOKED", 5)
    for item in ("comedy-1", "western-1", "western-9"):
        assert api.call("PATCH", f"/v1/items/{item}", {"attributes": {"genre": "x"}}).status_code == 200
    api.until(lambda: api.get("/v1/items?filter=genre%20%3D%20%22x%22").status_code == 200)
    with House(api) as house, RecommenderClient(house.url, api.token) as client:
        api.until(lambda: len(list(client.items(filter="genre is not missing"))) == 3)
        everything = [each.item for each in client.items()]
        having = [each.item for each in client.items(filter="genre is not missing")]
        assert having == ["comedy-1", "western-1", "western-9"]
        lacking = [each.item for each in client.items(filter="genre is missing")]
        assert lacking == [item for item in everything if item not in having]
        catalogue = RemoteCatalogue(house.url, api.token)
        assert [each["item"] for each in catalogue.items("genre is not missing")] == having
        catalogue.close()
    first = api.get(f"/v1/items?limit=2&filter={quote('genre is missing')}").json
    assert [each["item"] for each in first["items"]] == lacking[:2]
    refused = api.get(f"/v1/items?filter={quote('gender is missing')}")
    assert (refused.status_code, refused.json["errors"][0]["field"]) == (422, "filter, at 1")


def test_a_wrong_filter_is_a_problem_that_names_the_place(shared_api):
    for answer in (
        shared_api.get("/v1/users/b1/recommendations?filter=title%20%3D"),
        shared_api.call("POST", "/v1/recommendations", {"filter": "title ="}),
    ):
        assert answer.status_code == 422
        assert answer.json["errors"][0]["field"] == "filter, at 8"
    assert shared_api.get("/v1/items/popular?filter=").json["errors"][0]["field"] == "filter"
    assert shared_api.get(f"/v1/items/popular?filter={'x' * 3000}").status_code == 422


def test_a_changed_attribute_changes_what_matches(api):
    api.items("/v1/items/popular?filter=timestamp%20%3E%200")
    body = {"title": "Comedy 1", "categories": ["Comedy"], "attributes": {"price": 5}}
    assert api.call("PUT", "/v1/items/comedy-1", body).status_code == 200
    api.until(lambda: api.get("/v1/items/popular?filter=price%20%3C%206").status_code == 200)
    assert [item for item, _ in api.items("/v1/items/popular?filter=price%20%3C%206")] == ["comedy-1"]
