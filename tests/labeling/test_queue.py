"""Turns: what one person sees, and what many at once can't break."""

from __future__ import annotations

import random
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Thread

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import insert, select

from labeling.queue import leases
from labeling.queue import progress as progress_of
from labeling.queue.leases import MAX_HELD, next_task
from labeling.queue.progress import MANY, Recent, progress
from labeling.queue.turns import return_skipped, skip, submit, undo
from labeling.service import Labeling
from labeling.store.tables import answers, slots
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store.prepared import compiled_for

DRAMA = {"choices": ["Drama"]}
WAR = {"choices": ["War"]}


def region(value):
    return {"from_name": "label", "to_name": "text", "type": "choices", "value": value}


NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def minutes(n):
    return NOON + timedelta(minutes=n)


def test_tasks_come_in_order_once_and_then_end(store, films):
    seen = []
    with store.write() as connection:
        while (turn := next_task(connection, films, "ann")) is not None:
            assert submit(connection, films, "ann", turn.task_id, DRAMA)
            seen.append(turn.external_id)
    assert seen == ["film-0", "film-1", "film-2"]


def test_a_reloaded_page_finds_its_place(store, films):
    with store.write() as connection:
        first = next_task(connection, films, "ann")
        ahead = next_task(connection, films, "ann", holding=[first.task_id])
        assert ahead.task_id != first.task_id
        assert next_task(connection, films, "ann").task_id == first.task_id
        assert next_task(connection, films, "ann", holding=[first.task_id]).task_id == ahead.task_id


def test_two_people_never_get_the_same_task_when_the_overlap_is_one(store, films):
    with store.write() as connection:
        ann = {next_task(connection, films, "ann").task_id}
        bob = {next_task(connection, films, "bob").task_id}
    assert not ann & bob


def test_every_task_gets_a_first_answer_before_any_gets_a_second(store, make_project):
    project = make_project(n=3, overlap=2)
    with store.write() as connection:
        given = [next_task(connection, project, who).external_id for who in ("ann", "bob", "cy", "dee", "eve", "fay")]
        assert next_task(connection, project, "gus") is None
    assert given == ["film-0", "film-1", "film-2"] * 2


def test_a_lease_that_ended_returns_the_task_and_refuses_the_late_answer(store, films):
    with store.write() as connection:
        late = next_task(connection, films, "ann", now=NOON, lease=timedelta(minutes=15))
        assert next_task(connection, films, "bob", now=minutes(14)).task_id != late.task_id
        assert next_task(connection, films, "cy", now=minutes(15)).task_id == late.task_id
        with pytest.raises(ConflictError, match="Ask for the next task"):
            submit(connection, films, "ann", late.task_id, DRAMA)
        with pytest.raises(ConflictError):
            skip(connection, films, "ann", late.task_id)


def test_a_late_answer_counts_if_nobody_was_given_the_task_meanwhile(store, films):
    with store.write() as connection:
        late = next_task(connection, films, "ann", now=NOON)
        assert submit(connection, films, "ann", late.task_id, DRAMA, now=minutes(600))


def test_asking_for_more_renews_what_is_on_screen(store, films):
    with store.write() as connection:
        first = next_task(connection, films, "ann", now=NOON)
        next_task(connection, films, "ann", holding=[first.task_id], now=minutes(10))
        assert next_task(connection, films, "bob", now=minutes(20)).external_id == "film-2"


def test_the_same_answer_twice_is_one_answer_and_another_replaces_it(store, films):
    with store.write() as connection:
        turn = next_task(connection, films, "ann")
        assert submit(connection, films, "ann", turn.task_id, DRAMA) is True
        assert submit(connection, films, "ann", turn.task_id, DRAMA) is False
        assert submit(connection, films, "ann", turn.task_id, WAR) is False
        assert connection.execute(select(answers.c.value)).scalars().all() == [[region(WAR)]]


def test_a_task_that_was_never_leased_is_refused(store, films):
    with store.write() as connection:
        turn = next_task(connection, films, "ann")
        with pytest.raises(ConflictError):
            submit(connection, films, "bob", turn.task_id, DRAMA)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        "Drama",
        {},
        {"choices": []},
        {"choices": ["Drama", "War"]},
        {"choices": [3]},
        {"choices": ["Western"]},
        {"choices": ["Drama"], "more": 1},
        {"choices": "Drama"},
    ],
)
def test_an_answer_that_is_none_is_refused(store, films, value):
    with store.write() as connection:
        turn = next_task(connection, films, "ann")
        with pytest.raises(ParameterError):
            submit(connection, films, "ann", turn.task_id, value)


@pytest.mark.parametrize("task_id", [0, -1, 999, 2**70])
def test_unknown_tasks_are_named(store, films, task_id):
    with store.write() as connection:
        with pytest.raises(UnknownIdError):
            submit(connection, films, "ann", task_id, DRAMA)
        with pytest.raises(UnknownIdError):
            skip(connection, films, "ann", task_id)


