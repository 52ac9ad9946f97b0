"""Several server processes on one database: what one of them alone can't show."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter

from labeling.service import Labeling

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
