"""The Python client against a labeling service that listens."""

from __future__ import annotations

import io
import threading

import pyarrow.parquet as pq
import pytest
from werkzeug.serving import make_server

from labeling.app import create
from labeling.settings import LabelingSettings
from labeling.work.process import work_off
from palate.client.calls import Policy
from palate.client.labeling import LabelingClient
from palate.errors import ParameterError, RemoteError
from palate.store import Accounts


@pytest.fixture
def house(tmp_path):
    """A client, and what does the service's jobs."""
    settings = LabelingSettings(home=tmp_path)
    app = create(settings)
    engine = app.extensions["labeling"].engine
    token = Accounts(engine).create_key("test", ["label", "label:manage"])[1]
    server = make_server("127.0.0.1", 0, app, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = LabelingClient(f"http://127.0.0.1:{server.port}", token, policy=Policy(retries=0))
    yield client, lambda: work_off(engine, settings)
    client.close()
    server.shutdown()
    engine.dispose()


def test_from_a_file_to_a_file(house):
    client, work = house
    project = client.create("Films", ["Drama", "War"])["id"]
    job = client.start_import(project, b"id,text\n1,One\n2,Two\n3,Three\n", "csv")
    work()
    assert client.wait(project, job["id"])["result"]["tasks"] == 3
    assert client.add_tasks(project, [{"external_id": "4", "data": {"text": "Four"}}])["added"] == 1
    task = client.next(project)
    for _ in range(3):
        task = client.submit(project, task["id"], {"choices": ["War"]}, 1.0, holding=[])["task"]
    client.skip(project, task["id"], "Too hard.")
    assert client.next(project) is None
    changed = client.change(project, consensus="majority", budget={"answers": 3, "price": 0.05, "money": 0.15})
    assert (changed["budget"]["reached"], changed["budget"]["spent"]["money"]) == ("answers", 0.15)
    client.consolidate(project)
    work()
    assert client.consensus(project)["tasks"] == 3
    assert [each["value"] for each in client.consensus_of_tasks(project)] == [{"choices": ["War"]}] * 3
    job = client.start_export(project, "parquet", every_task=True)["id"]
    with pytest.raises(RemoteError, match="is queued after 0 seconds"):
        client.wait(project, job, seconds=0)
    work()
    client.wait(project, job)
    table = pq.read_table(io.BytesIO(client.exported(project, job)))
    assert table["label"].to_pylist() == ["War", "War", "War", ""]
    assert [each["title"] for each in client.projects()] == ["Films"]
    assert client.project(project)["progress"]["done"] == 3


def test_a_run_is_watched_and_what_is_refused_is_told(house):
    client, work = house
    tasks = [{"external_id": str(i), "data": {"text": f"{'sun sea' if i % 2 else 'ski ice'} {i}"}} for i in range(60)]
    project = client.create("Films", ["Sea", "Snow"], tasks=tasks)["id"]
    assert client.start_run(project, model="tfidf", seed_items=20)["state"] == "running"
    work()
    assert client.run(project)["step"] == 1
    client.act(project, "stop")
    work()
    assert client.run(project)["state"] == "stopped"
    assert (list(client.labels(project)), client.withdraw(project), client.restore(project)) == ([], 0, 0)
    job = client.start_import(project, b"id\n1,2\n", "csv")["id"]
    work()
    with pytest.raises(RemoteError, match="line 2: has 2 cells"):
        client.wait(project, job)
    with pytest.raises(RemoteError, match="no project 99") as raised:
        client.project(99)
    assert raised.value.code == 404
    with pytest.raises(ParameterError):
        client.start_import(project, b"", "csv")
