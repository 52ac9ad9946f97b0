"""Batch transform: every row of a file answered in order, as a command and as a job of the server."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from palate.cli import palate
from palate.errors import InputError, ParameterError
from palate.store.jobs import Jobs
from services.endpoints import recordio
from services.endpoints.invoking import INVOKING
from services.endpoints.transform import transform
from services.endpoints.transforms import KIND

CSV, LINES, RECORDS = "text/csv", "application/jsonlines", "application/x-recordio-protobuf"
ROWS = np.random.default_rng(0).normal(size=(5003, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The same vectors in each format; their lines are cut into several parts."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "rows.csv").write_text("".join(",".join(map(repr, row)) + "\n" for row in ROWS.tolist())[:-1])
    (folder / "rows.jsonl").write_text("\n".join(json.dumps({"features": row}) for row in ROWS.tolist()) + "\n\n")
    (folder / "rows.recordio").write_bytes(recordio.encode(ROWS))
    return folder


@pytest.mark.parametrize("given", [CSV, LINES, RECORDS])
def test_every_row_is_answered_in_order_whatever_the_format(inputs, pca, tmp_path, given):
    source = {CSV: "rows.csv", LINES: "rows.jsonl", RECORDS: "rows.recordio"}[given]
    told = []
    rows = transform(
        pca,
        inputs / source,
        tmp_path / "out.jsonl",
        content_type=given,
        accept=LINES,
        told=lambda done, words: told.append((done, words)),
    )
    found = [json.loads(line)["projection"] for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows == len(found) == len(ROWS)
    assert np.allclose(found, pca.transform(ROWS), rtol=1e-6)
    assert [words for _, words in told] == ["2000 rows", "4000 rows", "5003 rows"]
    assert told[-1][0] == 1


def test_answers_are_written_in_each_format(inputs, kmeans, tmp_path):
    (tmp_path / "two.csv").write_text("3,4\n0,0\n")
    for accept, name in ((CSV, "a.csv"), (RECORDS, "a.recordio")):
        transform(kmeans, tmp_path / "two.csv", tmp_path / name, content_type=CSV, accept=accept)
    assert (tmp_path / "a.csv").read_text() == "1,0\n0,0\n"
    assert len(list(recordio.records((tmp_path / "a.recordio").read_bytes()))) == 2


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"", CSV, "there are no rows"),
        (b"1,2,3\n" * 3000 + b"1,2\n", CSV, "rows 2000 to 3000"),
        (b"1,2\n", CSV, "the model takes 3"),
        (b'{"features": [1, 2, 3]}\n{"features": [1, 2\n', LINES, "rows 0 to 1"),
        (b"1,2,3\n" * 2, RECORDS, "Is the file RecordIO"),
        (recordio.encode(ROWS[:3])[:-4], RECORDS, "cut off"),
    ],
)
def test_a_file_that_is_wrong_gives_nothing(pca, tmp_path, body, kind, words):
    (tmp_path / "in").write_bytes(body)
    with pytest.raises(InputError, match=words):
        transform(pca, tmp_path / "in", tmp_path / "out", content_type=kind, accept=LINES)
    assert [file.name for file in tmp_path.iterdir()] == ["in"]


def test_the_command(inputs, bundles, tmp_path, monkeypatch):
    monkeypatch.setenv("PALATE_HOME", str(tmp_path / "home"))

    def run(*arguments):
        done = CliRunner().invoke(palate, ["endpoints", *map(str, arguments)])
        if done.exception is not None:
            raise done.exception
        return done.stdout

    run("deploy", "p", bundles / "pca")
    out = tmp_path / "out.csv"
    assert run("transform", "p", inputs / "rows.recordio", out) == f"5003 rows written to {out}.\n"
    assert len(out.read_text().splitlines()) == 5003
    with pytest.raises(ParameterError, match=r"--accept: 'out\.parquet'"):
        run("transform", "p", inputs / "rows.csv", tmp_path / "out.parquet")
    with pytest.raises(ParameterError, match="There are: AllTraffic"):
        run("transform", "p", inputs / "rows.csv", out, "--variant", "none")
    with pytest.raises(InputError, match="cannot be read"):
        run("transform", "p", inputs / "nowhere.csv", out)


# -- as a job ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(open_api, bundles, inputs, tmp_path):
    """An app with an endpoint, whose transform folder has the inputs; and how to begin a transform."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for file in inputs.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (tmp_path / "secret.csv").write_text("1,2,3\n")
    (folder / "link.csv").symlink_to(tmp_path / "secret.csv")
    api = open_api(transform_folder=folder)
    assert api.deploy("p", bundles / "pca").status_code == 201
    api.folder = folder
    api.begin = lambda **body: api.call("POST", "/v1/endpoints/p/transforms", json=body)
    return api


