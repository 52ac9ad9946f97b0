"""Asking models in SageMaker's formats: every form of a request gives the same answer, in the shape of its kind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import issparse

from palate.errors import InputError
from palate.models.protocol import Signature
from services.endpoints import answers, payloads

ROWS = np.array([[1, 2, 3], [0.5, -1, 0], [1e-7, 0, 1e7]])
VECTORS = Signature({"features": "list<float>"}, {})


def csv(rows):
    return "\n".join(",".join(map(repr, row)) for row in rows.tolist())


def dense(rows):
    return [{"data": {"features": {"values": row}}} for row in rows.tolist()]


def plain(rows):
    return [{"features": row} for row in rows.tolist()]


def sparse(rows):
    parts = [(np.flatnonzero(row)[::-1].tolist(), row) for row in rows]
    return [
        {"data": {"features": {"keys": keys, "values": row[keys].tolist(), "shape": [rows.shape[1]]}}}
        for keys, row in parts
    ]


def document(rows):
    return json.dumps({"instances": rows})


def lines(rows):
    return "\n".join(map(json.dumps, rows)) + "\n"


FORMS = {
    "csv": (lambda rows: csv(rows), payloads.CSV),
    "csv, windows": (lambda rows: csv(rows).replace("\n", "\r\n"), "text/csv; label_size=0"),
    "json, features": (lambda rows: document(plain(rows)), payloads.JSON),
    "json, dense": (lambda rows: document(dense(rows)), payloads.JSON),
    "json, sparse": (lambda rows: document(sparse(rows)), payloads.JSON),
    "json, indented": (lambda rows: json.dumps({"instances": plain(rows)}, indent=2), payloads.JSON),
    "lines, features": (lambda rows: lines(plain(rows)), payloads.LINES),
    "lines, dense": (lambda rows: lines(dense(rows)), payloads.LINES),
    "lines, sparse": (lambda rows: lines(sparse(rows)), payloads.LINES),
}


@pytest.mark.parametrize("times", [1, 400], ids=["small", "large"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_request_gives_the_projections(api, pca, form, times):
    rows = np.tile(ROWS, (times, 1))
    write, kind = FORMS[form]
    answer = api.invoke("pca", write(rows), kind)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.headers["x-Amzn-Invoked-Production-Variant"] == "AllTraffic"
    told = np.array([each["projection"] for each in answer.json["projections"]], dtype=np.float32)
    np.testing.assert_array_equal(told, pca.transform(rows.astype(np.float32)))


def test_clusters_come_as_sagemaker_has_them(api):
    answer = api.invoke("kmeans", "3,4\n0,5\n", "text/csv")
    assert answer.text == (
        '{"predictions": [{"closest_cluster":1.0,"distance_to_cluster":0}, '
        '{"closest_cluster":1.0,"distance_to_cluster":3.1622777}]}'
    )
    assert api.invoke("kmeans", "0,0\n", "text/csv").json == {
        "predictions": [{"closest_cluster": 0.0, "distance_to_cluster": 0.0}]
    }


@pytest.mark.parametrize(
    ("accept", "kind", "text"),
    [
        ("application/jsonlines", "application/jsonlines", '{"projection":[2.5,4]}\n{"projection":[0.5,-2]}\n'),
        ("text/csv", "text/csv; charset=utf-8", "2.5,4\n0.5,-2\n"),
        ("*/*", "application/json", '{"projections": [{"projection":[2.5,4]}, {"projection":[0.5,-2]}]}'),
        ("text/csv;q=0.5, application/*", "application/json", None),
    ],
)
def test_the_answer_is_of_the_type_that_is_accepted(api, accept, kind, text):
    answer = api.invoke("pca", csv(ROWS[:2]), "text/csv", Accept=accept)
    assert (answer.status_code, answer.content_type) == (200, kind)
    assert text is None or answer.text == text


def test_a_pipeline_gives_the_columns_of_its_stages(api, pca, kmeans):
    answer = api.invoke("pipeline", csv(ROWS[:1]), "text/csv").json["predictions"]
    clusters, distances = kmeans.assign(pca.transform(ROWS[:1].astype(np.float32)))
    assert answer[0]["projection"] == [2.5, 4.0]
    assert answer[0]["cluster"] == clusters[0]
    assert answer[0]["distance"] == pytest.approx(distances[0])


@pytest.mark.parametrize("kind", ["kmeans", "fm", "pipeline"])
def test_wide_sparse_rows_are_answered_as_dense_ones_some_at_a_time(api, monkeypatch, kind):
    monkeypatch.setattr(answers, "DENSE_AT_ONCE", 7)
    rows = np.tile(ROWS if kind != "kmeans" else ROWS[:, :2], (200, 1))
    told = api.invoke(kind, document(sparse(rows)))
    assert told.status_code == 200, told.text
    assert told.json == api.invoke(kind, document(plain(rows))).json
    assert len(told.json["predictions"]) == 600
    wrong = api.invoke(kind, document(sparse(np.ones((2, 9)))))
    assert (wrong.status_code, wrong.headers["x-amzn-ErrorType"]) == (424, "ModelError")


def test_a_factorization_machine_gives_scores_and_labels(api, fm):
    told = api.invoke("fm", csv(ROWS[:2]), "text/csv").json["predictions"]
    scores = fm.score(ROWS[:2])
    assert [row["score"] for row in told] == pytest.approx(scores.tolist())
    assert [row["predicted_label"] for row in told] == [int(score > 0.5) for score in scores]


def test_a_part_of_a_pipeline_is_served_alone(api, bundles):
    assert api.deploy("the-part", bundles / "pipeline", part="kmeans").status_code == 201
    assert api.invoke("the-part", "3,4", "text/csv").json["predictions"][0]["closest_cluster"] == 1.0
    assert api.call("DELETE", "/v1/endpoints/the-part").status_code == 200


def test_a_recommender_takes_ids_and_gives_items(api, als):
    for body, kind in (
        ('{"instances": [{"user": "a1"}, {"user": "nobody"}]}', "application/json"),
        ('{"user": "a1"}\n\n{"user": "nobody"}', "application/jsonlines"),
        ("a1\nnobody\n", "text/csv"),
    ):
        known, unknown = api.invoke("als", body, kind).json["predictions"]
        assert known["items"] == als.recommend(["a1"]).ids()[0]
        assert known["scores"] == [float(str(np.float32(score))) for score in known["scores"]], "digits of a float32"
        assert (known["personal"], unknown["personal"]) == (True, False)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"%s\n%s\n", payloads.CSV),
        (b'{"user": %s}\n{"user": %s}\n', payloads.LINES),
        (b'{"instances": [{"user": %s}, {"user": %s}]}', payloads.JSON),
    ],
)
def test_an_optional_column_may_be_left_out(body, kind):
    strict = Signature({"user": "int64", "item": "int64"}, {"items": "list<int64>", "prediction": "float"})
    open_minded = replace(strict, optional=("item", "items", "prediction"))
    assert payloads.read(body % (b"1", b"2"), kind, open_minded) == {"user": [1, 2]}
    if kind == payloads.CSV:
        assert payloads.read(body % (b"1,3", b"2,4"), kind, open_minded) == {"user": [1, 2], "item": [3, 4]}
        with pytest.raises(InputError, match="cannot be read"):
            payloads.read(body % (b"1", b"2"), kind, strict)


def test_csv_of_wide_rows_is_read_as_that_of_narrow_ones(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((30, 400))
    body = csv(rows).encode()
    narrow = payloads.read(body, payloads.CSV, VECTORS)["features"]
    monkeypatch.setattr(payloads, "_WIDE", 399)
    np.testing.assert_array_equal(payloads.read(body, payloads.CSV, VECTORS)["features"], narrow)
    np.testing.assert_array_equal(narrow, rows)


def test_no_rows_give_no_predictions(api):
    assert api.invoke("kmeans", '{"instances": []}').json == {"predictions": []}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=3, max_size=3), min_size=1))
def test_both_readers_understand_the_same(rows):
    """What Arrow reads fast is what the strict reader reads."""
    matrix = np.array(rows)
    for write, kind in FORMS.values():
        body, kind = write(matrix).encode(), kind.split(";")[0]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(payloads, "ARROW_FROM", 0)
            fast = payloads.read(body, kind, VECTORS)["features"]
            patch.setattr(payloads, "ARROW_FROM", 1 << 40)
            strict = payloads.read(body, kind, VECTORS)["features"]
        for found in (fast, strict):
            np.testing.assert_array_equal(found.toarray() if issparse(found) else np.asarray(found), matrix)
