"""The row check: every rule, the number of the row, the type that comes out."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from palate.dataset.validate import require_interactions, validate_interactions
from palate.errors import SchemaError

NOW = 1_700_000_000.0


def check(first_row: int = 1, unit: str = "auto", **columns: Any) -> tuple[dict[str, list[Any]], list[tuple[int, str]]]:
    """Good rows as columns, rejects as (row, reason); `user` and `item` are filled in where not given."""
    n = len(next(iter(columns.values())))
    table = pa.table({"user": ["u"] * n, "item": [1] * n, **columns})
    good, rejects = validate_interactions(table, file="f.csv", first_row=first_row, now=NOW, timestamp_unit=unit)
    assert set(rejects["file"].to_pylist()) <= {"f.csv"}
    rows = list(zip(rejects["row"].to_pylist(), rejects["reason"].to_pylist(), strict=True))
    return good.to_pydict(), rows


@pytest.mark.parametrize("name", ["user", "item"])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "the id is missing"),
        ("", "the id is empty"),
        ("  ", "the id is empty"),
        ("x" * 10_000, "has 10000 characters, more than 512"),
        ("two\nlines", "'two\\nlines' holds a line break"),
        ("a\tb", "control character"),
        ("a\u2028b", "line break"),
        ("\x00", "control character"),
    ],
)
def test_bad_ids(name: str, value: str | None, reason: str) -> None:
    good, rejects = check(first_row=5, **{name: ["fine", value, "ü" * 512]})
    assert good[name] == ["fine", "ü" * 512]
    [(row, found)] = rejects
    assert row == 6
    assert found.startswith(f"{name}: ")
    assert reason in found
    assert len(found) < 200


def test_ids_keep_their_type_and_whole_floats_become_integers() -> None:
    assert check(user=pa.array([1, 2**63 - 1]))[0]["user"] == [1, 2**63 - 1]
    good, rejects = check(user=pa.array([1.0, 2.5, None, float("nan")]))
    assert good["user"] == [1]
    assert [row for row, _ in rejects] == [2, 3, 4]
    good, rejects = check(user=pa.array([1, 2**63], pa.uint64()))
    assert good["user"] == [1]
    assert "64 bits" in rejects[0][1]
    good, rejects = check(user=pa.array([b"ok", b"\xff"]))
    assert good["user"] == ["ok"]
    assert "not UTF-8" in rejects[0][1]
    assert check(user=pa.array(["a", "b", "a"]).dictionary_encode())[0]["user"] == ["a", "b", "a"]
    assert check(user=pa.nulls(2))[0]["user"] == []


@pytest.mark.parametrize("value", ["nan", "NaN", "inf", "-inf", "1e300", "abc", "", " ", None, "1,5", "0x10"])
def test_bad_weights_as_text(value: str | None) -> None:
    good, rejects = check(weight=["1.5", value, " 2 "])
    assert good["weight"] == [1.5, 2.0]
    assert [row for row, _ in rejects] == [2]
    assert rejects[0][1].startswith("weight: the weight")


def test_weights_of_every_numeric_type_become_float32() -> None:
    for column in (pa.array([1, 2]), pa.array([1.0, 2.0]), pa.array([1, 2], pa.int8()), pa.array(["1", "2.0"])):
        table = pa.table({"user": ["u", "u"], "item": [1, 2], "weight": column})
        good, _ = validate_interactions(table, file="f")
        assert good["weight"].type == pa.float32()
        assert good["weight"].to_pylist() == [1, 2]
    assert [row for row, _ in check(weight=pa.array([1.0, float("nan"), float("inf"), None, 1e300]))[1]] == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0),
        ("1600000000", 1_600_000_000),
        ("1600000000.9", 1_600_000_000),
        ("1600000000123", 1_600_000_000),
        ("2020-09-13", 1_599_955_200),
        ("2020-09-13T12:26:40Z", 1_600_000_000),
        ("2020-09-13 12:26:40", 1_600_000_000),
        ("2020-09-13T14:26:40+02:00", 1_600_000_000),
        ("2020-09-13T12:26:40.123456789Z", 1_600_000_000),
        (" 1.6e9 ", 1_600_000_000),
    ],
)
def test_timestamps_as_text(value: str, seconds: int) -> None:
    assert check(timestamp=[value]) == ({"user": ["u"], "item": [1], "timestamp": [seconds]}, [])
    mixed, rejects = check(timestamp=["2001-01-01", value, "5", "2001-01-01T00:00:00Z"])  # each in its own way
    assert mixed["timestamp"] == [978_307_200, seconds, 5, 978_307_200]
    assert not rejects


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("yesterday", "neither seconds nor"),
        ("2020-13-45", "neither seconds nor"),
        ("2020-02-30T00:00:00Z", "neither seconds nor"),
        ("", "missing"),
        (None, "missing"),
        ("nan", "neither seconds nor"),
        ("-5", "before 1970"),
        ("1969-12-31", "before 1970"),
        ("2999-01-01", "in the future"),
        (str(NOW + 86_401), "in the future"),
        ("9" * 400, "neither seconds nor"),
    ],
)
def test_bad_timestamps(value: str | None, reason: str) -> None:
    good, rejects = check(timestamp=["7", value, str(NOW + 86_400)])
    assert good["timestamp"] == [7, int(NOW + 86_400)]
    [(row, found)] = rejects
    assert row == 2
    assert reason in found


def test_timestamps_of_arrow_types_and_said_units() -> None:
    moment = datetime(2020, 9, 13, 14, 26, 40, tzinfo=timezone(timedelta(hours=2)))
    assert check(timestamp=pa.array([moment]))[0]["timestamp"] == [1_600_000_000]
    assert check(timestamp=pa.array([moment.astimezone(UTC).replace(tzinfo=None)]))[0]["timestamp"] == [1_600_000_000]
    assert check(timestamp=pa.array([date(1970, 1, 2)]))[0]["timestamp"] == [86_400]
    assert check(timestamp=pa.array([5000]), unit="ms")[0]["timestamp"] == [5]
    assert "future" in check(timestamp=pa.array([1_600_000_000_000]), unit="s")[1][0][1]
    far = pa.array([2**62], pa.timestamp("us"))
    assert "future" in check(timestamp=far)[1][0][1]


def test_kinds_are_text_and_may_not_be_missing() -> None:
    good, rejects = check(kind=["view", None, "buy", ""])
    assert good["kind"] == ["view", "buy"]
    assert [row for row, _ in rejects] == [2, 4]


def test_a_row_is_rejected_once_with_its_first_fault_and_rejects_are_in_order() -> None:
    good, rejects = check(user=["a", "", "c", ""], weight=["x", "x", "1", "2"])
    assert good == {"user": ["c"], "item": [1], "weight": [1.0]}
    assert [row for row, _ in rejects] == [1, 2, 4]
    assert rejects[1][1].startswith("user")


def test_other_columns_are_left_out_and_an_empty_table_is_fine() -> None:
    assert set(check(colour=["red"])[0]) == {"user", "item"}
    good, rejects = validate_interactions(
        pa.table({"user": pa.array([], pa.string()), "item": [], "weight": []}), file="f"
    )
    assert (good.num_rows, rejects.num_rows) == (0, 0)


@pytest.mark.parametrize("name", ["user", "item"])
def test_a_missing_column_is_an_error_of_the_whole_file(name: str) -> None:
    with pytest.raises(SchemaError, match=f"'{name}' is missing") as caught:
        validate_interactions(pa.table({"user": [1], "item": [1]}).drop_columns([name]), file="f.csv")
    assert caught.value.where == "f.csv"


@pytest.mark.parametrize("name", ["user", "item", "weight", "timestamp", "kind"])
def test_columns_that_cannot_hold_the_field_are_an_error_of_the_whole_file(name: str) -> None:
    with pytest.raises(SchemaError) as caught:
        check(**{name: pa.array([[1], [2]])})
    assert caught.value.where == f"f.csv: column {name}"


def test_strict_names_the_first_bad_row_its_column_and_value_and_counts_the_others() -> None:
    table = pa.table({"user": ["a", "b", "c", ""], "item": [1, 2, 3, 4], "weight": ["1", "nan", "oops", "1"]})
    with pytest.raises(SchemaError) as caught:
        require_interactions(table, file="r.csv", first_row=2)
    assert str(caught.value) == (
        "r.csv: row 3, column weight: the weight 'nan' is not a finite number. 2 other rows are bad too."
    )


CELL = st.one_of(st.none(), st.text(max_size=6), st.sampled_from(["1", "2.5", "nan", "2020-01-01", "x" * 600, "\n"]))


@given(st.lists(st.tuples(CELL, CELL, CELL, CELL), min_size=1, max_size=40))
def test_every_row_is_either_good_or_rejected_and_good_rows_pass_again(rows: list[tuple[str | None, ...]]) -> None:
    names = ("user", "item", "weight", "timestamp")
    table = pa.table(
        {name: pa.array(column, pa.string()) for name, column in zip(names, zip(*rows, strict=True), strict=True)}
    )
    good, rejects = validate_interactions(table, file="f", first_row=1, now=NOW)
    assert good.num_rows + rejects.num_rows == len(rows)
    assert rejects["row"].to_pylist() == sorted(set(rejects["row"].to_pylist()))
    again, none = validate_interactions(good, file="f", now=NOW)
    assert none.num_rows == 0
    assert again.equals(good)
    assert np.isfinite(good["weight"].to_numpy()).all()
    halves = [validate_interactions(part, file="f", now=NOW)[0] for part in (table.slice(0, 7), table.slice(7))]
    assert pa.concat_tables(halves).equals(good)