def ended(api, job):
    api.until(lambda: api.call("GET", f"/v1/transforms/{job}").json["state"] not in ("queued", "running"))
    return api.call("GET", f"/v1/transforms/{job}").json


def test_a_job_transforms_a_file(served):
    begun = served.begin(input="rows.csv", output="made/out.recordio")
    assert (begun.status_code, begun.json["state"], begun.json["variant"]) == (202, "queued", "AllTraffic")
    done = ended(served, begun.json["job"])
    assert (done["state"], done["rows"], done["progress"], done["error"]) == ("done", 5003, 1.0, None)
    assert len(list(recordio.records((served.folder / "made" / "out.recordio").read_bytes()))) == 5003
    again = served.begin(input="rows.csv", output="made/out.recordio")
    assert (again.status_code, again.json["type"]) == (409, "/problems/conflict")
    (served.folder / "bad.csv").write_text("1,2,3\n1,2,x\n")
    failed = ended(served, served.begin(input="bad.csv", output="bad.jsonl").json["job"])
    assert failed["state"] == "failed"
    assert "column 3, row 2" in failed["error"]
    assert str(served.folder) not in failed["error"]
    assert not (served.folder / "bad.jsonl").exists()
    assert served.call("DELETE", f"/v1/transforms/{failed['job']}").json["state"] == "failed"


def test_a_job_whose_worker_died_is_done_by_another(served, open_api):
    served.app.extensions[INVOKING].stop()
    begun = served.begin(input="rows.csv", output="out.jsonl").json["job"]
    queue = Jobs(served.hosting.store.engine, lease_seconds=0.2)
    taken = queue.claim("one that dies", [KIND])
    queue.heartbeat(taken, 0.4, "2000 rows")
    assert served.call("GET", f"/v1/transforms/{begun}").json["progress"] == 0.4
    other = open_api(transform_folder=served.folder)
    other.token = served.token
    assert (ended(other, begun)["state"], ended(other, begun)["rows"]) == ("done", 5003)
    assert len((served.folder / "out.jsonl").read_text().splitlines()) == 5003


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"input": "rows.csv"}, "output"),
        ({"input": "nowhere.csv", "output": "x.csv"}, "input"),
        ({"input": "../secret.csv", "output": "x.csv"}, "input"),
        ({"input": "link.csv", "output": "x.csv"}, "input"),
        ({"input": "/etc/passwd", "output": "x.csv", "content_type": CSV}, "input"),
        ({"input": "rows.csv", "output": "../x.csv"}, "output"),
        ({"input": "rows.csv", "output": "."}, "accept"),
        ({"input": "rows.csv", "output": ".", "accept": CSV}, "output"),
        ({"input": "rows.csv", "output": "a\0.csv"}, "output"),
        ({"input": "rows.csv", "output": "x.parquet"}, "accept"),
        ({"input": "rows.csv", "output": "x.csv", "content_type": "application/json"}, "content_type"),
        ({"input": "rows.csv", "output": "x.csv", "variant": "none"}, "variant"),
    ],
)
def test_a_transform_that_cannot_be_is_refused(served, body, field):
    refused = served.begin(**body)
    assert refused.status_code == 422, refused.text
    assert refused.json["errors"][0]["field"] == field


def test_a_file_that_is_not_there_is_told_by_its_name_and_where_it_was_looked_for(served):
    told = served.begin(input="nowhere.csv", output="x.csv").json["detail"]
    assert "'nowhere.csv'" in told
    assert "PALATE_TRANSFORM_FOLDER" in told


def test_transforms_need_the_scope_and_an_endpoint(served):
    token = served.key("invoke")
    body = {"input": "rows.csv", "output": "x.csv"}
    assert served.call("POST", "/v1/endpoints/p/transforms", json=body, token=token).status_code == 403
    assert served.call("POST", "/v1/endpoints/none/transforms", json=body).status_code == 404
    for method in ("GET", "DELETE"):
        assert served.call(method, "/v1/transforms/99").status_code == 404
        assert served.call(method, f"/v1/transforms/{2**40}").status_code == 404
