"""What comes from Label Studio: each case of what may have happened on either side since both were alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from labeling.label_studio import ledger
from labeling.label_studio.answers import name_for, withdraw_answer
from labeling.label_studio.ledger import digest
from labeling.label_studio.pull import Pull, region_mark
from labeling.label_studio.remote import RemoteAnnotation, RemotePrediction, RemoteTask
from labeling.label_studio.report import Report
from labeling.label_studio.server import Server
from labeling.label_studio.sync import synchronise
from labeling.queue import leases, turns
from labeling.store import projects, remarks
from labeling.store.tables import answers, metadata, predictions, slots
from palate.errors import ConflictError, RemoteError
from palate.store.migrate import differences

on_sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""The other database is tried where locks or constraints come in."""
PEOPLE = {1: "ada@example.org", 2: "bob@example.org"}
ADA, BOB = PEOPLE[1], PEOPLE[2]


def choice(label, **more):
    return [{"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [label]}, **more}]


def annotation(number, label, user=1, **more):
    return RemoteAnnotation(number, user, choice(label, **more), 1.5)


class Sides:
    """A project here, and what Label Studio says of its tasks; `pull` takes in what is said now."""

    def __init__(self, store, project):
        self.store, self.project = store, project
        data = {"title": "Film 0"}
        self.task = RemoteTask(70, data, {"external_id": "film-0"}, "2026-01-01T00:00:00.000000Z")

    def say(self, *annotations, **more):
        self.task = replace(self.task, annotations=list(annotations), **more)

    def pull(self, *others):
        report = Report()
        with self.store.write() as db:
            Pull(db, projects.get(db, self.project.id), PEOPLE, 1, report).page([self.task, *others])
        return report

    def answers(self):
        with self.store.read() as db:
            rows = db.execute(answers.select().order_by(answers.c.person)).all()
        return {row.person: row.value[0]["value"]["choices"][0] for row in rows}

    def answer(self, person, label):
        """Somebody answers the first task here, or changes their answer."""
        with self.store.write() as db:
            if person in self.answers():
                value = choice(label)
                db.execute(answers.update().where(answers.c.person == person).values(value=value))
            else:
                turn = leases.next_task(db, self.project, person)
                turns.submit(db, self.project, person, turn.task_id, {"choices": [label]})

    def pairs(self):
        with self.store.read() as db:
            (found,) = ledger.pairs_of(db, [ledger.our_tasks(db, self.project, [70])[70].id]).values()
        return {pair.person: pair.remote_id for pair in found}


@pytest.fixture
def sides(store, make_project):
    return Sides(store, make_project(n=2, overlap=1))


def test_the_tables_are_as_their_history_makes_them(store):
    assert differences(store.engine, metadata) == []


@on_sqlite
def test_an_annotation_comes_once(sides):
    sides.say(annotation(7, "Drama", id="x1"))
    assert (sides.pull().answers_in, sides.answers()) == (1, {ADA: "Drama"})
    assert sides.pull() == Report()
    assert sides.pairs() == {ADA: 7}


@on_sqlite
def test_a_change_there_changes_it_here_and_it_waits_for_a_review_again(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    with sides.store.write() as db:
        db.execute(answers.update().values(verdict="accepted", reviewer="eve"))
    sides.say(annotation(7, "War"))
    assert (sides.pull().answers_in, sides.answers()) == (1, {ADA: "War"})
    with sides.store.read() as db:
        assert db.execute(answers.select()).one().verdict is None
    assert sides.pull() == Report()


@on_sqlite
def test_a_change_here_is_left_alone(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    sides.answer(ADA, "War")
    assert (sides.pull(), sides.answers()) == (Report(), {ADA: "War"})


def test_a_change_on_both_sides_keeps_both_and_says_so(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    sides.answer(ADA, "War")
    sides.say(annotation(7, "Comedy"))
    report = sides.pull()
    assert (report.conflicts_found, report.answers_in) == (1, 1)
    assert "'film-0'" in report.conflicts[0]
    assert sides.answers() == {ADA: "War", f"{ADA} (Label Studio)": "Comedy"}
    assert sides.pairs() == {f"{ADA} (Label Studio)": 7}  # ours has none now: it is sent as another annotation
    with sides.store.read() as db:
        (flag,) = remarks.listed(db, sides.project, flag=True, resolved=False)
    assert "changed on both sides" in flag.text
    assert sides.pull() == Report()


@on_sqlite
def test_the_same_change_on_both_sides_is_none(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    sides.answer(ADA, "War")
    sides.say(annotation(7, "War", id="made-there"))
    assert sides.pull() == Report()
    assert sides.pull() == Report()
    assert sides.answers() == {ADA: "War"}


@on_sqlite
def test_what_is_deleted_there_is_withdrawn_here_and_its_place_is_free_again(sides):
    sides.say(annotation(7, "Drama"), annotation(8, "War", user=2))
    sides.pull()
    sides.say(annotation(8, "War", user=2))
    assert (sides.pull().withdrawn_in, sides.answers()) == (1, {BOB: "War"})
    with sides.store.read() as db:
        assert db.execute(slots.select().where(slots.c.state == "free")).all() != []
    sides.say()
    assert (sides.pull().withdrawn_in, sides.answers()) == (1, {})
    with sides.store.read() as db:  # the place that was one more than the overlap is gone with its answer
        assert [row.state for row in db.execute(slots.select())] == ["free", "free"]
    assert sides.pull() == Report()


@on_sqlite
def test_a_change_here_wins_over_a_deletion_there(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    sides.answer(ADA, "War")
    sides.say()
    report = sides.pull()
    assert (report.conflicts_found, report.withdrawn_in) == (1, 0)
    assert (sides.answers(), sides.pairs()) == ({ADA: "War"}, {})


@on_sqlite
def test_a_change_there_wins_over_a_withdrawal_here(sides):
    sides.say(annotation(7, "Drama"))
    sides.pull()
    with sides.store.write() as db:
        task = ledger.our_tasks(db, sides.project, [70])[70]
        withdraw_answer(db, sides.project, task.id, ADA)
    assert (sides.pull(), sides.answers()) == (Report(), {})
    sides.say(annotation(7, "War"))
    report = sides.pull()
    assert (report.conflicts_found, sides.answers(), sides.pairs()) == (1, {ADA: "War"}, {ADA: 7})


@on_sqlite
def test_somebody_who_answered_on_both_sides(sides):
    sides.answer(ADA, "Drama")
    sides.say(annotation(7, "Drama", id="x"))
    assert (sides.pull(), sides.pairs()) == (Report(), {ADA: 7})
    sides.say(annotation(7, "Drama", id="x"), annotation(9, "War"))
    report = sides.pull()
    assert (report.answers_in, report.conflicts_found) == (1, 0)  # there, one may answer twice
    assert sides.answers() == {ADA: "Drama", f"{ADA} (Label Studio)": "War"}


@on_sqlite
def test_somebody_who_said_other_things_on_both_sides(sides):
    sides.answer(ADA, "Drama")
    sides.say(annotation(7, "War"))
    report = sides.pull()
    assert (report.answers_in, report.conflicts_found) == (1, 1)
    assert sides.answers() == {ADA: "Drama", f"{ADA} (Label Studio)": "War"}
    assert sides.pull() == Report()


@on_sqlite
def test_more_answers_than_the_overlap_all_come(sides):
    sides.say(*(annotation(number, "War", user) for number, user in ((7, 1), (8, 2), (9, 3))))
    assert sides.pull().answers_in == 3
    assert sides.answers() == {ADA: "War", BOB: "War", "label-studio:3": "War"}
    with sides.store.write() as db:  # and the other task is the only one left to do
        assert leases.next_task(db, sides.project, "cy").external_id == "film-1"
        assert leases.next_task(db, sides.project, "dee") is None


@on_sqlite
def test_what_was_sent_without_an_answer_is_known_again(sides):
    sides.say()
    sides.pull()
    sides.answer(ADA, "Drama")
    with sides.store.write() as db:
        task = ledger.our_tasks(db, sides.project, [70])[70]
        pair = ledger.add_pair(db, sides.project, task.id, ADA, None, digest(choice("Drama")), "")
        sent = choice("Drama", id=f"{region_mark(pair)}0")
        ledger.set_pair(db, pair, remote_digest=digest(sent))
    sides.say(annotation(8, "Drama", user=2))  # somebody else's, which says the same
    assert (sides.pull().answers_in, sides.pairs()[ADA]) == (1, None)
    sides.say(annotation(8, "Drama", user=2), RemoteAnnotation(7, 1, sent, None))
    assert (sides.pull(), sides.pairs()) == (Report(), {ADA: 7, BOB: 8})


@on_sqlite
def test_what_does_not_fit_is_told_once_and_keeps_nothing_else_back(sides):
    empty = RemoteTask(71, {"title": 9, "long": "x" * 100_001}, {}, "2026-01-01T00:00:01.000000Z")
    sides.say(annotation(7, "Western"), annotation(8, "War", user=2))
    report = sides.pull(empty)
    assert (report.refused_found, report.answers_in, sides.answers()) == (2, 1, {BOB: "War"})
    assert any("'Western' is no label of this project" in each for each in report.refused)
    assert any("task 71 there" in each for each in report.refused)
    assert sides.pull() == Report()
    sides.say(annotation(7, "Drama"), annotation(8, "War", user=2))
    assert (sides.pull().answers_in, sides.answers()) == (1, {ADA: "Drama", BOB: "War"})


@on_sqlite
def test_tasks_of_theirs_come_under_names_that_nothing_here_has(sides):
    new = RemoteTask(80, {"title": "New"}, {}, "2026-01-01T00:00:02.000000Z")
    twin = RemoteTask(81, {"title": "Twin"}, {"external_id": "film-0"}, "2026-01-01T00:00:03.000000Z")
    assert sides.pull(new, twin).tasks_in == 2
    with sides.store.read() as db:
        ours = ledger.our_tasks(db, sides.project, [70, 80, 81])
    names = {number: task.external_id for number, task in ours.items()}
    assert names == {70: "film-0", 80: "label-studio:80", 81: "label-studio:81"}
    assert sides.pull(new, twin) == Report()


@on_sqlite
def test_their_prediction_comes_where_there_is_none_and_is_not_sent_back(sides):
    said = [RemotePrediction(1, choice("War"), 0.5, "m1"), RemotePrediction(2, choice("Drama"), 0.7, "m2")]
    said.append(RemotePrediction(3, choice("Drama"), None, "without a score"))
    sides.say(predictions=said)
    assert sides.pull().predictions_in == 1
    with sides.store.read() as db:
        kept = db.execute(predictions.select()).one()
    assert (kept.value, kept.score, kept.model) == (choice("Drama"), 0.7, "m2")
    sides.say(predictions=[RemotePrediction(4, choice("Comedy"), 0.9, "m3")])
    assert sides.pull() == Report()  # ours stays


def test_one_synchronisation_at_a_time(sides):
    with sides.store.write() as db:
        ledger.make_link(db, sides.project.id, "http://studio", 1)
        ledger.hold(db, sides.project.id, "one")
        ledger.hold(db, sides.project.id, "one")
        with pytest.raises(ConflictError, match="already"):
            ledger.hold(db, sides.project.id, "two")
        ledger.let_go(db, sides.project.id, "two")
        with pytest.raises(ConflictError):
            ledger.hold(db, sides.project.id, "two")
        ledger.let_go(db, sides.project.id, "one")
        ledger.hold(db, sides.project.id, "two")


@on_sqlite
def test_a_project_is_linked_with_one_other(sides, make_project):
    other = make_project(title="Other")
    with sides.store.write() as db:
        made = ledger.make_link(db, sides.project.id, "http://studio", 1)
        assert ledger.make_link(db, sides.project.id, "http://studio", None) == made
        for project, url, remote in (
            (sides.project, "http://else", 1),
            (sides.project, "http://studio", 2),
            (other, "http://studio", 1),
        ):
            with pytest.raises(ConflictError, match="is linked with"):
                ledger.make_link(db, project.id, url, remote)


@on_sqlite
@pytest.mark.parametrize("remote", [None, 1])
def test_an_address_where_nobody_answers_is_not_kept(sides, remote):
    server = Server("http://127.0.0.1:1", "0123456789abcdef")
    with pytest.raises(RemoteError, match="cannot be reached"):
        synchronise(sides.store.engine, server, sides.project.id, remote_id=remote)
    with sides.store.read() as db:
        assert ledger.link(db, sides.project.id) is None
    server.close()


def test_names_of_people_fit():
    long = "x" * 220
    assert name_for(long, []) == long
    once = name_for(long, [long])
    assert (len(once), once.endswith(" (Label Studio)")) == (220, True)
    assert name_for(long, [long, once]).endswith(" (Label Studio 2)")
