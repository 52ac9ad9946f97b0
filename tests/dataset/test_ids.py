"""Id maps: whatever goes in comes out again, strings and 64-bit integers alike."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.dataset.ids import UNKNOWN, Id, IdMap, id_array, integer_ids
from palate.errors import SchemaError, UnknownIdError

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(-(2**63), 2**63 - 1)
IDS = st.one_of(st.lists(TEXTS, unique=True, max_size=90), st.lists(NUMBERS, unique=True, max_size=90))


@given(IDS)
def test_codes_are_positions_and_decode_gives_the_ids_back(ids: list[Id]) -> None:
    known = IdMap(ids)
    codes = known.encode(ids)
    assert codes.dtype == np.int32
    assert codes.tolist() == list(range(len(ids)))
    assert known.decode(codes) == ids
    assert [known.at(code) for code in range(len(ids))] == ids
    assert [known.code(value) for value in ids] == codes.tolist()
    assert all(value in known for value in ids)


@pytest.mark.parametrize("count", [1023, 1025, 2047, 5000])
def test_every_text_of_many_is_found_and_none_between_them(count: int) -> None:
    """More than those between which the search begins: each step of it is one id off somewhere."""
    texts = [f"é{number:05d}" for number in range(0, 2 * count, 2)]
    codes = np.random.default_rng(count).permutation(count)
    known = IdMap([texts[code] for code in codes])
    assert [texts[codes[known.code(text)]] for text in texts] == texts
    between = [f"{text}0" for text in texts]
    assert {known.code(text) for text in ["", "e", *between, "💩"]} == {UNKNOWN}


@given(IDS)
def test_from_values_is_sorted_and_unique_whatever_the_order_and_repetition(ids: list[Id]) -> None:
    known = IdMap.from_values(ids + ids[::-1])
    assert known.ids.to_pylist() == sorted(ids, key=lambda value: value)  # type: ignore[arg-type, return-value]
    assert known == IdMap.from_values(ids)


@given(IDS, IDS)
def test_unknown_ids_are_minus_one_in_every_way_of_asking(ids: list[Id], others: list[Id]) -> None:
    known = IdMap(ids)
    expected = [ids.index(value) if value in ids else UNKNOWN for value in others]
    if others and ids and type(others[0]) is not type(ids[0]):
        texts = [str(value) for value in ids]
        expected = [texts.index(str(value)) if str(value) in texts else UNKNOWN for value in others]
    assert known.encode(others).tolist() == expected
    assert known.encode(iter(others)).tolist() == expected
    assert known.encode(id_array(others)).tolist() == expected
    assert [known.code(value) for value in others] == expected


@given(IDS, st.data())
def test_extending_keeps_the_codes_and_adds_the_rest_once(ids: list[Id], data: st.DataObject) -> None:
    kind = NUMBERS if ids and isinstance(ids[0], int) else TEXTS
    more: list[Id] = data.draw(st.lists(kind, max_size=20))
    known = IdMap(ids)
    grown = known.extended(more + ids[:3])
    assert grown.decode(list(range(len(ids)))) == ids
    assert set(grown.ids.to_pylist()) == set(ids) | set(more)
    assert (grown.encode(more) >= 0).all()


def test_both_spellings_of_a_number_find_it_but_no_other_ones() -> None:
    known = IdMap([7, 12, -3])
    assert known.code("12") == 1
    assert known.encode(["12", "-3"] * 50).tolist() == [1, 2] * 50
    assert known.encode(["012", "+12", "12.0", " 12", "１２", "1_2", "", "9" * 10_000]).tolist() == [UNKNOWN] * 8
    assert IdMap(["12", "a"]).code(12) == 0


@pytest.mark.parametrize("value", [None, 1.5, float("inf"), [], {}, object()])
def test_what_is_no_id_is_not_in_the_map(value: object) -> None:
    for known in (IdMap([1, 2]), IdMap(["1", "2"])):
        assert known.encode([value]).tolist() == [UNKNOWN]  # type: ignore[list-item]
        assert value not in known


def test_what_no_map_can_hold_is_not_in_it_however_many_are_asked_for() -> None:
    for count in (1, 100):
        assert IdMap([1, 2]).encode([10**5000] * count).tolist() == [UNKNOWN] * count
        assert IdMap(["a", "b"]).encode(["\ud800"] * count).tolist() == [UNKNOWN] * count


def test_extending_an_integer_map_takes_plain_numbers_as_text_and_refuses_words() -> None:
    known = IdMap([1, 2])
    assert known.extended(["3", "1"]).ids.to_pylist() == [1, 2, 3]
    assert known.extended([]).ids.to_pylist() == [1, 2]
    assert IdMap(["a"]).extended([5]).ids.to_pylist() == ["a", "5"]
    with pytest.raises(SchemaError, match="integers"):
        known.extended(["three"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1, "1"], "all strings or all"),
        ([2**64], "all strings or all"),
        ([1.5], "not double"),
        ([None, "a"], "missing"),
        (["\ud800"], "all strings or all"),
        (pa.array([2**63], pa.uint64()), "64 bits"),
        ([[1]], "not list"),
    ],
)
def test_bad_ids_are_refused_by_name(values: object, message: str) -> None:
    with pytest.raises(SchemaError, match=message) as caught:
        IdMap.from_values(values, where="here")  # type: ignore[arg-type]
    assert caught.value.where == "here"


def test_ids_must_be_unique() -> None:
    for ids in (["a", "b", "a"], [1, 1]):
        with pytest.raises(SchemaError, match="unique"):
            IdMap(ids)  # type: ignore[arg-type]


def test_require_names_the_first_unknown_id() -> None:
    assert IdMap(["a", "b"]).require(["b"], "item").tolist() == [1]
    with pytest.raises(UnknownIdError, match="no item 'x'"):
        IdMap(["a"]).require(["a", "x", "y"], "item")


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1", "-5", str(2**63 - 1)], [1, -5, 2**63 - 1]),
        (["1", "01"], None),
        (["1", "x"], None),
        (["x", "1"], None),
        (["1", str(2**63)], None),
        (["1.0"], None),
        (["+1"], None),
        ([""], None),
        ([], None),
    ],
)
def test_text_becomes_numbers_only_if_nothing_is_lost(texts: list[str], numbers: list[int] | None) -> None:
    found = integer_ids(pa.array(texts, pa.large_string()))
    assert found.to_pylist() == (texts if numbers is None else numbers)


@pytest.mark.parametrize("fill", [0, 100])
def test_what_is_no_id_is_unknown_to_a_map_of_strings(fill: int) -> None:
    ids = IdMap(["12", "None", "True", "ann"])
    asked: list[Any] = [None, True, 10**5000, 1.5, "\ud800", "ann", 12, np.int64(12)]
    expected = [-1, -1, -1, -1, -1, 3, 0, 0]
    assert ids.encode([*asked, *["ann"] * fill]).tolist() == expected + [3] * fill


@pytest.mark.parametrize("ids", [["b", "", "ä", "\U0001f600", "a", "aa", "z" * 300], [3, -1, 7]])
def test_a_part_of_a_map_and_a_copied_one_know_their_own_ids(ids: list[Id]) -> None:
    whole = IdMap(ids)
    assert [whole.code(each) for each in ids] == list(range(len(ids)))
    part = IdMap(whole.ids.slice(2))
    assert [part.code(each) for each in ids] == [-1, -1, *range(len(ids) - 2)]
    again = copy.copy(whole)
    assert again == whole
    assert [again.code(each) for each in ids] == list(range(len(ids)))