def test_what_is_open_is_counted_anew_unless_it_is_much_and_was_counted_just_now(store, make_project):
    now = [0.0]
    recent = Recent(store.engine, lambda: now[0])
    few, many = make_project(title="Few", n=2), make_project(title="Many", n=MANY + 2)
    with store.write() as connection:

        def left(project):
            return progress(connection, project, "ann", recent).remaining

        def answer(project):
            submit(connection, project, "ann", next_task(connection, project, "ann").task_id, DRAMA)
            return left(project)

        assert (left(few), left(many)) == (2, MANY + 2)
        assert (answer(few), answer(many)) == (1, MANY + 2)
        assert progress(connection, many, "ann", recent).mine == 1
        now[0] += 2
        assert (left(many), answer(many)) == (MANY + 1, MANY + 1)
        now[0] += 2
        assert left(many) == MANY
        assert answer(many) == MANY - 1


def test_one_counts_what_is_open_while_the_others_take_the_count_before(store, make_project, monkeypatch):
    now = [0.0]
    recent = Recent(store.engine, lambda: now[0])
    many = make_project(n=MANY + 2)
    count, meanwhile = progress_of.counts, []

    def slowly(connection, project):
        if now[0] and not meanwhile:
            meanwhile.append(0)
            meanwhile[0] = recent.counts(connection, project)[1].slots
        return count(connection, project)

    monkeypatch.setattr(progress_of, "counts", slowly)
    with store.write() as connection:
        assert recent.counts(connection, many)[1].slots == MANY + 2
        submit(connection, many, "ann", next_task(connection, many, "ann").task_id, DRAMA)
        now[0] += 1e6
        assert recent.counts(connection, many)[1].slots == MANY + 1
        assert meanwhile == [MANY + 2]
        now[0] += 1e6
        assert recent.counts(connection, many)[1].slots == MANY + 1


def test_a_skipped_task_goes_to_others_and_comes_back_only_when_asked_for(store, films):
    with store.write() as connection:
        first = next_task(connection, films, "ann")
        skip(connection, films, "ann", first.task_id)
        skip(connection, films, "ann", first.task_id)
        assert next_task(connection, films, "ann").external_id == "film-1"
        assert next_task(connection, films, "bob").task_id == first.task_id
        skip(connection, films, "bob", first.task_id)
        assert progress(connection, films, "ann").skipped == 1
        assert return_skipped(connection, films, "ann") == 1
        held = next_task(connection, films, "ann")
        assert next_task(connection, films, "ann", holding=[held.task_id]).task_id == first.task_id


def test_undo_walks_back_turn_by_turn_and_keeps_what_was_answered(store, films):
    with store.write() as connection:
        for value in (DRAMA, WAR):
            submit(connection, films, "ann", next_task(connection, films, "ann").task_id, value)
        current = next_task(connection, films, "ann")
        back = undo(connection, films, "ann", before=current.task_id)
        assert (back.external_id, back.value) == ("film-1", [region(WAR)])
        further = undo(connection, films, "ann", before=back.task_id)
        assert (further.external_id, further.value) == ("film-0", [region(DRAMA)])
        assert undo(connection, films, "ann", before=further.task_id) is None
        assert submit(connection, films, "ann", back.task_id, DRAMA) is False
        assert progress(connection, films, "ann").answers == 2
        assert next_task(connection, films, "ann").task_id == current.task_id


def test_undo_of_a_skip_leases_the_task_again_unless_it_is_taken(store, films):
    with store.write() as connection:
        first = next_task(connection, films, "ann")
        skip(connection, films, "ann", first.task_id)
        current = next_task(connection, films, "ann")
        assert undo(connection, films, "ann", before=current.task_id).task_id == first.task_id
        assert next_task(connection, films, "ann").task_id == first.task_id
        skip(connection, films, "ann", first.task_id)
        assert next_task(connection, films, "bob").task_id == first.task_id
        with pytest.raises(ConflictError, match="somebody else"):
            undo(connection, films, "ann", before=current.task_id)


def test_skipping_an_answered_task_withdraws_the_answer(store, films):
    with store.write() as connection:
        first = next_task(connection, films, "ann")
        submit(connection, films, "ann", first.task_id, DRAMA)
        skip(connection, films, "ann", first.task_id)
        assert progress(connection, films, "ann").answers == 0
        assert next_task(connection, films, "bob").task_id == first.task_id


def test_nobody_hoards(store, make_project):
    project = make_project(n=MAX_HELD + 5)
    held = []
    with store.write() as connection:
        for _ in range(MAX_HELD):
            held.append(next_task(connection, project, "ann", holding=held).task_id)
        with pytest.raises(ConflictError, match="in your hands"):
            next_task(connection, project, "ann", holding=held)
        assert next_task(connection, project, "ann").task_id == held[0]


