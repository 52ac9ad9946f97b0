"""Several server processes on one database: what one of them alone can't show."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
import sqlalchemy as sa

from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.tables import projects, slots, tasks
from labeling.work.process import work_off
from palate.store import Jobs, reading, writing
from palate.store.tables import jobs

WORKER = """
import sys
from labeling.service import Labeling
from palate.errors import ConflictError

url, project, person = sys.argv[1], int(sys.argv[2]), sys.argv[3]
service = Labeling.open(url)
while (task := service.next_task(project, person).task) is not None:
    try:
        service.submit(project, person, task.task_id, {"choices": ["Drama"]})
    except ConflictError:
        continue
    print(task.task_id, flush=True)
"""


def start(store, project, person):
    return subprocess.Popen(
        [sys.executable, "-c", WORKER, store.url, str(project.id), person], stdout=subprocess.PIPE, text=True
    )


def stored(store, project):
    tasks = json.loads("".join(Labeling(store.engine).export(project.id, "json")))
    return [(task["id"], each["completed_by"]["email"]) for task in tasks for each in task["annotations"]]


def test_processes_share_the_work_and_lose_nothing(store, make_project):
    project = make_project(n=60, overlap=2)
    people = {name: start(store, project, name) for name in ("ann", "bob", "cy")}
    said = {name: process.communicate(timeout=200)[0].split() for name, process in people.items()}
    assert [process.returncode for process in people.values()] == [0, 0, 0]
    acknowledged = [(int(task), name) for name, tasks in said.items() for task in tasks]
    assert sorted(stored(store, project)) == sorted(acknowledged)
    assert set(Counter(task for task, _ in acknowledged).values()) == {2}


def test_a_killed_process_loses_no_acknowledged_answer(store, make_project):
    project = make_project(n=400)
    draw = random.Random(0)
    acknowledged = []
    for turn in range(4):
        process = start(store, project, f"p{turn}")
        assert process.stdout is not None
        first = process.stdout.readline()  # it is at work now
        time.sleep(draw.uniform(0, 0.2))
        process.send_signal(signal.SIGKILL)
        said = (first + process.stdout.read()).splitlines(keepends=True)
        process.wait()
        process.stdout.close()
        acknowledged += [(int(line), f"p{turn}") for line in said if line.endswith("\n")]
    found = stored(store, project)
    assert set(acknowledged) <= set(found)
    assert len(found) == len({task for task, _ in found})


JOBS = """
from labeling.work import process
process.POLL, process.NICE = 0.02, 0
process.main()
"""


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_an_import_whose_workers_are_killed_is_whole_in_the_end(store, make_project, tmp_path):
    project, service, draw = make_project(n=1, overlap=2), Labeling(store.engine), random.Random(3)
    rows = "\n".join(json.dumps({"id": f"t{i}", "title": "x"}) for i in range(5_000)).encode()
    job = service.automation.import_file(project.id, rows, "jsonl")
    environment = os.environ | {"PALATE_HOME": str(tmp_path), "PALATE_DATABASE_URL": store.url}
    for _ in range(2):
        process = subprocess.Popen([sys.executable, "-c", JOBS], env=environment | {"PALATE_LOG_LEVEL": "ERROR"})
        try:
            while Jobs(store.engine).get(job.id).state == "queued":
                time.sleep(0.005)
            time.sleep(draw.uniform(0, 0.3))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert counted(store, project)[0] in (1, 2_001, 4_001, 5_001), "batches are whole"
        with writing(store.engine) as db:  # its lease is over at once, so that nobody has to wait
            over = sa.update(jobs).where(jobs.c.state == "running")
            db.execute(over.values(state="queued", lease_until=None))
    work_off(store.engine, LabelingSettings(home=tmp_path))
    assert Jobs(store.engine).get(job.id).state == "done"
    assert counted(store, project) == (5_001, 5_001, 5_001, 10_002)


def counted(store, project):
    """Tasks as the project counts them, as there are, places in their order, and slots."""
    with reading(store.engine) as db:
        told = db.scalar(sa.select(projects.c.tasks).where(projects.c.id == project.id))
        there, last = db.execute(sa.select(sa.func.count(), sa.func.max(tasks.c.position) + 1).select_from(tasks)).one()
        places = db.scalar(sa.select(sa.func.count()).select_from(slots))
    assert (there, last, places) == (told, told, 2 * told)
    return told, there, last, places
