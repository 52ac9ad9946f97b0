"""The factorization machine that serves: NumPy, by its definition."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from palate.dataset.ids import IdMap
from palate.errors import PalateError, SchemaError
from palate.features.columns import ColumnEncoder
from palate.models.factorization_machine import FactorizationMachine
from palate.models.protocol import Arrays

RANDOM = np.random.default_rng(0)
LINEAR, FACTORS = RANDOM.normal(size=6), RANDOM.normal(size=(6, 3))


def defined(row: Any) -> float:
    """Equation 1 of the paper, pair by pair, in float32's weights."""
    linear, factors = np.float32(LINEAR), np.float32(FACTORS)
    pairs = sum(float(factors[j] @ factors[k]) * row[j] * row[k] for j, k in combinations(range(6), 2))
    return float(0.5 + linear @ row + pairs)


def test_it_is_the_definition_for_dense_and_sparse_rows() -> None:
    model = FactorizationMachine(0.5, LINEAR, FACTORS)
    rows = RANDOM.normal(size=(20, 6)) * (RANDOM.random((20, 6)) < 0.5)
    expected = [defined(row) for row in rows]
    np.testing.assert_allclose(model.raw(rows), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(model.raw(sparse.csr_matrix(rows)), expected, rtol=1e-5, atol=1e-5)
    assert model.predict({"features": rows})["score"] == pytest.approx(expected, abs=1e-4)


def test_a_classification_answers_with_probabilities_and_labels() -> None:
    rows = RANDOM.normal(size=(20, 6))
    odds = FactorizationMachine(0.5, LINEAR, FACTORS).raw(rows)
    answer = FactorizationMachine(0.5, LINEAR, FACTORS, "classification").predict({"features": rows})
    assert answer["score"] == pytest.approx((1 / (1 + np.exp(-odds))).tolist())
    assert answer["predicted_label"] == (odds > 0).astype(int).tolist()
    far = FactorizationMachine(-1e9, LINEAR, FACTORS, "classification").predict({"features": rows})
    assert far["score"] == [0.0] * 20


def test_vectors_and_columns_together() -> None:
    encoder = ColumnEncoder({"age": (40, 10)}, {"city": IdMap(["Oslo", "Rome"])})
    model = FactorizationMachine(0.5, LINEAR, FACTORS, encoder=encoder)
    assert model.n_vector == 3
    assert dict(model.signature().inputs) == {"features": "list<float>", "age": "float", "city": "string"}
    answer = model.predict({"features": [[1, 2, 3], [4, 5, 6]], "age": [50, 30], "city": ["Rome", "Atlantis"]})
    assert answer["score"] == pytest.approx([defined([1, 2, 3, 1, 0, 1]), defined([4, 5, 6, -1, 0, 0])], rel=1e-5)
    again = FactorizationMachine.from_arrays(model.to_arrays())
    assert again.predict({"features": [[1, 2, 3]], "age": [50], "city": ["Rome"]})["score"] == answer["score"][:1]


def test_columns_alone() -> None:
    encoder = ColumnEncoder({}, {"user": IdMap([1, 2, 3]), "item": IdMap(["a", "b", "c"])})
    model = FactorizationMachine(0.5, LINEAR, FACTORS, encoder=encoder)
    assert dict(model.signature().inputs) == {"user": "int64", "item": "string"}
    answer = model.predict({"user": [2, 9, None], "item": ["c", "nothing", None]})
    assert answer["score"] == pytest.approx([defined([0, 1, 0, 0, 0, 1]), 0.5, 0.5], rel=1e-5)


@pytest.mark.parametrize(
    ("batch", "word"),
    [
        ({"features": [[1]], "age": [1]}, "city"),
        ({"features": [[1]], "age": [None], "city": ["Oslo"]}, "null"),
        ({"features": [[1]], "age": [float("nan")], "city": ["Oslo"]}, "finite"),
        ({"features": [[1]], "age": ["young"], "city": ["Oslo"]}, "numbers"),
        ({"features": [[1]], "age": [1], "city": [{}]}, "categories"),
        ({"features": [[1]], "age": [1], "city": [1, "Oslo"]}, "text"),
        ({"features": [[1]], "age": [1], "city": "Oslo"}, "list of values"),
        ({"features": [[1, 2]], "age": [1], "city": ["Oslo"]}, "takes 1"),
        ({"features": [[1], [2]], "age": [1], "city": ["Oslo"]}, "lengths"),
    ],
)
def test_bad_input_is_refused_by_name(batch: dict[str, Any], word: str) -> None:
    encoder = ColumnEncoder({"age": (40, 10)}, {"city": IdMap(["Oslo", "Rome"])})
    model = FactorizationMachine(0.5, LINEAR[:4], FACTORS[:4], encoder=encoder)
    with pytest.raises(SchemaError, match=word):
        model.predict(batch)


@pytest.mark.parametrize(
    "values",
    [
        {"task": "ranking"},
        {"linear": [1, 2]},
        {"linear": [[1.0] * 6]},
        {"linear": [np.nan] * 6},
        {"intercept": np.inf},
        {"encoder": ColumnEncoder({str(n): (0, 1) for n in range(7)}, {})},
    ],
)
def test_what_is_no_machine_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(PalateError):
        FactorizationMachine(**{"linear": LINEAR, "factors": FACTORS, **values})


def test_a_damaged_bundle_is_refused() -> None:
    held = FactorizationMachine(0.5, LINEAR, FACTORS).to_arrays()
    with pytest.raises(PalateError):
        FactorizationMachine.from_arrays(Arrays(held.params, {**held.arrays, "factors": FACTORS[:3]}))
