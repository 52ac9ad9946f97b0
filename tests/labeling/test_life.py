"""A project after it was made: pauses, deadlines, comments, labels that change under answers, its end."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from labeling.service import Labeling
from labeling.store import tables
from labeling.store.definition import Definition, NewTask
from palate.errors import ConflictError, ParameterError, UnknownIdError

FILMS = [NewTask(str(number), {"title": f"Film {number}", "text": "A long text."}) for number in range(3)]


@pytest.fixture
def service(store):
    return Labeling(store.engine)


def make(service, labels=("Comedy", "Drama", "War"), **more):
    return service.create(Definition("Films", labels, **more), FILMS)[0].id


def answer(service, project, *values):
    for value in values:
        service.submit(project, "ann", service.next_task(project, "ann").task.task_id, value)


def answers(service, project):
    tasks = json.loads("".join(service.export(project, "json")))
    return [region["value"] for task in tasks for each in task["annotations"] for region in each["result"]]


def choices(*labels):
    return {"choices": list(labels)}


def test_a_paused_project_hands_out_nothing_and_takes_what_is_in_hands(service):
    project = make(service)
    task = service.next_task(project, "ann").task.task_id
    service.change(project, {"paused": True})
    with pytest.raises(ConflictError, match="paused"):
        service.next_task(project, "bob")
    assert service.submit(project, "ann", task, choices("War"))[1] is True
    service.change(project, {"paused": False})
    assert service.next_task(project, "bob").task is not None


def test_after_the_deadline_nothing_is_handed_out(service):
    project = make(service)
    service.change(project, {"deadline": datetime.now(UTC) - timedelta(seconds=1)})
    with pytest.raises(ConflictError, match="deadline"):
        service.next_task(project, "ann")
    service.change(project, {"deadline": None})
    assert service.next_task(project, "ann").task is not None
    with pytest.raises(ParameterError, match="time zone"):
        service.change(project, {"deadline": datetime(2026, 1, 1)})
    with pytest.raises(ParameterError, match="overlap"):
        service.change(project, {"overlap": 3})


def test_labels_are_renamed_merged_and_added_without_losing_an_answer(service):
    project = make(service)
    answer(service, project, choices("Drama"), choices("War"), choices("Comedy"))
    mapping = {"label": {"Drama": "Serious", "War": "Serious"}}
    changed, mapped = service.relabel(project, labels=("Comedy", "Serious", "New"), mapping=mapping)
    assert (changed.labels, mapped) == (("Comedy", "Serious", "New"), 2)
    assert answers(service, project) == [choices("Serious"), choices("Serious"), choices("Comedy")]
    with pytest.raises(ParameterError):
        service.submit(project, "ann", service.undo(project, "ann").task.task_id, choices("Drama"))


def test_labels_merged_in_one_answer_are_there_once(service):
    project = make(service, kind="choices")
    answer(service, project, choices("Drama", "Comedy", "War"))
    service.relabel(project, labels=("Comedy", "War"), mapping={"label": {"Drama": "War"}})
    assert answers(service, project) == [choices("War", "Comedy")]


def test_a_label_in_use_goes_only_with_a_successor(service):
    project = make(service)
    answer(service, project, choices("Drama"), choices("Drama"))
    with pytest.raises(ConflictError, match=r"'Drama' \(2\)") as caught:
        service.relabel(project, labels=("Comedy", "New"))
    assert caught.value.where == "map"
    assert service.project(project, "")[0].labels == ("Comedy", "Drama", "War")
    assert service.relabel(project, labels=("Comedy", "Drama"))[0].labels == ("Comedy", "Drama")


def test_answers_that_would_not_fit_keep_the_interface_as_it_is(service):
    project = make(service, (), kind="rating")
    answer(service, project, {"rating": 5})
    config = service.project(project, "")[0].config
    for other in (config.replace('"5"', '"4"'), config.replace("label", "stars")):
        with pytest.raises(ConflictError, match="1 answers would not fit"):
            service.relabel(project, config=other)
    more = config.replace("</View>", '<TextArea name="why" toName="text" required="true"/></View>')
    assert service.relabel(project, config=more)[0].kind == "mixed"
    assert answers(service, project) == [{"rating": 5}]
    with pytest.raises(ParameterError, match="XML of your own"):
        service.relabel(project, labels=("a", "b"))


def test_comments_stay_with_their_task(service):
    project = make(service)
    first = service.comment(project, 1, "ann", "Which film is this?", flag=True)
    service.comment(project, 2, "bob", "Fine.")
    assert [each.text for each in service.comments(project)] == ["Fine.", "Which film is this?"]
    assert [each.person for each in service.comments(project, task_id=1)] == ["ann"]
    assert service.task(project, 1).flagged
    service.resolve(project, first.id, resolved=True)
    assert not service.task(project, 1).flagged
    assert service.comments(project, flag=True, resolved=False) == []
    for missing in (0, 99, 2**70):
        with pytest.raises(UnknownIdError):
            service.comment(project, missing, "ann", "x")
        with pytest.raises(UnknownIdError):
            service.resolve(project, missing, resolved=True)


def test_a_task_says_when_it_is_done(service):
    project = make(service, overlap=2)
    people = iter(("ann", "bob"))
    for done in (False, True):
        who = next(people)
        held = []
        while 1 not in held:  # second answers come after all first ones
            held.append(service.next_task(project, who, held).task.task_id)
        service.submit(project, who, 1, choices("War"))
        assert service.task(project, 1).done is done
    service.skip(project, "bob", 2 if 2 in held else held[0], "The text is cut off.")
    found = [service.task(project, task) for task in (1, 2, 3)]
    assert [reason for task in found for reason in task.skip_reasons] == ["The text is cut off."]


def test_a_deleted_project_leaves_nothing_behind(service, store):
    project = make(service)
    answer(service, project, choices("War"))
    service.comment(project, 1, "ann", "x")
    service.skip(project, "ann", service.next_task(project, "ann").task.task_id)
    assert service.remove(project).title == "Films"
    with store.read() as connection:
        for table in tables.metadata.sorted_tables:
            assert connection.execute(select(func.count()).select_from(table)).scalar_one() == 0
    with pytest.raises(UnknownIdError):
        service.remove(project)
