"""Automatic labeling in the service: rounds as jobs, people asked for what was drawn, everything undone again."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa

from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.store.tables import automatic, rounds, runs, slots
from labeling.work.process import work_off
from labeling.work.settings import RunSettings
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store import Jobs, clock, reading, writing
from palate.store.tables import jobs

WORDS = {"Sea": "sun sand beach wave shell", "Snow": "ski cold ice frost sled", "Town": "bus shop crowd lamp street"}
NAMES = tuple(WORDS)
sqlite = pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
"""For what both databases do alike: the tests without it run on both."""
SETTINGS = RunSettings(target=0.9, model="tfidf", seed_items=40)


def films(n, noise=0.0, seed=0):
    """So many texts, each about one of the labels, and their labels; a share of them says nothing."""
    draw = np.random.default_rng(seed)
    truth = [NAMES[int(draw.integers(3))] for _ in range(n)]
    vague = ["it", "was", "a", "day", "like", "any", "other"]
    texts = [
        " ".join(draw.choice(vague if draw.random() < noise else WORDS[name].split(), 4)) + f" {draw.integers(1000)}"
        for name in truth
    ]
    return [NewTask(f"t{i}", {"text": text}) for i, text in enumerate(texts)], truth


class Project:
    """A project, its service, and people who know the truth, but for those tasks at which they are told to err."""

    def __init__(self, service, work, n=150, noise=0.0, overlap=1, title="Films"):
        tasks, self.truth = films(n, noise)
        self.service, self.work = service, work
        self.id = service.create(Definition(title, NAMES, overlap=overlap), tasks)[0].id
        self.suggestions = []

    def start(self, settings=SETTINGS):
        return self.service.automation.start(self.id, settings, "boss")

    @property
    def run(self):
        return self.service.automation.run(self.id)

    @property
    def progress(self):
        return self.service.project(self.id, "ann")[1]

    def answer(self, person="ann", wrong=(), most=10_000):
        """As many answers as there are tasks for the person; the positions they were about."""
        seen = []
        while len(seen) < most and (task := self.service.next_task(self.id, person).task) is not None:
            name = self.truth[task.position]
            if task.position in wrong:
                name = NAMES[(NAMES.index(name) + 1) % 3]
            self.suggestions.append(task.suggestion)
            self.service.submit(self.id, person, task.task_id, {"choices": [name]})
            seen.append(task.position)
        return seen

    def go(self, people=("ann",), wrong=()):
        """Answer and work in turn until the run is over."""
        for _ in range(60):
            self.work()
            if self.run.run.state != "running":
                return self.run
            for person in people:
                self.answer(person, wrong)
        raise AssertionError("the run never ended")


@pytest.fixture
def project(store, work):
    return Project(Labeling(store.engine), work)


def test_a_run_asks_for_what_it_draws_and_labels_the_rest(project):
    project.start()
    project.work()
    first = project.answer()
    assert len(first) == 40
    assert (project.progress.remaining, project.progress.done) == (110, 40)
    ended = project.go()
    assert (ended.run.state, ended.run.phase, ended.run.error) == ("done", "done", None)
    (audit,) = ended.run.audits
    assert audit["passed"]
    assert audit["low"] <= audit["accuracy"] <= audit["high"]
    last = ended.rounds[-1]
    assert (last["round"], last["labeled"]) == (ended.run.round, ended.rounds[0]["labeled"] + len(ended.rounds) - 1)
    assert last["bound"] >= 0.9
    # Nobody was asked about what the model labeled; everything has one label now, nearly all of them right.
    made = project.service.automation.labels(project.id, limit=1000)
    assert (len(made), project.progress.automatic, project.progress.remaining) == (ended.labels, ended.labels, 0)
    assert project.progress.done + ended.labels == 150
    right = [each.label == project.truth[int(each.external_id[1:])] for each in made]
    assert np.mean(right) >= 0.9
    assert {(each.model, each.threshold) for each in made} == {(last["model"], last["threshold"])}
    assert project.answer("bob") == []
    final = list(csv.DictReader(io.StringIO("".join(project.service.export(project.id, "labels")))))
    assert sum(row["source"] == "model" for row in final) == ended.labels
    assert all(row["label"] in NAMES for row in final)
    tasks = json.loads("".join(project.service.export(project.id, "json")))
    only = [task for task in tasks if not task["annotations"]]
    assert len(only) == ended.labels
    assert {task["predictions"][0]["model_version"] for task in only} == {last["model"]}


@sqlite
def test_people_see_what_the_model_says_but_not_in_the_audit(store, work):
    project = Project(Labeling(store.engine), work, 150, noise=0.3)
    project.start(RunSettings(target=0.75, model="tfidf", seed_items=40))
    while (state := project.run.run).state == "running":
        project.work()
        state = project.run.run
        project.suggestions.clear()
        asked = project.answer(most=1)
        if not asked:
            break
        project.answer()
        seen = {None if each is None else each.model for each in project.suggestions}
        assert len(seen) == 1
        model = seen.pop()
        expected = state.phase == "rounds" and state.round > 0
        assert model == (project.run.rounds[-1]["model"] if expected else None)
        if expected:  # the least sure come first
            scores = [each.score for each in project.suggestions]
            assert scores == sorted(scores)
    assert project.run.run.audits


@sqlite
def test_a_budget_is_kept_and_the_rest_can_be_given_back_to_people(store, work):
    project = Project(Labeling(store.engine), work, 120, noise=0.9)
    project.start(RunSettings(target=0.95, model="tfidf", seed_items=30, budget=60))
    ended = project.go()
    assert ended.run.state == "done"
    assert len(project.answer()) == 0
    assert 30 <= project.progress.answers <= 60
    left = project.progress.remaining
    assert left > 50
    project.service.automation.act(project.id, "stop")
    project.work()
    assert project.run.run.state == "stopped"
    assert len(project.answer()) == left


@sqlite
def test_labels_of_a_model_are_mapped_like_answers(project):
    project.start()
    project.go()
    made = [each.label for each in project.service.automation.labels(project.id, limit=1000)]
    with pytest.raises(ConflictError, match="use labels that would be gone"):
        project.service.relabel(project.id, labels=("Snow", "Town"))
    project.service.relabel(project.id, labels=("Ocean", "Snow", "Town"), mapping={"label": {"Sea": "Ocean"}})
    after = [each.label for each in project.service.automation.labels(project.id, limit=1000)]
    assert after == ["Ocean" if label == "Sea" else label for label in made]
    assert "Ocean" in after


def test_a_run_can_be_paused_stopped_and_its_labels_withdrawn(project):
    project.start()
    project.work()
    project.answer(most=10)
    assert project.service.automation.act(project.id, "pause").run.state == "paused"
    project.answer()
    project.work()
    assert project.run.run.step == 1  # nothing is decided while it is paused
    with pytest.raises(ConflictError, match="provisional"):
        project.service.automation.withdraw(project.id)
    project.service.automation.act(project.id, "resume")
    project.work()
    assert project.run.run.step == 2
    labels = project.run.labels
    assert labels > 80
    project.service.automation.act(project.id, "stop")
    for refused in (project.service.automation.withdraw, project.service.automation.restore):
        with pytest.raises(ConflictError, match=r"is stopping: .* Try again once its state is stopped"):
            refused(project.id)
    with pytest.raises(ConflictError, match="is stopping"):
        project.start()
    project.work()
    assert (project.run.run.state, project.run.labels, project.progress.automatic) == ("stopped", labels, labels)
    assert project.service.automation.withdraw(project.id) == labels
    assert project.progress.automatic == 0
    assert "model" not in "".join(project.service.export(project.id, "labels", every_task=True)).partition("\n")[2]
    taken = project.service.next_task(project.id, "bob").task  # people are asked for them now
    least = min(project.service.automation.labels(project.id, limit=1000), key=lambda each: each.confidence)
    assert taken.task_id == least.task_id
    assert project.service.automation.restore(project.id) == labels - 1
    assert project.answer("cy") == []
    one = project.service.automation.labels(project.id, limit=2)[-1]
    assert project.service.automation.withdraw(project.id, [one.task_id]) == 1
    assert len(project.answer("cy")) == 1


@sqlite
def test_what_people_did_before_trains_and_is_no_evidence(project, store):
    before = project.answer("ann", most=15)
    held = project.service.next_task(project.id, "bob").task
    project.start(RunSettings(target=0.9, model="tfidf", seed_items=40, budget=120))
    project.work()
    project.service.submit(project.id, "bob", held.task_id, {"choices": [project.truth[held.position]]})
    asked = project.answer()
    assert not set(before) & set(asked)
    project.work()
    assert project.run.rounds[0]["labeled"] == len(before) + 1 + len(asked)
    with reading(store.engine) as db:
        kept = np.load(io.BytesIO(db.execute(sa.select(runs.c.arrays)).scalar_one()), allow_pickle=False)
    assert set(np.flatnonzero(kept["survival"] == 0)) == {*before, held.position}


@sqlite
def test_several_people_per_task_and_their_doubtful_answers(store, work):
    project = Project(Labeling(store.engine), work, 90, overlap=2)
    project.start()
    project.work()
    seed = project.answer("ann")
    wrong = seed[:4]
    project.answer("bob", wrong)
    project.work()
    assert project.run.rounds[0]["labeled"] == len(seed)
    assert project.run.rounds[0]["answers"] == 2 * len(seed)
    ended = project.go(("ann", "bob"))
    assert ended.run.state == "done"


@sqlite
def test_doubtful_human_labels_go_to_review(project):
    project.start()
    project.work()
    wrong = project.answer(most=3)[:1]
    task = project.service.undo(project.id, "ann").task
    while task.position != wrong[0]:
        task = project.service.undo(project.id, "ann", before=task.task_id).task
    other = NAMES[(NAMES.index(project.truth[wrong[0]]) + 1) % 3]
    project.service.submit(project.id, "ann", task.task_id, {"choices": [other]})
    ended = project.go()
    assert ended.run.state == "done"
    assert project.progress.to_review >= 1
    found = []
    while (review := project.service.next_review(project.id, "rob")[1]) is not None:
        true = project.truth[int(review.external_id[1:])]
        project.service.judge(project.id, "rob", review.id, "correct", value={"choices": [true]})
        found.append(review.external_id)
    assert f"t{wrong[0]}" in found
    assert project.progress.to_review == 0


@sqlite
def test_a_later_run_takes_the_place_of_an_earlier_one_and_may_start_warm(store, work):
    service = Labeling(store.engine)
    first = Project(service, work, 90)
    first.start()
    first.go()
    again = first.start()
    assert first.progress.automatic == 0
    assert first.run.run.id == again.run.id
    assert first.go().run.state == "done"
    assert first.progress.remaining == 0
    warm = Project(service, work, 90, title="More films")
    warm.start(RunSettings(target=0.9, model="tfidf", seed_items=30, warm_from=first.id))
    assert warm.go().rounds[-1]["model"].startswith("warm ")


@sqlite
def test_bad_input_is_refused(project, store, work):
    service = project.service
    for wrong in ({"target": 1.0}, {"confidence": 0.0}, {"budget": 0}, {"check": 2.0}, {"model": "gpt"}, {"seed": -1}):
        with pytest.raises(ParameterError):
            RunSettings(**wrong)
    with pytest.raises(UnknownIdError, match="no automatic labels"):
        service.automation.run(project.id)
    with pytest.raises(ParameterError, match="does not pay"):
        project.start(RunSettings(budget=10))
    with pytest.raises(UnknownIdError):
        project.start(RunSettings(warm_from=99))
    few = service.create(Definition("Few", NAMES), films(5)[0])[0]
    rating = service.create(Definition("Stars", kind="rating"), films(50)[0])[0]
    for other, said in ((few, "has 5 tasks"), (rating, "which of several labels fit")):
        with pytest.raises(ParameterError, match=said):
            service.automation.start(other.id, SETTINGS, "boss")
    project.start()
    with pytest.raises(ConflictError, match="is running"):
        project.start()
    with pytest.raises(ConflictError, match="nothing to resume"):
        service.automation.act(project.id, "resume")
    with pytest.raises(ParameterError):
        service.automation.act(project.id, "explode")
    project.work()
    project.answer()
    service.relabel(project.id, labels=(*NAMES, "Sky"))
    project.work()
    project.work()  # what failed is noticed at the next look
    assert project.run.run.state == "failed"
    assert "changed since the run began" in project.run.run.error
    service.automation.act(project.id, "stop")
    project.work()
    assert project.answer(most=1)


@sqlite
def test_tasks_that_all_skip_pause_the_run(project):
    project.start()
    project.work()
    while (task := project.service.next_task(project.id, "ann").task) is not None:
        project.service.skip(project.id, "ann", task.task_id)
    project.work()
    assert (project.run.run.state, project.run.run.error) == ("paused", "Everybody skipped all that was asked.")


@sqlite
def test_tasks_that_somebody_skips_stay_with_people_and_keep_no_run_from_its_end(store, work):
    project = Project(Labeling(store.engine), work, noise=0.12)
    project.start()
    skipped = set()
    for _ in range(60):
        project.work()
        run = project.run
        if run.run.state != "running":
            break
        while run.run.phase == "rounds" and (task := project.service.next_task(project.id, "ann").task) is not None:
            project.service.skip(project.id, "ann", task.task_id, "It is cut off.")
            skipped.add(task.task_id)
            if not run.labels:  # one each time; and once a model labels, all that is still asked for
                break
        project.answer()
    assert (run.run.state, run.run.error, run.run.audits[-1]["passed"]) == ("done", None, True)
    labeled = {label.task_id for label in project.service.automation.labels(project.id, limit=1000)}
    assert labeled
    assert not labeled & skipped
    assert project.progress.remaining == len(skipped) > 3
    assert len(project.answer("bob")) == len(skipped)  # who has skipped none of them may still answer
    assert project.progress.remaining == 0


@sqlite
def test_an_audit_goes_on_without_the_task_that_somebody_skips(project):
    project.start()
    project.work()
    while project.run.run.phase != "audit":
        project.answer()
        project.work()
    asked = project.service.next_task(project.id, "ann").task
    project.service.skip(project.id, "ann", asked.task_id)
    ended = project.go()
    assert (ended.run.state, ended.run.audits[-1]["passed"]) == ("done", True)
    labeled = {label.task_id for label in project.service.automation.labels(project.id, limit=1000)}
    assert asked.task_id in labeled


WORKER = """
from labeling.work import process
process.POLL, process.NICE = 0.05, 0
process.main()
"""


def test_a_worker_killed_in_mid_round_leaves_no_half_round(tmp_path):
    """Killed at any moment, it is taken up again and comes to what an undisturbed run came to."""
    outcomes = {}
    for name, kills in (("calm", 0), ("rough", 2)):
        home = tmp_path / name
        settings = LabelingSettings(home=home)
        service = Labeling.open(settings.database("labeling"))
        project = Project(service, lambda s=service, t=settings: work_off(s.engine, t), 150, noise=0.05)
        project.start(RunSettings(target=0.9, model="tfidf", seed_items=40))
        draw = random.Random(1)
        while project.run.run.state == "running":
            if kills:
                _killed(service, home, draw)
                kills -= 1
                _whole(service)
                with writing(service.engine) as db:  # its lease is over at once, so that nobody has to wait
                    past = clock(db) - timedelta(hours=1)
                    db.execute(sa.update(jobs).where(jobs.c.state == "running").values(lease_until=past))
            project.work()
            project.answer()
        assert project.run.run.error is None
        outcomes[name] = [
            (each.external_id, each.label, each.confidence, each.model)
            for each in service.automation.labels(project.id, limit=1000)
        ]
        service.engine.dispose()
    assert len(outcomes["calm"]) > 50
    assert outcomes["rough"] == outcomes["calm"]


def _killed(service, home, draw):
    """Start a worker and kill it at some moment of a job."""
    environment = os.environ | {"PALATE_HOME": str(home), "PALATE_LOG_LEVEL": "ERROR"}
    process = subprocess.Popen([sys.executable, "-c", WORKER], env=environment)
    try:
        deadline = time.monotonic() + 120
        while not Jobs(service.engine).list(state="running") and time.monotonic() < deadline:
            if service.automation.run(1).run.step and not Jobs(service.engine).list(state="queued"):
                break  # it was faster than we look
            time.sleep(0.005)
        time.sleep(draw.uniform(0, 0.3))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def _whole(service):
    """What is seen belongs together: a round that counts has all its labels, and whom it asks."""
    state = service.automation.run(1)
    with reading(service.engine) as db:
        count = sa.select(sa.func.count()).select_from(automatic).where(automatic.c.round == state.run.round)
        noted = db.execute(sa.select(rounds.c.automatic).where(rounds.c.round == state.run.round)).scalar()
        if state.run.phase != "done":
            assert db.execute(count).scalar_one() == (noted or 0)
        asked = db.execute(sa.select(sa.func.count()).select_from(slots).where(~slots.c.withheld)).scalar_one()
    assert len(state.rounds) == state.run.round
    assert state.run.step > 0 or asked in (0, 150)  # nothing is asked yet; tasks may have been kept back


@sqlite
def test_the_queue_is_looked_up_in_its_index_whatever_is_withheld(project):
    """SQLite takes a partial index only for a query in the same words: a scan would cost as much as there are tasks."""
    project.start()
    project.work()
    asked = []

    @sa.event.listens_for(project.service.engine, "before_cursor_execute")
    def note(connection, cursor, statement, parameters, context, many):
        if "slots" in statement or "annotations" in statement:
            asked.append((statement, parameters))

    project.service.next_task(project.id, "zoe")
    project.service.next_review(project.id, "zoe")
    sa.event.remove(project.service.engine, "before_cursor_execute", note)
    with reading(project.service.engine) as db:
        plans = [row[3] for each in asked for row in db.exec_driver_sql("EXPLAIN QUERY PLAN " + each[0], each[1])]
    used = {index for index in ("ix_slots_open", "ix_slots_withheld", "ix_annotations_suspect") if index in str(plans)}
    assert used == {"ix_slots_open", "ix_slots_withheld", "ix_annotations_suspect"}
    assert [plan for plan in plans if plan.startswith(("SCAN slots", "SCAN annotations"))] == []
