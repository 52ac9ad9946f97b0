"""Turns of several people at once on PostgreSQL: one transaction, and each is told what it would be told alone."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import event, select, update

from labeling.app import create
from labeling.queue import crowd, several
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.tables import answers, slots
from palate.errors import ConflictError, ForbiddenError, ParameterError, UnknownIdError
from palate.store import Accounts, reading, writing

DRAMA, WAR = {"choices": ["Drama"]}, {"choices": ["War"]}
PEOPLE = [f"p{number}" for number in range(8)]
pytestmark = pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)


@pytest.fixture
def service(store, monkeypatch):
    monkeypatch.setattr(crowd, "MANY", 10)
    return Labeling(store.engine)


@pytest.fixture
def alone(monkeypatch):
    """Who was left to be done by themselves."""
    left: list[str] = []
    turn = Labeling._turn

    def noted(self, project_id, person, work, **how):
        left.append(person)
        return turn(self, project_id, person, work, **how)

    monkeypatch.setattr(Labeling, "_turn", noted)
    return left


def at_once(service, turns) -> list[Future]:
    """The outcomes of turns that all were asked for while another was at work."""
    begun, enough, do = threading.Event(), threading.Event(), service._crowd._turns

    def first(*about):
        service._crowd._turns = do
        begun.set()
        assert enough.wait(60)
        return {}

    service._crowd._turns = first
    with ThreadPoolExecutor(len(turns) + 1) as threads:
        threads.submit(service._crowd.turn, several.Ask(0, "", None, ()))
        assert begun.wait(60)
        asked = []
        for number, turn in enumerate(turns):  # in their order
            asked.append(threads.submit(turn))
            until = time.monotonic() + 60
            while len(service._crowd) <= number:
                assert time.monotonic() < until, f"only {number} are at work at once"
                time.sleep(0.001)
        enough.set()
    return asked


def stored(store, project):
    """By person and task."""
    with reading(store.engine) as db:
        rows = db.execute(
            select(answers.c.person, answers.c.task_id, answers.c.value, answers.c.seconds).where(
                answers.c.project_id == project.id
            )
        )
        return {(row.person, row.task_id): (row.value, row.seconds) for row in rows}


def test_turns_of_several_people_are_one_transaction(store, service, make_project, alone):
    films = make_project(n=20, overlap=2)
    commits: list[object] = []
    event.listen(store.engine, "commit", commits.append)
    service.project(films.id, "")
    commits.clear()
    first = at_once(service, [lambda who=who: service.next_task(films.id, who) for who in PEOPLE])
    tasks = {who: each.result().task for who, each in zip(PEOPLE, first, strict=True)}
    assert [tasks[who].external_id for who in PEOPLE] == [f"film-{number}" for number in range(8)]

    def turn(who):
        value = WAR if who == "p3" else DRAMA
        return service.submit(films.id, who, tasks[who].task_id, value, None if who == "p5" else 2, holding=[])

    second = [each.result() for each in at_once(service, [lambda who=who: turn(who) for who in PEOPLE])]
    assert len(commits) == 4, "for each of the two that of nobody, and one for all eight"
    assert not alone
    assert [new for _, new in second] == [True] * 8
    assert [step.task.external_id for step, _ in second] == [f"film-{number}" for number in range(8, 16)]
    assert [(step.progress.mine, step.progress.answers) for step, _ in second] == [(1, 8)] * 8
    found = stored(store, films)
    assert set(found) == {(who, tasks[who].task_id) for who in PEOPLE}
    for who in PEOPLE:
        value, seconds = found[who, tasks[who].task_id]
        assert [region["value"] for region in value] == [WAR if who == "p3" else DRAMA]
        assert seconds == (None if who == "p5" else 2.0)


def test_sixteen_requests_are_at_work_at_once(store, store_url, make_project, tmp_path):
    films = make_project(n=20)
    app = create(LabelingSettings(home=tmp_path, database_url=store_url))
    service: Labeling = app.extensions["labeling"]
    keys = [Accounts(store.engine).create_key(f"{number}", ["label"])[1] for number in range(16)]

    def turn(key):
        asked = app.test_client().post(
            f"/v1/projects/{films.id}/next", json={"holding": []}, headers={"Authorization": f"Bearer {key}"}
        )
        return asked.get_json()["task"]["id"]

    tasks = {each.result() for each in at_once(service, [lambda key=key: turn(key) for key in keys])}
    service.engine.dispose()
    assert len(tasks) == 16


def test_each_is_told_what_it_would_be_told_alone(store, service, make_project, alone):
    films = make_project(n=20, overlap=2)
    task = {who: service.next_task(films.id, who).task.task_id for who in PEOPLE}
    service.submit(films.id, "p5", task["p5"], DRAMA)
    service.keep_draft(films.id, "p6", task["p6"], DRAMA)
    alone.clear()
    wanted = [
        lambda: service.submit(films.id, "p0", task["p0"], DRAMA, holding=[]),
        lambda: service.submit(films.id, "p0", task["p0"], DRAMA, holding=[]),
        lambda: service.submit(films.id, "p1", task["p2"], DRAMA, holding=[]),
        lambda: service.submit(films.id, "p3", task["p3"], {"choices": ["Opera"]}, holding=[]),
        lambda: service.submit(films.id, "p4", 2**70, DRAMA, holding=[]),
        lambda: service.submit(films.id, "p5", task["p5"], WAR, holding=[]),
        lambda: service.submit(films.id, "p6", task["p6"], WAR, holding=[]),
        lambda: service.next_task(films.id, "p7"),
        lambda: service.next_task(999, "p8"),
    ]
    asked = at_once(service, wanted[:-1])
    with pytest.raises(UnknownIdError):
        wanted[-1]()
    assert [asked[number].result()[1] for number in (0, 1, 5, 6)] == [True, False, False, True]
    for number, error in ((2, ConflictError), (3, ParameterError), (4, UnknownIdError)):
        with pytest.raises(error):
            asked[number].result()
    assert asked[7].result().task.task_id == task["p7"], "what was in their hands comes first"
    assert sorted(alone) == ["p0", "p1", "p3", "p4", "p5", "p6"]
    assert {who for who, _ in stored(store, films)} == {"p0", "p5", "p6"}
    assert stored(store, films)["p5", task["p5"]][0][0]["value"] == WAR


def test_who_has_had_or_skipped_a_task_or_holds_too_much_gets_no_such(store, service, make_project, alone):
    films = make_project(n=15, overlap=2)
    for _ in range(14):
        service.submit(films.id, "ann", service.next_task(films.id, "ann").task.task_id, DRAMA)
    service.skip(films.id, "bob", service.next_task(films.id, "bob").task.task_id)
    held: list[int] = []
    for _ in range(10):
        held.append(service.next_task(films.id, "cat", held).task.task_id)
    with writing(store.engine) as db:
        db.execute(
            update(slots).where(slots.c.person == "cat").values(expires=datetime.now(UTC) + timedelta(seconds=9))
        )
    alone.clear()
    turns = [lambda who=who: service.next_task(films.id, who, held) for who in ("ann", "bob", "dan", "cat")]
    asked = at_once(service, turns)
    assert asked[0].result().task.external_id == "film-14", "the only one she has not had"
    assert asked[1].result().task.external_id == "film-9", "after those of Cat; he skipped the last"
    assert asked[2].result().task.external_id == "film-10"
    with pytest.raises(ConflictError, match="in your hands already"):
        asked[3].result()
    assert alone == ["cat"]
    assert service.next_task(films.id, "dan", [asked[2].result().task.task_id]).task.external_id == "film-11"
    with reading(store.engine) as db:
        mine = select(slots.c.expires).where(slots.c.person == "dan")
        first, second = db.scalars(mine.order_by(slots.c.leased))
    assert first == second, "what is on the screen is renewed"


def test_only_members_work_and_nobody_waits_for_another_who_is_held_up(store, service, make_project):
    films = make_project(n=20)
    ann, bob = (service.next_task(films.id, who).task.task_id for who in ("ann", "bob"))
    service.set_members(films.id, {"ann": "annotator", "bob": "annotator"})
    with ThreadPoolExecutor(1) as thread:
        with writing(store.engine) as db:
            db.execute(select(slots.c.id).where(slots.c.task_id == bob).with_for_update())
            turns = [("ann", ann), ("bob", bob), ("eve", ann)]

            def turn(who, task):
                return service.submit(films.id, who, task, DRAMA, holding=[])

            asked = thread.submit(at_once, service, [lambda pair=pair: turn(*pair) for pair in turns])
            until = time.monotonic() + 60
            while ("ann", ann) not in stored(store, films):
                assert time.monotonic() < until
                time.sleep(0.02)
            assert ("bob", bob) not in stored(store, films)
        done = asked.result(60)
    assert done[1].result()[1], "as soon as he could"
    with pytest.raises(ForbiddenError):
        done[2].result()


def test_statements_are_planned_once_however_many_people_there_are(store, service, make_project):
    films = make_project(n=1_500, overlap=3)
    with writing(store.engine) as db:
        for number in range(1, 13):
            people = [f"{number}-{each}" for each in range(number)]
            asks = [several.Ask(films.id, who, None, ()) for who in people]
            now = datetime.now(UTC)
            turns = several.next_tasks(db, films, asks, many=True, lease=timedelta(minutes=1), now=now)
            asks = [
                several.Ask(films.id, who, several.Answer(turn.task_id, DRAMA, 1.0), None)
                for who, turn in turns.items()
            ]
            assert several.submit_all(db, films, asks, now) == set(people)
        known = db.exec_driver_sql("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements").all()
    counts = {row[0][:40]: row[1:] for row in known if "unnest" in row[0] or "SKIP LOCKED" in row[0]}
    assert len(counts) == 6, counts
    assert all(generic >= 2 and custom <= 5 for generic, custom in counts.values()), counts
