"""What a project's work may come to: answers, money, time. Nothing is handed out beyond it, whoever asks at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from labeling.queue import leases
from labeling.service import Labeling
from labeling.store import budgets, projects
from labeling.store.arrivals import Arrival, Given
from labeling.store.budgets import Limits
from labeling.store.definition import Definition, NewTask
from palate.errors import ConflictError, ParameterError

WAR = {"choices": ["War"]}


@pytest.fixture
def service(store):
    return Labeling(store.engine)


def make(service, limits=None, n=10, **more):
    tasks = [NewTask(f"film-{number}", {"title": f"Film {number}"}) for number in range(n)]
    project = service.create(Definition("Films", ("Comedy", "War"), **more), tasks)[0].id
    if limits is not None:
        service.change(project, {"budget": limits})
    return project


def take(service, project, person, holding=()):
    step = service.next_task(project, person, holding)
    return None if step.task is None else step.task.task_id


def budget(service, project):
    found = service.project(project, "ann")[1].budget
    return None if found is None else (found.answered, found.in_hands, found.reached)


def test_people_who_ask_at_once_get_no_more_tasks_than_the_budget_has(service):
    project = make(service, Limits(answers=7), n=30, overlap=2)

    def work(person):
        done = 0
        while (task := offered(person)) is not None:
            service.submit(project, person, task, WAR)
            done += 1
        return done

    def offered(person):
        try:
            return take(service, project, person)
        except ConflictError as error:
            return None if error.where == "budget" else pytest.fail(str(error))

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(work, [f"person-{number}" for number in range(6)]))
    assert sum(done) == 7
    assert budget(service, project) == (7, 0, "answers")


def test_at_the_bound_the_reason_is_told_and_what_is_in_hands_still_counts(service):
    project = make(service, Limits(answers=2))
    first, second = take(service, project, "ann"), take(service, project, "bob")
    with pytest.raises(ConflictError, match="2 answers, is spent or in people's hands") as caught:
        take(service, project, "cy")
    assert "administrator" in caught.value.hint
    assert take(service, project, "ann") == first  # theirs already
    step, new = service.submit(project, "ann", first, WAR, holding=[])
    assert (new, step.task) == (True, None)
    assert budget(service, project) == (1, 1, "answers")
    service.skip(project, "bob", second)
    assert budget(service, project) == (1, 0, None)
    assert take(service, project, "cy") == second
    with pytest.raises(ConflictError, match="budget"):  # the skipped one is with somebody else, and no place is left
        service.undo(project, "bob")
    service.change(project, {"budget": Limits(answers=3)})
    assert take(service, project, "bob") is not None
    service.change(project, {"budget": None})
    assert budget(service, project) is None
    assert take(service, project, "dan") is not None


def test_a_task_skipped_comes_back_only_while_there_is_budget(service):
    project = make(service, Limits(answers=1))
    task = take(service, project, "ann")
    service.skip(project, "ann", task)
    assert service.undo(project, "ann").task.task_id == task
    service.skip(project, "ann", task)
    service.change(project, {"budget": Limits(answers=0)})
    with pytest.raises(ConflictError, match="budget"):
        service.undo(project, "ann")
    service.change(project, {"budget": None, "deadline": datetime.now(UTC) - timedelta(seconds=1)})
    with pytest.raises(ConflictError, match="deadline"):
        service.undo(project, "ann")


def test_a_place_that_somebody_left_changes_hands_without_a_new_one(service, store):
    project = make(service, Limits(answers=1))
    task = take(service, project, "ann")
    later = datetime.now(UTC) + timedelta(hours=1)
    with store.write() as db:
        assert leases.next_task(db, projects.get(db, project), "bob", now=later).task_id == task
    assert budget(service, project) == (0, 1, "answers")


def test_who_has_nothing_left_to_do_hears_nothing_of_the_budget(service):
    project = make(service, Limits(answers=3), n=3)
    for _ in range(3):
        service.submit(project, "ann", take(service, project, "ann"), WAR)
    assert take(service, project, "ann") is None
    assert budget(service, project) == (3, 0, "answers")


def test_money_is_spent_by_the_answer(service):
    project = make(service, Limits(price=0.1, money=0.3))
    held = [take(service, project, person) for person in ("ann", "bob", "cy")]
    with pytest.raises(ConflictError, match=r"0\.30 at 0\.1 an answer"):
        take(service, project, "dan")
    for person, task in zip(("ann", "bob", "cy"), held, strict=True):
        service.submit(project, person, task, WAR)
    found = service.project(project, "ann")[1].budget
    assert (found.spent, found.reached) == (0.3, "money")
    service.change(project, {"budget": Limits(price=0.1, money=0.39)})  # which is no fourth answer
    with pytest.raises(ConflictError, match="budget"):
        take(service, project, "dan")


def test_time_is_what_the_answers_took_and_those_in_hands_will_take_on_average(service):
    project = make(service, Limits(seconds=100))
    service.submit(project, "ann", take(service, project, "ann"), WAR, 40.0)
    assert budget(service, project) == (1, 0, None)
    second = take(service, project, "ann")
    assert take(service, project, "bob") is not None  # 80 of 100 seconds go by then
    assert budget(service, project) == (1, 2, "seconds")  # 40 + 2 x 40
    service.submit(project, "ann", second, WAR, 10.0)  # quicker than thought: 50 + 1 x 25
    assert budget(service, project) == (2, 1, None)


def test_a_budget_given_later_counts_what_was_done_before_and_imports_count_as_well(service):
    project = make(service, n=5, overlap=2)
    service.submit(project, "ann", take(service, project, "ann"), WAR, 12.5)
    take(service, project, "bob")
    service.change(project, {"budget": Limits(answers=4, seconds=1000)})
    assert budget(service, project) == (1, 1, None)
    arrival = Arrival(NewTask("film-4", {"title": "Film 4"}), [Given("cy", WAR, 7.5), Given("dan", WAR)])
    assert service.take_in(project, [arrival]) == (0, 2)
    assert budget(service, project) == (3, 1, "answers")
    assert service.project(project, "ann")[1].budget.worked == 20.0
    service.skip(project, "ann", 1)  # withdraws the answer
    assert budget(service, project) == (2, 1, None)
    assert service.project(project, "ann")[1].budget.worked == 7.5
    assert service.remove(project).id == project


@pytest.mark.parametrize(
    ("limits", "where"),
    [
        ({}, "budget"),
        ({"price": 0.5}, "budget"),
        ({"money": 10}, "budget.money"),
        ({"money": 10, "price": 0.00001}, "budget.price"),
        ({"answers": -1}, "budget.answers"),
        ({"seconds": float("nan")}, "budget.seconds"),
        ({"seconds": float("inf")}, "budget.seconds"),
        ({"answers": 10**13}, "budget.answers"),
    ],
)
def test_bounds_that_make_no_sense_are_refused(limits, where):
    with pytest.raises(ParameterError) as caught:
        Limits(**limits)
    assert caught.value.where == where


def test_a_project_without_a_budget_has_no_row_to_wait_for(service, store):
    project = make(service)
    service.submit(project, "ann", take(service, project, "ann"), WAR)
    with store.read() as db:
        assert budgets.of(db, projects.get(db, project)) is None
