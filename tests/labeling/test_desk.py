"""The pages of those who run a project, as a browser gets them: what they show, what their forms do, who may."""

from __future__ import annotations

import json
import re

import pytest

from labeling.app import create
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.work.process import work_off
from palate.store import Accounts

NASTY = "<script>alert(1)</script>"
PASSWORD = "correct horse battery"


class Browser:
    """One signed-in person."""

    def __init__(self, app, name, scopes):
        self.http = app.test_client()
        Accounts(app.extensions["labeling"].engine).add_person(name, PASSWORD, scopes)
        with self.http.session_transaction() as kept:
            kept["csrf"] = "token"
        form = {"name": name, "password": PASSWORD, "csrf_token": "token"}
        assert self.http.post("/sign-in", data=form).status_code == 303
        with self.http.session_transaction() as kept:
            self.csrf = kept["csrf"]

    def see(self, page, status=200, project=1):
        answer = self.http.get(f"/projects/{project}{page and '/'}{page}", headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        assert NASTY not in answer.text
        assert not re.search(r"\sstyle=|\son\w+=|<script>", answer.text)
        return answer.text

    def do(self, page, status=303, project=1, **form):
        answer = self.http.post(f"/projects/{project}/{page}", data={"csrf_token": self.csrf, **form})
        assert answer.status_code == status, answer.text
        return answer.text


@pytest.fixture
def house(tmp_path):
    settings = LabelingSettings(home=tmp_path)
    app = create(settings)
    service = app.extensions["labeling"]
    tasks = [NewTask(f"t{i}", {"text": f"{'sun sand' if i % 2 else 'ski cold'} {NASTY} {i}"}) for i in range(150)]
    service.create(Definition(f"Films {NASTY}", ("Sea", f"Snow {NASTY}"), overlap=1), tasks)
    yield app, service, lambda: work_off(service.engine, settings)
    service.engine.dispose()


@pytest.fixture
def boss(house):
    return Browser(house[0], "boss", ["label", "label:manage"])


def answer(service, person, most=10_000):
    labels = service.project(1, person)[0].labels
    done = 0
    while done < most and (task := service.next_task(1, person).task) is not None:
        service.submit(1, person, task.task_id, {"choices": [labels[1 - task.position % 2]]}, 2.0)
        done += 1


def test_a_run_is_started_watched_and_undone_on_the_overview(house, boss):
    _, service, work = house
    assert "No answers yet" in boss.see("overview")
    assert "between 0 and 1" in boss.do("overview", 422, do="start", target="7")
    assert "is no number" in boss.do("overview", 422, do="start", target="much")
    boss.do("overview", do="start", target="0.9", check="0.01", model="tfidf", budget="", suggest="on")
    assert "people label the first tasks" in boss.see("overview")
    while service.automation.run(1).run.state == "running":
        work()
        answer(service, "ann")
    page = boss.see("overview")
    assert ">done<" in page
    assert page.count("<svg") == 3  # rounds, time, labels
    assert "Audit: of " in page
    labels = service.automation.run(1).labels
    assert f"<dd>{labels}</dd>" in page
    boss.do("overview", do="withdraw")
    assert f"{labels} are withdrawn" in boss.see("overview")
    boss.do("overview", do="restore")
    assert service.automation.run(1).labels == labels
    assert "nothing to pause" in boss.do("overview", 409, do="pause")
    assert "nothing to do" in boss.do("overview", 422, do="explode")


def test_the_overview_shows_people_agreement_and_consensus(house, boss):
    _, service, work = house
    tasks = [NewTask(f"t{i}", {"text": "x"}) for i in range(4)]
    project = service.create(Definition("Pairs", ("A", "B"), overlap=2), tasks)[0].id
    for person, said in (("ann", "AABB"), ("bob", "AAAB")):
        for label in said:
            task = service.next_task(project, person).task
            service.submit(project, person, task.task_id, {"choices": [label]}, 2.0)
    boss.do("overview", project=2, do="consensus", method="dawid-skene")
    work()
    page = boss.see("overview", project=2)
    assert "By dawid-skene" in page
    assert "75.0 %" in page  # equal answers
    table = re.search(r'<table class="table confusion">.*?</table>', page, re.DOTALL)[0]
    cells = re.findall(r"<td class=\"number (\w+) heat\d\">(\d*)</td>", table)
    assert cells == [("same", "2"), ("other", "1"), ("other", "1"), ("same", "1")]
    boss.do("overview", project=2, do="consolidate")
    assert boss.do("overview", 422, 2, do="consensus", method="best").count('role="alert"') == 1


def test_reviews_are_done_on_their_page(house, boss):
    _, service, _ = house
    assert "Nothing waits" in boss.see("reviews")
    service.change(1, {"review": "open"})
    answer(service, "ann", 3)
    for verdict, more in (("accept", {}), ("correct", {"label": "Sea"}), ("return", {"note": "Again."})):
        page = boss.see("reviews")
        assert "ann said" in page
        review = re.search(r'name="review" value="(\d+)"', page)[1]
        boss.do("reviews", verdict=verdict, review=review, **more)
    assert service.next_task(1, "ann").task.note == "Again."
    assert "Nothing waits" in boss.see("reviews")
    assert 'role="alert"' in boss.do("reviews", 404, verdict="accept", review="99")
    assert 'role="alert"' in boss.do("reviews", 404, verdict="accept", review="x")


def test_members_and_comments_have_their_pages(house, boss):
    _, service, _ = house
    boss.do("members", person="bob", role="reviewer")
    boss.do("members", person=NASTY, role="annotator")
    assert service.members(1) == {NASTY: "annotator", "bob": "reviewer"}
    assert "bob" in boss.see("members")
    assert "is no role" in boss.do("members", 422, person="cy", role="king")
    boss.do("members", do="remove", person=NASTY)
    assert service.members(1) == {"bob": "reviewer"}
    said = service.comment(1, 1, "bob", f"Look {NASTY}", flag=True)
    assert "Look" in boss.see("comments")
    boss.do("comments", comment=str(said.id), do="resolve")
    assert "Look" not in boss.see("comments")
    assert "Look" in boss.see("comments?all=1")
    assert 'role="alert"' in boss.do("comments", 404, comment="99", do="resolve")


def test_who_may(house, boss):
    app, service, _ = house
    bob = Browser(app, "bob", ["label"])
    for page in ("overview", "reviews", "members", "comments"):
        bob.see(page, 403)
        bob.do(page, 403, do="start")
    service.set_members(1, {"bob": "reviewer"})
    assert "Members" not in bob.see("overview")
    bob.see("members", 403)
    bob.do("overview", 403, do="start")
    assert bob.http.post("/projects/1/reviews", data={"verdict": "accept"}).status_code == 403  # no token
    assert 'href="/projects/1/overview"' in bob.see("")
    boss.see("overview", 404, 99)


def test_a_review_shows_the_image_and_the_boxes_that_were_drawn(house, boss):
    service = house[1]
    picture = "data:image/png;base64,iVBORw0KGgo="
    definition = Definition("Boxes", ("Circle", f"Square {NASTY}"), kind="boxes")
    project = service.create(definition, [NewTask("1", {"image": picture})])[0].id
    service.change(project, {"review": "open"})
    task = service.next_task(project, "ann").task
    box = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": [f"Square {NASTY}"]}
    region = {"from_name": "label", "to_name": "image", "type": "rectanglelabels", "value": box}
    service.submit(project, "ann", task.task_id, [region])
    page = boss.see("reviews", project=project)
    assert f'<img src="{picture}"' in page
    assert '<rect x="10" y="20" width="30" height="40">' in page
    assert "ann drew: " in page
    assert f'<p class="shown" dir="auto">{picture}' not in page


def test_deadline_and_budget_are_set_and_shown_on_the_overview(house, boss):
    app, service, _ = house
    assert "There is neither" in boss.see("overview")
    form = {"deadline": "2031-02-03T04:05", "answers": "3", "price": "0.05", "money": "1.5", "hours": "2.5"}
    boss.do("overview", do="bounds", **form)
    page = boss.see("overview")
    assert "Until 2031-02-03 04:05 UTC." in page
    assert "at 0.05 an answer" in page
    assert 'value="2.5"' in page
    assert "until <time" in boss.see("")
    answer(service, "ann", 2)
    service.next_task(1, "bob")
    page = boss.see("overview")
    assert "and 1 task in people" in page
    assert '<td class="number">0.10</td><td class="number">1.50</td>' in page
    assert "no more tasks are handed out" in page
    boss.do("overview", do="bounds", deadline="2021-02-03T04:05", paused="on")
    page = boss.see("overview")
    assert ">over<" in page
    assert ">paused<" in page
    assert "handed out." in page
    boss.do("overview", do="bounds")
    assert "There is neither" in boss.see("overview")
    for wrong in ({"deadline": "soon"}, {"answers": "many"}, {"answers": "nan"}, {"answers": "inf"}, {"price": "1"}):
        assert 'role="alert"' in boss.do("overview", 422, do="bounds", **wrong)
    service.set_members(1, {"bob": "reviewer"})
    Browser(app, "bob", ["label"]).do("overview", 403, do="bounds")


@pytest.mark.parametrize(
    ("kind", "labels", "theirs", "form", "right"),
    [
        ("choice", ("A", "B"), {"choices": ["A"]}, "B", {"choices": ["B"]}),
        ("rating", (), {"rating": 2}, "5", {"rating": 5}),
        ("pairwise", (), {"selected": "left"}, "right", {"selected": "right"}),
        ("text", (), {"text": ["a"]}, "b", {"text": ["b"]}),
    ],
)
def test_a_blind_second_pass_is_done_on_the_page(house, boss, kind, labels, theirs, form, right):
    service = house[1]
    tasks = [NewTask(str(i), {"text": "x", "left": "l", "right": "r"}) for i in range(2)]
    project = service.create(Definition("Second", labels, kind=kind), tasks)[0].id
    service.change(project, {"review": "blind"})
    for _ in tasks:
        service.submit(project, "ann", service.next_task(project, "ann").task.task_id, theirs)
    page = boss.see("reviews", project=project)
    assert "ann" not in page.replace("annotat", "")
    assert " checked" not in page
    review = re.search(r'name="review" value="(\d+)"', page)[1]
    assert 'role="alert"' in boss.do("reviews", 422, project, verdict="answer", review=review)
    boss.do("reviews", project=project, verdict="answer", review=review, label=form)
    exported = "".join(service.export(project, "jsonl"))
    assert [json.loads(line)["annotations"][0]["result"][0]["value"] for line in exported.splitlines()] == [
        right,
        theirs,
    ]


def test_a_run_begins_with_what_an_earlier_project_knows(house, boss):
    service = house[1]
    answer(service, "ann", 5)
    tasks = [NewTask(str(i), {"text": f"sun {i}"}) for i in range(30)]
    project = service.create(Definition("Next", ("Sea", "Snow")), tasks)[0].id
    assert '<option value="1">Films' in boss.see("overview", project=project)
    boss.do("overview", project=project, do="start", model="tfidf", warm_from="1")
    assert service.automation.run(project).run.settings["warm_from"] == 1