def test_the_database_itself_refuses_an_answer_too_many(store, films):
    with store.write() as connection:
        turn = next_task(connection, films, "ann")
        submit(connection, films, "ann", turn.task_id, DRAMA)
        slot = connection.execute(select(slots.c.id).where(slots.c.task_id == turn.task_id)).scalar_one()
    row = {"project_id": films.id, "task_id": turn.task_id, "slot_id": slot, "person": "bob", "value": DRAMA}
    row |= {"created": NOON, "updated": NOON}
    with pytest.raises(ConflictError), store.write() as connection:
        connection.execute(insert(answers), row)
    second = {"project_id": films.id, "task_id": turn.task_id, "number": 1, "position": 0}
    second |= {"state": "leased", "person": "ann", "expires": NOON}
    with pytest.raises(ConflictError), store.write() as connection:
        connection.execute(insert(slots), second)


def work(store, project, person, seed, acknowledged):
    """One person at work until nothing is left: answers, now and then a skip, an undo, a lost lease."""
    draw = random.Random(seed)
    while True:
        with store.write() as connection:
            turn = next_task(connection, project, person, lease=timedelta(seconds=draw.choice((-1, 60, 60, 60))))
        if turn is None:
            return
        chance = draw.random()
        try:
            with store.write() as connection:
                if chance < 0.1:
                    skip(connection, project, person, turn.task_id)
                    continue
                if chance < 0.2:
                    undo(connection, project, person, before=turn.task_id)
            with store.write() as connection:
                submit(connection, project, person, turn.task_id, DRAMA)
            acknowledged.append((turn.task_id, person))
        except ConflictError:
            continue


def test_many_at_once_lose_no_answer_and_never_exceed_the_overlap(store, make_project):
    project = make_project(n=60, overlap=2)
    acknowledged: list[tuple[int, str]] = []
    people = [Thread(target=work, args=(store, project, f"p{i}", i, acknowledged)) for i in range(8)]
    for thread in people:
        thread.start()
    for thread in people:
        thread.join()
    with store.write() as connection:
        stored = [tuple(row) for row in connection.execute(select(answers.c.task_id, answers.c.person))]
        left = next_task(connection, project, "someone-new")
    assert sorted(stored) == sorted(set(acknowledged))
    assert max(Counter(task for task, _ in stored).values()) <= 2
    assert len(stored) == 120 or left is not None


def test_one_person_in_many_tabs_at_once_has_one_turn_after_the_other(store, make_project):
    project = make_project(n=12, overlap=2)
    service = Labeling(store.engine)
    with ThreadPoolExecutor(6) as pool:
        for _ in range(12):
            steps = pool.map(lambda _: service.next_task(project.id, "ann"), range(6))
            held = {step.task.task_id for step in steps if step.task}
            assert len(held) == 1
            task = held.pop()
            new = list(pool.map(lambda task: service.submit(project.id, "ann", task, DRAMA)[1], [task] * 6))
            assert sorted(new) == [False] * 5 + [True]
    assert service.next_task(project.id, "ann").task is None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["next", "answer", "skip", "undo", "wait"]))))
def test_any_order_of_turns_keeps_the_invariants(store, make_project, steps):
    project = make_project(title=f"P{random.random()}", n=4, overlap=2)
    now, hands = NOON, {}
    with store.write() as connection:
        for person, step in steps:
            now += timedelta(minutes=20 if step == "wait" else 1)
            turn = hands.get(person)
            try:
                if step == "next":
                    hands[person] = next_task(connection, project, person, now=now)
                elif step == "undo":
                    hands[person] = undo(connection, project, person, before=turn and turn.task_id, now=now)
                elif turn is not None and step == "answer":
                    submit(connection, project, person, turn.task_id, WAR, now=now)
                elif turn is not None and step == "skip":
                    skip(connection, project, person, turn.task_id, now=now)
            except ConflictError:
                hands[person] = None
        state = progress(connection, project, "a")
        rows = connection.execute(select(slots).where(slots.c.project_id == project.id)).mappings().all()
        filled = connection.execute(select(answers.c.slot_id).where(answers.c.project_id == project.id)).scalars()
    assert sorted(filled) == sorted(row["id"] for row in rows if row["state"] == "answered")
    assert len(rows) == state.needed == 8
    assert state.done + state.remaining == state.tasks == 4


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_postgresql_looks_at_the_first_places_only_and_plans_it_once(store, make_project):
    films = make_project(n=1_500, overlap=3)
    with store.write() as db:
        for who in ("ann", "bob") * 8:
            submit(db, films, who, next_task(db, films, who).task_id, DRAMA)
        known = db.exec_driver_sql("SELECT statement, generic_plans, custom_plans FROM pg_prepared_statements")
        (plans,) = [row[1:] for row in known if "SKIP LOCKED" in row[0]]
        assert plans[0] > plans[1], "those of everybody, and those of one turn each"
        made = compiled_for(leases._TAKE._statement, db.dialect)
        now = datetime.now(UTC)
        values = made.given({"project": films.id, "who": "ann", "now": now, "until": now})
        cursor = db.connection.cursor()
        plan = "\n".join(row[0] for row in cursor.execute(f"EXPLAIN {made.sql}", values))
    assert "ix_slots_open " in plan, plan
    assert not any(word in plan for word in ("Sort", "Join", "Materialize", "Seq Scan on slots")), plan
