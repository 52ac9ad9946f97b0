"""Roles, reviews, and the figures of everybody's work."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa

from labeling.answers import check, same
from labeling.config import generate, parse
from labeling.queue.leases import LEASE
from labeling.queue.reviews import judge, next_review
from labeling.service import Labeling
from labeling.store import projects
from labeling.store.definition import Definition, NewTask
from palate.errors import ConflictError, ForbiddenError, ParameterError, UnknownIdError
from palate.store.types import clock

DRAMA, WAR = {"choices": ["Drama"]}, {"choices": ["War"]}


@pytest.fixture
def service(store):
    return Labeling(store.engine)


def make(service, n=3, overlap=1, kind="choice", **changes):
    labels = ("Drama", "War") if kind in ("choice", "choices") else ()
    new = [NewTask(f"t{i}", {"title": f"T{i}"}) for i in range(n)]
    project = service.create(Definition("Films", labels, kind=kind, overlap=overlap), new)[0]
    return service.change(project.id, changes).id


def answer(service, project, person, *values):
    for value in values:
        task = service.next_task(project, person).task.task_id
        service.submit(project, person, task, value, 2.0)


def values(service, project):
    tasks = json.loads("".join(service.export(project, "json")))
    return [each["result"][0]["value"] for task in tasks for each in task["annotations"]]


def test_only_members_work_on_a_project_that_has_some(service):
    project = make(service)
    service.next_task(project, "ann")
    service.set_members(project, {"bob": "annotator", "rob": "reviewer"})
    assert service.members(project) == {"bob": "annotator", "rob": "reviewer"}
    for turn in (service.next_task, service.undo, service.return_skipped):
        with pytest.raises(ForbiddenError):
            turn(project, "ann")
    with pytest.raises(ForbiddenError):
        service.comment(project, 1, "ann", "x")
    assert service.next_task(project, "bob").task is not None
    with pytest.raises(ForbiddenError):
        service.require_role(project, "bob", ["reviewer"])
    service.require_role(project, "rob", ["reviewer"])
    service.set_members(project, {})
    assert service.next_task(project, "ann").task is not None


def test_an_answer_is_accepted_corrected_or_sent_back(service):
    project = make(service, review="open")
    answer(service, project, "ann", DRAMA, DRAMA, DRAMA)
    assert service.project(project, "")[1].done == 0
    held = []
    for verdict, value in (("accept", None), ("correct", WAR), ("return", None)):
        _, review, waiting = service.next_review(project, "rob")
        assert (review.person, review.value[0]["value"], waiting) == ("ann", DRAMA, 3 - len(held))
        for _ in range(2):  # the second changes nothing
            service.judge(project, "rob", review.id, verdict, value=value, note="So.")
        held.append(review)
    state = service.project(project, "")[1]
    assert (state.done, state.to_review, service.next_review(project, "rob")[1]) == (2, 1, None)
    assert values(service, project) == [DRAMA, WAR, DRAMA]
    back = service.next_task(project, "ann").task
    assert (back.task_id, back.note, back.value[0]["value"]) == (held[2].task_id, "So.", DRAMA)
    assert service.next_task(project, "ann", holding=[back.task_id]).task is None
    service.submit(project, "ann", back.task_id, WAR)
    review = service.next_review(project, "rob")[1]
    assert (review.id, review.returns) == (held[2].id, 1)
    service.judge(project, "rob", review.id, "accept")
    assert service.project(project, "")[1].done == 3
    assert service.task(project, back.task_id).done
    reviewed = service.people(project)["ann"].reviewed
    assert (reviewed.total, reviewed.right) == (3, 1)


def test_a_blind_reviewer_answers_without_seeing_the_answer(service):
    project = make(service, n=2, review="blind")
    answer(service, project, "ann", DRAMA, DRAMA)
    first = service.next_review(project, "rob")[1]
    assert (first.person, first.value) == (None, None)
    with pytest.raises(ParameterError):
        service.judge(project, "rob", first.id, "accept")
    with pytest.raises(ParameterError):
        service.judge(project, "rob", first.id, None)
    assert service.judge(project, "rob", first.id, None, value=DRAMA) == "accepted"
    second = service.next_review(project, "rob")[1]
    assert service.judge(project, "rob", second.id, None, value=WAR) == "corrected"
    assert service.judge(project, "rob", second.id, None, value=WAR) == "corrected"
    assert values(service, project) == [DRAMA, WAR]


def test_nobody_judges_their_own_answer_or_one_that_is_not_in_their_hands(service, store):
    project = make(service, n=2, review="open")
    answer(service, project, "ann", DRAMA, DRAMA)
    assert service.next_review(project, "ann")[1] is None
    mine = service.next_review(project, "rob")[1]
    assert service.next_review(project, "rob")[1].id == mine.id
    other = service.next_review(project, "sue")[1]
    assert other.id != mine.id
    assert service.next_review(project, "tom")[1] is None
    with pytest.raises(ConflictError):
        service.judge(project, "sue", mine.id, "accept")
    with store.write() as db:
        later = clock(db) + 2 * LEASE
        taken = next_review(db, projects.get(db, project), "tom", now=later)
        assert taken.id == mine.id
        with pytest.raises(ConflictError):
            judge(db, projects.get(db, project), "rob", mine.id, "accept")
    service.submit(project, "ann", other.task_id, WAR)  # changed while it is judged
    with pytest.raises(ConflictError, match="changed meanwhile"):
        service.judge(project, "sue", other.id, "accept")
    for missing in (0, 99, 2**70):
        with pytest.raises(UnknownIdError):
            service.judge(project, "rob", missing, "accept")
    service.change(project, {"review": "none"})
    assert service.next_review(project, "rob")[1] is None
    with pytest.raises(ConflictError, match="not reviewed"):
        service.judge(project, "sue", other.id, "accept")


def test_agreement_is_per_question_label_and_person(service):
    project = make(service, n=4, overlap=2)
    answer(service, project, "ann", DRAMA, DRAMA, WAR, WAR)
    answer(service, project, "bob", DRAMA, DRAMA, WAR, DRAMA)
    (found,) = service.agreement(project)
    assert (found.control, found.overall.tasks, found.overall.percent) == ("label", 4, 0.75)
    # By hand: 5 of 8 answers are Drama, so chance alone gives (5/8)² + (3/8)² = 34/64.
    assert found.overall.fleiss_kappa == pytest.approx((0.75 - 34 / 64) / (1 - 34 / 64))
    assert set(found.labels) == {"Drama", "War"}
    assert (found.people["ann"].met, found.people["ann"].percent) == (4, 0.75)
    # Cohen's: ann says Drama half of the time, bob three quarters.
    assert found.people["ann"].kappa == pytest.approx(0.5)


def test_agreement_of_several_labels_is_also_of_each(service):
    project = make(service, n=2, overlap=2, kind="choices")
    answer(service, project, "ann", {"choices": ["Drama", "War"]}, DRAMA)
    answer(service, project, "bob", {"choices": ["War"]}, DRAMA)
    (found,) = service.agreement(project)
    assert found.overall.percent == 0.5
    assert {label: each.percent for label, each in found.labels.items()} == {"Drama": 0.5, "War": 1.0}


@pytest.mark.parametrize("kind", ["text", "rating"])
def test_there_is_no_agreement_without_answers_to_compare(service, kind):
    project = make(service, kind=kind)
    assert all(each.overall.tasks == 0 for each in service.agreement(project))
    assert service.people(project) == {}


def test_people_are_told_by_their_share_speed_and_gold(service):
    new = [NewTask(f"g{i}", {"title": "G"}, gold=DRAMA) for i in range(2)] + [NewTask("t", {"title": "T"})]
    project = service.create(Definition("Films", ("Drama", "War")), new)[0].id
    service.change(project, {"gold_rate": 1.0})
    answer(service, project, "ann", DRAMA, WAR, WAR)
    answer(service, project, "bob", DRAMA)
    ann, bob = service.people(project)["ann"], service.people(project)["bob"]
    assert (ann.answers, ann.share, ann.seconds, ann.gold.total, ann.gold.accuracy) == (3, 0.75, 2.0, 2, 0.5)
    assert (bob.gold.accuracy, bob.reviewed.accuracy) == (1.0, None)
    assert service.agreement(project)[0].overall.tasks == 0


def box(x, label="Car"):
    value = {"x": x, "y": 0, "width": 40, "height": 40, "rectanglelabels": [label]}
    return {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": value}


def test_answers_are_the_same_by_what_they_say():
    def alike(kind, one, other, labels=()):
        interface = parse(generate(kind, labels))
        data = {"text": "Ada met Bob.", "image": "a"}
        return same(interface, *(check(interface, data, answer) for answer in (one, other)))

    assert alike("text", {"text": ["A  b"]}, {"text": "a B"})
    assert not alike("text", {"text": ["a"]}, {"text": "b"})
    assert alike("choices", {"choices": ["a", "b"]}, {"choices": ["b", "a"]}, ("a", "b"))
    assert alike("boxes", [box(0), box(50)], [box(52), box(1)], ("Car", "Bus"))
    assert not alike("boxes", [box(0)], [box(20)], ("Car", "Bus"))
    assert not alike("boxes", [box(0)], [box(0, "Bus")], ("Car", "Bus"))
    assert not alike("boxes", [box(0)], [], ("Car", "Bus"))
    spans = [
        {"from_name": "label", "to_name": "text", "type": "labels", "id": name}
        | {"value": {"start": start, "end": start + 3, "labels": ["Who"]}}
        for name, start in (("x", 0), ("y", 0), ("z", 8))
    ]
    assert alike("spans", [spans[0], spans[2]], [spans[2], spans[1]], ("Who",))
    assert not alike("spans", [spans[0]], [spans[2]], ("Who",))


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_the_next_review_is_looked_up_in_an_index(store, service):
    """What somebody has in hands, what a model doubts, the oldest: none by putting all that waits in order."""
    project = make(service, n=3, review="open")
    answer(service, project, "ann", DRAMA, WAR)
    asked = []

    @sa.event.listens_for(store.engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many):
        if statement.startswith("UPDATE annotations"):
            asked.append((statement, parameters))

    assert service.next_review(project, "bob")[1].person == "ann"
    with store.read() as db:
        plans = [[row[3] for row in db.exec_driver_sql("EXPLAIN QUERY PLAN " + each[0], each[1])] for each in asked]
    for plan, index in zip(plans, ("reviewing", "suspect", "pending"), strict=True):
        assert any(f"ix_annotations_{index}" in step for step in plan), plan
    assert not any("TEMP B-TREE" in step for step in plans[2])
    # Where answers are not reviewed, only what is doubted waits: all others are not gone through.
    service.change(project, {"review": "none"})
    asked.clear()
    assert service.next_review(project, "rob")[1] is None
    assert len(asked) == 2


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_what_was_sent_back_is_looked_up_in_an_index(store, service):
    project = make(service, n=3, review="open")
    answer(service, project, "ann", DRAMA, WAR)
    asked = []

    @sa.event.listens_for(store.engine, "checkout")
    def trace(connection, record, proxy):
        connection.set_trace_callback(asked.append)

    assert service.next_task(project, "ann") is not None
    sa.event.remove(store.engine, "checkout", trace)
    (query,) = [each for each in asked if each.startswith("SELECT annotations.task_id")]
    with store.read() as db:
        plan = [row[3] for row in db.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}")]
    assert [step for step in plan if "ix_annotations_returned" in step] == plan
