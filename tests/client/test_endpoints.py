"""What is sent is what was meant, and what comes back is read to the last bit, or refused."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import sparse

from palate.client.endpoints import FIELDS, Field, decode, encode
from palate.errors import RemoteError

finite = st.floats(width=32, allow_nan=False, allow_infinity=False)
MATRICES = arrays(np.float32, st.tuples(st.integers(1, 5), st.integers(1, 4)), elements=finite)


@settings(deadline=None)
@given(MATRICES)
def test_a_body_says_each_number_exactly(matrix):
    for block in (matrix, matrix.astype(np.float64)):
        lines = encode(block, "csv").decode().split("\n")
        np.testing.assert_array_equal(np.array([line.split(",") for line in lines]).astype(block.dtype), block)
        rows = json.loads(encode(block, "json"))["instances"]
        assert rows == [json.loads(line) for line in encode(block, "jsonlines").splitlines()]
        np.testing.assert_array_equal(np.array([row["features"] for row in rows], dtype=block.dtype), block)


@settings(deadline=None)
@given(MATRICES)
def test_sparse_rows_go_as_keys_and_values(matrix):
    block = sparse.csr_matrix(matrix)
    assert encode(block, "csv") == encode(matrix + 0.0, "csv")
    for row, instance in zip(matrix, json.loads(encode(block, "json"))["instances"], strict=True):
        parts = instance["data"]["features"]
        assert parts["shape"] == [matrix.shape[1]]
        assert parts["keys"] == np.flatnonzero(row).tolist()
        np.testing.assert_array_equal(np.array(parts["values"], dtype=np.float32), row[row != 0])


def test_an_answer_becomes_columns():
    body = b'{"closest_cluster":1.0,"distance_to_cluster":0.1,"more":{"x":[1]}}\n'
    body += b'{"distance_to_cluster":3e-7,"closest_cluster":0}\n'
    clusters, distances = decode(body, FIELDS["kmeans"], 2)
    assert clusters.to_pylist() == [1.0, 0.0]
    np.testing.assert_array_equal(distances.to_numpy(), np.array([0.1, 3e-7], dtype=np.float32))
    assert decode(b"", FIELDS["pca"], 0)[0].to_pylist() == []


@pytest.mark.parametrize(
    ("body", "rows", "words"),
    [
        (b'{"closest_cluster":1}\n', 2, "1 rows for 2"),
        (b'{"closest_cluster":1}\n{"closest_cluster":1}\n', 1, "2 rows for 1"),
        (b"", 1, "0 rows for 1"),
        (b'{"closest_cluster":1}\n{"cluster":1}\n', 2, "row 1 of the answer has no 'closest_cluster'"),
        (b'{"closest_cluster":"one"}', 1, "cannot be read"),
        (b"<html>", 1, "cannot be read"),
        (b"null\n", 1, "cannot be read"),
        (b'{"predictions": [{"closest_cluster": 1}]}', 1, "no 'closest_cluster'"),
    ],
)
def test_an_answer_to_something_else_is_refused(body, rows, words):
    with pytest.raises(RemoteError, match=words):
        decode(body, FIELDS["kmeans"][:1], rows)


def test_what_rows_may_lack_is_null():
    field = Field("score", pa.float64(), optional=True)
    assert decode(b'{"score":1}\n{"score":null}\n{}', (field,), 3)[0].to_pylist() == [1.0, None, None]
