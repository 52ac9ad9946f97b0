"""MLflow's protocol at bare /invocations: what MLflow's own client and server agree on."""

from __future__ import annotations

import pandas as pd
import pytest


def score(api, body):
    return api.call("POST", "/invocations", json=body)


def score_csv(api, body):
    return api.call("POST", "/invocations", data=body, headers={"Content-Type": "text/csv"})


def test_every_form_of_vectors_gives_the_same(mlflow_servers):
    rows = [[1, 2, 3], [0, 0, 1]]
    wanted = mlflow_servers["pca"].invoke("only", "1,2,3\n0,0,1", "text/csv").json["projections"]
    columns = {"a": [1, 0], "b": [2, 0], "c": [3, 1]}
    for body in (
        {"instances": rows},
        {"inputs": rows},
        {"inputs": {"features": rows}},
        {"inputs": columns},
        {"dataframe_split": {"columns": ["a", "b", "c"], "data": rows, "index": [7, 8]}},
        {"dataframe_split": {"columns": ["features"], "data": [[row] for row in rows]}},
        {"dataframe_split": {"data": rows}},
        {"dataframe_records": [dict(zip("abc", row, strict=True)) for row in rows]},
        {"instances": [{"features": row} for row in rows], "params": {}},
    ):
        assert score(mlflow_servers["pca"], body).json == {"predictions": wanted}, body
    csv = mlflow_servers["pca"].call(
        "POST", "/invocations", data="a,b,c\n1,2,3\n0,0,1\n", headers={"Content-Type": "text/csv"}
    )
    assert csv.json == {"predictions": wanted}


def test_it_answers_what_the_models_own_pyfunc_answers(mlflow_servers, bundles):
    from palate.bundle.pyfunc import _load_pyfunc

    frame = pd.DataFrame({"user": ["a1", "b1", "nobody"]})
    own = _load_pyfunc(str(bundles / "als")).predict(frame, {"n": 3})
    body = {"dataframe_split": frame.to_dict("split"), "params": {"n": 3}}
    found = score(mlflow_servers["als"], body).json["predictions"]
    assert [row["items"] for row in found] == own["items"].tolist()
    assert set(found[0]) == set(own.columns)
    sent = {"dataframe_records": frame.to_dict("records"), "params": {"n": 3}}
    csv = mlflow_servers["als"].call(
        "POST", "/invocations", data=frame.to_csv(index=False), headers={"Content-Type": "text/csv"}
    )
    assert score(mlflow_servers["als"], sent).json["predictions"] == found
    assert [row["items"][:3] for row in csv.json["predictions"]] == own["items"].tolist()


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("pca", [], "one of dataframe_split"),
        ("pca", {}, "one of dataframe_split"),
        ("pca", {"instances": [[1, 2, 3]], "inputs": [[1, 2, 3]]}, "one of dataframe_split"),
        ("pca", {"instances": [[1, 2, 3]], "more": 1}, "one of dataframe_split"),
        ("pca", {"instances": []}, "rows"),
        ("pca", {"instances": 3}, "list of rows"),
        ("pca", {"instances": [[1, 2, "x"]]}, "Row 0 is no list of numbers"),
        ("pca", {"instances": [[1, 2]]}, "3"),
        ("pca", {"instances": [[1, 2, 3], {"features": [1, 2, 3]}]}, "all objects, or all lists"),
        ("pca", {"dataframe_split": {"columns": ["a", "a"], "data": []}}, "each once"),
        ("pca", {"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, "has not 1 values"),
        ("pca", {"inputs": {"a": [1], "b": [1, 2]}}, "not equally long"),
        ("pca", {"dataframe_records": [1]}, "list of objects"),
        ("pca", {"instances": [[1, 2, 3]], "params": [1]}, "params must be an object"),
        ("als", {"instances": [["a1"]]}, "rows must be objects"),
        ("als", {"inputs": {"nobody": ["a1"]}}, "no column 'nobody'"),
        ("als", {"inputs": {"user": ["a1"]}, "params": {"user": ["b1"]}}, "is a column of the model"),
    ],
)
def test_what_is_wrong_is_told_as_mlflow_tells_it(mlflow_servers, name, body, words):
    refused = score(mlflow_servers[name], body)
    assert (refused.status_code, refused.json["error_code"]) == (400, "BAD_REQUEST"), refused.text
    assert words in refused.json["message"]


def test_other_ways_to_be_refused(mlflow_servers, monkeypatch):
    api = mlflow_servers["pca"]
    with monkeypatch.context() as patch:
        patch.setitem(api.app.config, "MAX_CONTENT_LENGTH", 100)
        large = score_csv(api, b"1,2,3\n" * 20)
        assert (large.status_code, large.json["error_code"]) == (413, "BAD_REQUEST")
        assert "larger than 100 bytes" in large.json["message"]
    wrong_type = api.call("POST", "/invocations", data="x", headers={"Content-Type": "text/plain"})
    assert (wrong_type.status_code, wrong_type.json["error_code"]) == (415, "BAD_REQUEST")
    for body in (b"\xff", b"", b'a,b,c\n"1', b"a,a\n1,2", b"a,b,c\n1,2"):
        refused = score_csv(api, body)
        assert (refused.status_code, refused.json["error_code"]) == (400, "BAD_REQUEST"), body
    assert api.client.post("/invocations", json={}).json["error_code"] == "UNAUTHENTICATED"
    assert api.call("POST", "/invocations", token=api.key("endpoints"), json={}).status_code == 403
    assert api.client.get("/version").status_code == 200
    assert api.client.get("/ping").status_code == 200
    assert api.call("DELETE", "/v1/endpoints/only").status_code == 200
    gone = score(api, {"instances": [[1, 2, 3]]})
    assert (gone.status_code, gone.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
