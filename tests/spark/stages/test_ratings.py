"""Ratings out of Arrow batches, as an executor reads them: no Spark session needed."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

pytest.importorskip("pyspark", reason="needs pyspark: pip install 'palate[spark]'")

from palate.errors import SchemaError
from palate.spark.stages import ratings
from palate.spark.stages.ratings import TooManyError, join, pack_ids, read_ratings, split, unpack_ids

NAMES = {"user": "reader", "item": "book", "rating": "stars"}


def batch(users: list[object], items: list[object], values: list[object]) -> pa.RecordBatch:
    arrays = [pa.array(users), pa.array(items), pa.array(values, pa.float32())]
    return pa.RecordBatch.from_arrays(arrays, ["user", "item", "rating"])


@pytest.mark.parametrize("at_once", [1, 3, 1000])
def test_ids_are_coded_in_ascending_order_however_they_come(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(ratings, "_AT_ONCE", at_once)
    first = batch(["b", "a", "b"], [2**40, -1, -1], [1, 2, 3])
    second = batch(["c", "a", "ä"], [-1, 5, 5], [4, 5, 6])
    for batches in ([first, second], [second, first]):
        read = read_ratings(iter(batches), NAMES)
        assert read.users.to_pylist() == ["a", "b", "c", "ä"]
        assert read.items.to_pylist() == [-1, 5, 2**40]
        np.testing.assert_array_equal(read.ratings.matrix().toarray(), [[2, 5, 0], [3, 0, 1], [4, 0, 0], [0, 6, 0]])


def test_more_than_the_limit_is_given_up() -> None:
    one = batch(["a"], [1], [1])
    assert len(read_ratings(iter([one] * 3), NAMES, 3 * ratings.BYTES).ratings) == 3
    with pytest.raises(TooManyError):
        read_ratings(iter([one] * 4), NAMES, 3 * ratings.BYTES)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (batch(["a", None], [1, 2], [1, 1]), "reader: task 0, row 1: the id is null. Beside it: book 2, stars 1.0"),
        (batch(["a"], [1.5], [1]), "book: task 0, row 0: the id 1.5 is not a whole number"),
        (batch(["a"], [1e300], [1]), "book: .*the id 1e\\+300 is not a whole number"),
        (batch(["a"], [1], [None]), "stars: task 0, row 0: the rating is null. Beside it: reader 'a', book 1"),
        (batch(["a"], [1], [float("nan")]), "stars: .*the rating is nan"),
        (batch(["a"], [1], [float("-inf")]), "stars: .*the rating is -inf"),
    ],
)
def test_the_error_names_the_column_as_its_owner_does(wrong: pa.RecordBatch, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        read_ratings(iter([wrong]), NAMES)


def test_no_batches_and_empty_ones_are_no_rows() -> None:
    for batches in ([], [batch([], [], [])]):
        with pytest.raises(SchemaError, match="no rows"):
            read_ratings(iter(batches), NAMES)


@pytest.mark.parametrize("ids", [pa.array([-5, 2**60]), pa.array(["", "ä", "日本"], pa.large_string())])
def test_ids_travel_as_arrays(ids: pa.Array) -> None:
    assert unpack_ids("x", pack_ids("x", ids)).ids.equals(ids)
    assert unpack_ids("x", pack_ids("x", ids.slice(1))).ids.equals(ids.slice(1))


def test_large_arrays_travel_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ratings, "_PART", 64)
    array = np.arange(100, dtype=np.float32).reshape(25, 4)
    pieces = split("f", array)
    assert max(piece.nbytes for piece in pieces.values()) <= 64
    np.testing.assert_array_equal(join("f", pieces), array)
