"""What a large project shows: nobody waits until all of it is counted."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from labeling.queue.progress import Recent, progress
from labeling.service import Labeling
from labeling.store import projects

SAID = {"ann": ["Drama", "Drama", "War"], "bob": ["Drama", "War", "War"]}


@pytest.fixture
def answered(store, make_project):
    """A project of three tasks that two people have answered, and its service."""
    project, service = make_project(n=3, overlap=2), Labeling(store.engine)
    for person, labels in SAID.items():
        for label in labels:
            task = service.next_task(project.id, person).task.task_id
            service.submit(project.id, person, task, {"choices": [label]}, 2.0)
    return project.id, service


def figures(overview):
    names = ("distribution", "agreement", "confusion", "people", "over_time", "consolidated")
    return {name: getattr(overview, name) for name in names}


def test_figures_of_many_answers_are_made_beside_the_page(answered, monkeypatch):
    project, service = answered
    plain = service.overview(project, "ann")
    assert plain.counted
    assert plain.distribution == {"label": [("Drama", 3), ("War", 3)]}
    assert plain.confusion[0].pairs == [[1, 1], [1, 1]]
    assert (plain.people["bob"].answers, plain.people["bob"].seconds) == (3, 2.0)
    monkeypatch.setattr("labeling.overview.MANY", 1)
    before = replace(plain.progress, answers=0)
    monkeypatch.setattr("labeling.overview.progress", lambda *_: before)  # counted before they were taken in
    first = service.overview(project, "ann")
    assert (first.counted, first.people, first.progress) == (False, {}, before)
    while not (found := service.overview(project, "ann")).counted:
        time.sleep(0.01)
    assert figures(found) == figures(plain)


def test_figures_of_many_answers_are_those_made_last(answered, store, monkeypatch):
    project, service = answered
    plain = service.people(project), service.agreement(project)
    monkeypatch.setattr("labeling.overview.MANY", 1)
    monkeypatch.setattr("labeling.overview._COSTS", 1e9)
    assert (service.people(project), service.agreement(project)) == plain, "whoever asks first waits"
    with store.write() as db:
        projects.add_tasks(db, projects.get(db, project), [projects.NewTask("more", {"title": "x"})])
    service.submit(project, "ann", service.next_task(project, "ann").task.task_id, {"choices": ["War"]})
    assert (service.people(project), service.agreement(project)) == plain, "nobody waits again"
    monkeypatch.setattr("labeling.overview._COSTS", 0.0)
    other = Labeling(store.engine)
    assert other.people(project)["ann"].answers == 4
    other.submit(project, "bob", other.next_task(project, "bob").task.task_id, {"choices": ["War"]})
    while other.people(project)["bob"].answers != 4:  # it is made anew beside
        time.sleep(0.01)
    for thread in threading.enumerate():  # once more, since we have looked again
        if thread.name.startswith("beside"):
            thread.join(120)


def test_what_is_open_in_a_large_project_is_counted_beside_the_turns(answered, store, monkeypatch):
    project, service = answered
    with store.write() as db:
        projects.add_tasks(db, projects.get(db, project), [projects.NewTask(str(i), {"title": "x"}) for i in range(4)])
    monkeypatch.setattr("labeling.queue.progress.MANY", 0)
    monkeypatch.setattr("labeling.queue.progress.LOTS", 0)
    now = [0.0]
    recent = Recent(store.engine, lambda: now[0])

    def seen():
        with store.read() as db:
            return progress(db, projects.get(db, project), "ann", recent)

    assert (seen().done, seen().remaining, seen().answers) == (3, 4, 6)
    task = service.next_task(project, "ann").task.task_id
    service.submit(project, "ann", task, {"choices": ["War"]})
    assert (seen().answers, seen().mine) == (6, 4), "of everybody's a moment ago, one's own of now"
    now[0] += 1e6
    assert seen().answers == 6, "this one did not wait"
    while seen().answers == 6:
        time.sleep(0.01)
    assert (seen().answers, seen().remaining) == (7, 4)
