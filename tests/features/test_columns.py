"""Columns of categories and numbers as sparse rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from palate.errors import SchemaError
from palate.features.columns import ColumnEncoder

COLUMNS = {
    "age": pa.array([20, 40, 60]),
    "price": pa.array([7.0, 7.0, 7.0]),
    "city": pa.array(["Rome", None, "Oslo"]),
    "shop": pa.array([12, 3, 12]),
}


@pytest.fixture
def encoder() -> ColumnEncoder:
    return ColumnEncoder.fit(COLUMNS, ["age", "price"], ["city", "shop"])


def test_numbers_are_standardised_and_categories_are_ones(encoder: ColumnEncoder) -> None:
    deviation = np.sqrt(200 / 3 * 4)
    assert encoder.width == 6
    assert encoder.inputs == {"age": "float", "price": "float", "city": "string", "shop": "int64"}
    #         age                price  Oslo Rome  3  12
    expected = [
        [-20 / deviation, 0, 0, 1, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [20 / deviation, 0, 1, 0, 0, 1],
    ]
    np.testing.assert_allclose(encoder.encode(COLUMNS).toarray(), expected, rtol=1e-6)


def test_what_training_did_not_see_is_a_zero_vector(encoder: ColumnEncoder) -> None:
    rows = encoder.encode(
        {"age": pa.array([40.0]), "price": pa.array([8]), "city": pa.array(["Atlantis"]), "shop": pa.array([2**40])}
    )
    assert rows.toarray().tolist() == [[0, 1, 0, 0, 0, 0]]


def test_the_form_of_a_column_does_not_matter(encoder: ColumnEncoder) -> None:
    forms = {
        "age": COLUMNS["age"].cast(pa.float32()),
        "price": pa.array([7, 7, 7], pa.int8()),
        "city": COLUMNS["city"].dictionary_encode(),
        "shop": pa.array(["12", "3", "12"]),
    }
    assert (encoder.encode(forms) != encoder.encode(COLUMNS)).nnz == 0
    nulls_inside = pa.DictionaryArray.from_arrays(pa.array([1, 0, 2]), pa.array([None, "Rome", "Oslo"]))
    assert (encoder.encode({**COLUMNS, "city": nulls_inside}) != encoder.encode(COLUMNS)).nnz == 0


def test_peers_learn_what_one_would(encoder: ColumnEncoder) -> None:
    """The first of two, with all rows but the last; the other has it, and no row of some column's value."""

    class Peers:
        rank, size = 0, 2
        others: Any = iter([np.array([[1, 60.0], [1, 7.0]]), np.array([400.0, 0.0])])
        parts: Any = iter([pa.array(["Oslo"]), pa.array([12])])

        def sum(self, array: Any) -> Any:
            return array + next(self.others)

        def gather(self, value: Any) -> list[Any]:
            return [value, next(self.parts)]

    first = {name: column[:2] for name, column in COLUMNS.items()}
    learned = ColumnEncoder.fit(first, ["age", "price"], ["city", "shop"], Peers())
    assert learned.categories == encoder.categories
    assert learned.numbers["age"] == pytest.approx(encoder.numbers["age"])


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("age", pa.array([1.0, None, 2.0]), "row 1: there is no number"),
        ("age", pa.array([1.0, 2.0, np.nan]), "row 2: nan is not finite"),
        ("age", pa.array([np.inf, 2.0, np.nan]), "row 0: inf is not finite"),
        ("age", pa.array(["a", "b", "c"]), "no numbers"),
        ("city", pa.array([0.5, 1.5, 2.5]), "no categories"),
        ("city", pa.array([["a"], ["b"], ["c"]]), "no categories"),
        ("shop", pa.array([1, 2]), "different lengths"),
    ],
)
def test_bad_columns_are_named(encoder: ColumnEncoder, name: str, column: pa.Array, message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        encoder.encode({**COLUMNS, name: column})


def test_a_number_beyond_float32_is_refused(encoder: ColumnEncoder) -> None:
    with pytest.raises(SchemaError, match=r"age: row 1: .*too many for float32"):
        encoder.encode({**COLUMNS, "age": pa.array([20, 1e300, 60])})


def test_a_missing_column_is_named(encoder: ColumnEncoder) -> None:
    with pytest.raises(SchemaError, match="'city' is missing"):
        encoder.encode({name: column for name, column in COLUMNS.items() if name != "city"})
