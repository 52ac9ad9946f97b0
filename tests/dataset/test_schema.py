"""The schema's objects: matrices, fingerprints, catalogues in another order."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from palate.dataset import IdMap, Interactions, Items, Users
from palate.errors import SchemaError


def test_matrix_sums_repeated_pairs_and_leaves_rows_without_weight_out() -> None:
    interactions = Interactions.from_ids(
        ["u", "u", "u", "v", "v"], ["a", "a", "b", "a", "a"], weights=[1, 2, -1, 3, -1]
    )
    assert interactions.matrix().toarray().tolist() == [[3, 0], [3, 0]]
    assert interactions.matrix(binary=True).toarray().tolist() == [[1, 1], [1, 0]]
    assert dataclasses.replace(interactions, weights=None).matrix().toarray().tolist() == [[2, 1], [2, 0]]
    assert interactions.weights is not None
    assert interactions.weights.tolist() == [1, 2, -1, 3, -1]


def test_equal_data_has_an_equal_fingerprint_and_any_change_another() -> None:
    def make(**values: object) -> Interactions:
        parts: dict[str, object] = {"users": [1, 2], "items": ["a", "b"], "weights": [1, 2], "timestamps": [5, 6]}
        return Interactions.from_ids(**{**parts, **values})  # type: ignore[arg-type]

    same = make()
    assert same.fingerprint == make().fingerprint
    changed = [
        make(users=[1, 3]),
        make(items=["a", "c"]),
        make(weights=[1, 3]),
        make(weights=None),
        make(timestamps=[5, 7]),
        dataclasses.replace(same, kinds=np.array([0, 1], np.int16), kind_names=("buy", "view")),
        dataclasses.replace(same, kinds=np.array([0, 1], np.int16), kind_names=("buy", "look")),
    ]
    assert len({same.fingerprint, *(other.fingerprint for other in changed)}) == len(changed) + 1


def test_columns_of_other_lengths_and_codes_outside_the_maps_are_refused() -> None:
    users, items = IdMap(["u"]), IdMap(["a", "b"])
    zeros = np.zeros(2, np.int32)
    with pytest.raises(SchemaError, match="weights has 1 rows"):
        Interactions(users, items, zeros, zeros, weights=np.ones(1, np.float32))
    with pytest.raises(SchemaError, match="item code"):
        Interactions(users, items, zeros, np.array([0, 2], np.int32))
    with pytest.raises(SchemaError, match="user code"):
        Interactions(users, items, zeros - 1, zeros)


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite_are_refused_with_their_row(wrong: float) -> None:
    with pytest.raises(SchemaError, match="not a finite number") as caught:
        Interactions.from_ids(["u", "v"], ["a", "b"], weights=[1, wrong])
    assert caught.value.where == "row 1: weights"


def test_items_align_to_other_ids_with_empty_rows_for_those_unknown() -> None:
    items = Items(IdMap(["a", "b"]), pa.table({"title": ["A", "B"], "available": [False, None]}))
    aligned = items.aligned(IdMap(["b", "x", "a"]))
    assert aligned.strings("title") == ["B", "", "A"]
    assert aligned.available.tolist() == [True, True, False]
    assert aligned.lists("tags") == [[], [], []]
    assert items.take([1]).ids.ids.to_pylist() == ["b"]
    assert items.aligned(items.ids) is items


def test_tables_with_foreign_columns_or_other_lengths_are_refused() -> None:
    with pytest.raises(SchemaError, match="no column 'price'"):
        Items(IdMap(["a"]), pa.table({"price": [1]}))
    with pytest.raises(SchemaError, match="1 users ids but 2 rows"):
        Users(IdMap(["a"]), pa.table({"attributes": ["{}", "{}"]}))


def test_an_attribute_is_added_to_users_known_and_new():
    table = pa.table({"attributes": ['{"age": 30}', None], "tags": [["a"], []]})
    users = Users(IdMap(["ann", "bob"]), table).with_attribute("segment", ["bob", "cem", "ann"], [2, 3, 1])
    assert users.ids.ids.to_pylist() == ["ann", "bob", "cem"]
    assert [json.loads(text) for text in users.table["attributes"].to_pylist()] == [
        {"age": 30, "segment": 1},
        {"segment": 2},
        {"segment": 3},
    ]
    assert users.lists("tags") == [["a"], [], []]
    again = users.with_attribute("segment", ["ann"], [9])
    assert json.loads(again.table["attributes"][0].as_py()) == {"age": 30, "segment": 9}
    with pytest.raises(SchemaError, match="2 ids but 1 values"):
        users.with_attribute("segment", ["ann", "bob"], [1])
    with pytest.raises(SchemaError, match="'x'"):
        Users(IdMap(["x"]), pa.table({"attributes": ["not json"]})).with_attribute("segment", ["x"], [1])
