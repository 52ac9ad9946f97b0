"""The labeling page as a person meets it: a real server, a real Chromium."""

from __future__ import annotations

import itertools
import json
import re
import urllib.request

import pytest
from playwright.sync_api import expect

from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from palate.store import Accounts
from tests.e2e.people import PASSWORD, sign_in

pytestmark = pytest.mark.browser

LABELS = ("Comedy", "Drama", "War")
NASTY = "<script>window.hit = 1</script><img src=x onerror='window.hit = 1'>"


class Service:
    """A labeling server, and its database beside it."""

    def __init__(self, server, home):
        self.server = server
        self.labeling = Labeling.open(LabelingSettings(home=home).database("labeling"))
        accounts = Accounts(self.labeling.engine)
        accounts.add_person("ann", PASSWORD, ["label", "label:manage"])
        accounts.add_person("bob", PASSWORD, ["label"])
        self.token = accounts.create_key("test", ["label", "label:manage"])[1]
        self.titles = itertools.count(1)


class House:
    """What one test has of it: a project of its own with five films."""

    def __init__(self, service):
        self.server, self.labeling, self.token = service.server, service.labeling, service.token
        self.title = f"Films {next(service.titles)}."
        self.project = self.add(self.title, LABELS, [{"title": f"Film {i}", "text": "A film."} for i in range(5)])

    def add(self, title, labels, data, **more):
        tasks = [NewTask(str(number), each) for number, each in enumerate(data)]
        return self.labeling.create(Definition(title, labels, **more), tasks)[0].id

    @property
    def first(self):
        """The id of the first film's task."""
        return json.loads("".join(self.labeling.export(self.project, "json", every_task=True)))[0]["id"]

    def answers(self, project=None):
        tasks = json.loads("".join(self.labeling.export(project or self.project, "json")))
        return {
            task["data"]["title"]: [each["result"][0]["value"]["choices"][0] for each in task["annotations"]]
            for task in tasks
        }

    def open(self, page, project=None, name="ann"):
        page.goto(f"{self.server.url}/projects/{project or self.project}")
        if "/sign-in" in page.url:
            sign_in(page, name)
        expect(page.locator("#task-title")).not_to_be_empty()


@pytest.fixture(scope="module")
def service(serve, tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    service = Service(serve(["label", "serve", "--port", "{port}"], {"PALATE_HOME": str(home)}), home)
    yield service
    service.labeling.engine.dispose()


@pytest.fixture
def house(service):
    return House(service)


def title(page):
    return page.locator("#task-title")


def answer(page, key, shown):
    """Answers the task of that title with a key and Enter."""
    expect(title(page)).to_have_text(shown)
    page.keyboard.press(key)
    page.keyboard.press("Enter")


def settled(page):
    """Waits until the server has all answers."""
    for _ in range(150):
        # Not wait_for_function: it evaluates a string in the page, which our policy forbids.
        if not page.evaluate("Object.keys(localStorage).some((key) => key.includes('.unsent.'))"):
            return
        page.wait_for_timeout(100)
    raise AssertionError("some answers did not reach the server")


def test_a_task_is_commented_on_without_leaving_it_and_a_comment_begun_goes_with_the_answer(house, page):
    house.labeling.comment(house.project, house.first, "bob", NASTY)
    house.open(page)
    page.locator("#comments summary").click()
    expect(page.locator("#comments li")).to_have_text([f"bob: {NASTY}"])
    page.locator("#comment-text").fill("Which film is this?")
    page.get_by_label("Flag: somebody should look at this task").check()
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#comments li").first).to_have_text("ann: Which film is this? (flagged)")
    page.locator("#comment-text").press_sequentially("1 s u")  # which are commands elsewhere
    expect(title(page)).to_have_text("Film 0")
    title(page).click()
    answer(page, "2", "Film 0")
    expect(title(page)).to_have_text("Film 1")
    expect(page.locator("#comments li")).to_have_count(0)
    expect(page.locator("#status")).to_have_text("Comment sent.")
    said = house.labeling.comments(house.project, task_id=house.first)
    assert [(each.person, each.text, each.flag) for each in said] == [
        ("ann", "1 s u", False),
        ("ann", "Which film is this?", True),
        ("bob", NASTY, False),
    ]
    assert page.evaluate("window.hit") is None


def test_sign_in_leads_to_the_projects_and_their_progress(house, page):
    page.goto(house.server.url)
    expect(page).to_have_url(re.compile("/sign-in"))
    sign_in(page, password="wrong password")
    expect(page.get_by_role("alert")).to_contain_text("wrong")
    sign_in(page)
    expect(page.locator(".project", has_text=house.title)).to_contain_text("0 of 5 done")
    page.get_by_role("link", name=house.title, exact=True).click()
    expect(title(page)).to_have_text("Film 0")


def test_the_keyboard_alone_does_everything(house, page):
    house.open(page)
    answer(page, "1", "Film 0")
    answer(page, "2", "Film 1")
    expect(title(page)).to_have_text("Film 2")
    page.keyboard.press("s")
    expect(title(page)).to_have_text("Film 3")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_label("Comedy")).to_be_checked()
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("Film 4")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    assert house.answers() == {"Film 0": ["Comedy"], "Film 1": ["Drama"], "Film 3": ["Comedy"], "Film 4": ["War"]}
    page.get_by_role("button", name="Take up what I skipped").click()
    expect(title(page)).to_have_text("Film 2")


def test_the_mouse_alone_does_everything(house, page):
    house.open(page)
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    page.get_by_text("Drama", exact=True).click()
    page.get_by_role("button", name="Submit").click()
    expect(title(page)).to_have_text("Film 1")
    page.get_by_role("button", name="Skip").click()
    expect(title(page)).to_have_text("Film 2")
    page.get_by_label("Submit as soon as I choose").check()
    page.get_by_text("War", exact=True).click()
    expect(title(page)).to_have_text("Film 3")
    page.reload()
    expect(title(page)).to_have_text("Film 3")
    expect(page.get_by_label("Submit as soon as I choose")).to_be_checked()
    settled(page)
    assert house.answers() == {"Film 0": ["Drama"], "Film 2": ["War"]}


def test_nothing_is_submitted_unless_it_was_chosen(house, page):
    house.open(page)
    page.keyboard.press("Enter")
    expect(page.get_by_role("status").filter(has_text="Choose a label first.")).to_be_visible()
    expect(title(page)).to_have_text("Film 0")
    assert house.answers() == {}


def test_undo_walks_back_and_the_new_answer_replaces_the_old(house, page):
    house.open(page)
    answer(page, "1", "Film 0")
    answer(page, "2", "Film 1")
    expect(title(page)).to_have_text("Film 2")
    page.keyboard.press("u")
    expect(title(page)).to_have_text("Film 1")
    expect(page.get_by_label("Drama")).to_be_checked()
    page.keyboard.press("u")
    expect(title(page)).to_have_text("Film 0")
    page.keyboard.press("3")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("Film 2")
    settled(page)
    assert house.answers() == {"Film 0": ["War"], "Film 1": ["Drama"]}


def test_progress_is_always_in_view_and_right(house, page):
    house.open(page)
    expect(page.locator("#remaining")).to_have_text("5")
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(page.locator("#remaining")).to_have_text("4")
    expect(page.locator("#done-count")).to_have_text("1")
    expect(page.locator("#mine")).to_have_text("1")
    page.set_viewport_size({"width": 390, "height": 480})
    page.evaluate("scrollTo(0, document.body.scrollHeight)")
    expect(page.locator("#remaining")).to_be_in_viewport()


def test_the_next_task_is_there_before_it_is_asked_for(house, page):
    house.open(page)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("Film 1")


def test_a_turn_is_one_request(house, page):
    house.open(page)
    page.wait_for_load_state("networkidle")
    asked = []
    page.on("request", lambda request: asked.append((request.method, request.url.rpartition("/")[2])))
    answer(page, "1", "Film 0")
    settled(page)
    answer(page, "2", "Film 1")
    settled(page)
    expect(title(page)).to_have_text("Film 2")
    assert asked == [("PUT", "annotation"), ("PUT", "annotation")], "the reply brought the next task"


def test_a_lost_connection_loses_nothing_and_says_so(house, page):
    house.open(page)
    page.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    answer(page, "1", "Film 0")
    answer(page, "2", "Film 1")
    expect(page.get_by_role("alert")).to_contain_text("2 answers are kept on this device")
    assert house.answers() == {}
    page.context.set_offline(False)
    expect(page.get_by_role("alert")).to_be_hidden()
    settled(page)
    assert house.answers() == {"Film 0": ["Comedy"], "Film 1": ["Drama"]}
    expect(title(page)).to_have_text("Film 2")


def test_a_server_that_went_away_and_a_reload_lose_nothing(house, page):
    house.open(page)
    page.wait_for_load_state("networkidle")
    house.server.kill()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("1 answer is kept on this device")
    house.server.start()
    page.reload()
    expect(title(page)).to_have_text("Film 1")
    settled(page)
    assert house.answers() == {"Film 0": ["Drama"]}


def test_a_reload_keeps_the_place_and_the_choice(house, page):
    house.open(page)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("Film 1")
    page.keyboard.press("3")
    page.reload()
    expect(title(page)).to_have_text("Film 1")
    expect(page.get_by_label("War")).to_be_checked()


def test_a_session_that_ended_keeps_the_answers_until_sign_in(house, page):
    house.open(page)
    page.wait_for_load_state("networkidle")
    page.context.clear_cookies()
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("You are signed out")
    page.get_by_role("alert").get_by_role("link", name="Sign in").click()
    sign_in(page)
    expect(title(page)).to_have_text("Film 1")
    settled(page)
    assert house.answers() == {"Film 0": ["Drama"]}


def test_two_people_share_the_work(house, page, new_context):
    house.open(page)
    page.wait_for_load_state("networkidle")
    other = new_context().new_page()
    house.open(other, name="bob")
    expect(other.locator("#task-title")).to_have_text("Film 3")
    expect(title(page)).to_have_text("Film 0")


def test_two_tabs_of_one_person_make_one_answer(house, page):
    house.open(page)
    tab = page.context.new_page()
    house.open(tab)
    expect(title(tab)).to_have_text("Film 0")
    for each, key in ((page, "1"), (tab, "2")):
        each.keyboard.press(key)
        each.keyboard.press("Enter")
        expect(title(each)).not_to_have_text("Film 0")
        settled(each)
    assert house.answers()["Film 0"] == ["Drama"]


def test_scripts_in_titles_labels_and_data_never_run(house, page):
    data = [{"title": NASTY, "text": NASTY, "tags": [NASTY]}, {"title": "harmless"}]
    project = house.add(NASTY, (NASTY, "fine"), data, instructions=NASTY)
    house.open(page, project)
    expect(title(page)).to_have_text(NASTY)
    expect(page.locator("#task-text")).to_have_text(NASTY)
    assert page.locator("main img").count() == 0
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("harmless")
    page.goto(house.server.url)
    expect(page.locator(".project").first).to_contain_text("<script>")
    assert page.evaluate("window.hit") is None


def test_many_labels_have_letters_and_a_filter(house, page):
    project = house.add("Many", tuple(f"Label {i:02}" for i in range(40)), [{"title": f"T{i}"} for i in range(3)])
    house.open(page, project)
    page.keyboard.press("a")
    expect(page.get_by_label("Label 09")).to_be_checked()
    page.keyboard.press("/")
    page.keyboard.type("37")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("T1")
    settled(page)
    assert house.answers(project) == {"T0": ["Label 37"]}


def test_the_export_on_the_page_is_what_was_answered(house, page):
    house.open(page)
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    settled(page)
    page.goto(house.server.url)
    with page.expect_download() as download:
        page.get_by_role("link", name=f"Answers of {house.title} as CSV").click()
    rows = download.value.path().read_text().splitlines()
    assert len(rows) == 2
    assert rows[1].split(",")[1:6] == ["0", "Film 0", "A film.", "Drama", "ann"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_all_without_scrolling_sideways(house, new_context, scheme):
    phone = {"width": 360, "height": 740}
    page = new_context(viewport=phone, has_touch=True, is_mobile=True, color_scheme=scheme).new_page()
    house.open(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    expect(page.get_by_role("button", name="Submit")).to_be_in_viewport()
    page.get_by_text("Drama", exact=True).tap()
    page.get_by_role("button", name="Submit").tap()
    expect(title(page)).to_have_text("Film 1")
    assert len(page.screenshot()) > 5_000


def test_everything_to_operate_has_a_name(house, page):
    house.open(page)
    unnamed = page.evaluate(
        """() => [...document.querySelectorAll("button, a, input, progress, dialog, fieldset")].filter((element) =>
             element.type !== "hidden" && !element.labels?.length && !element.textContent.trim()
             && !element.getAttribute("aria-label") && !element.getAttribute("aria-labelledby")).length"""
    )
    assert unnamed == 0
    expect(page.get_by_role("group", name="Choose one label")).to_be_visible()
    expect(page.get_by_role("progressbar", name="Tasks done")).to_be_attached()
    expect(title(page)).to_be_focused()


def test_an_acknowledged_answer_survives_the_death_of_the_server(house):
    def call(method, path, body):
        request = urllib.request.Request(
            f"{house.server.url}/v1/projects/{house.project}{path}",
            json.dumps(body).encode(),
            {"Authorization": f"Bearer {house.token}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)

    for number in range(3):
        task = call("POST", "/next", {})[1]["task"]
        status, _ = call("PUT", f"/tasks/{task['id']}/annotation", {"value": {"choices": ["War"]}})
        house.server.kill()
        assert status == 201
        house.server.start()
        assert len(house.answers()) == number + 1


def test_every_kind_of_question_has_its_editor(house, page):
    """Several labels, stars, the better of two, a text and marks in a text, each by keyboard; a reload in between."""

    def results(project):
        tasks = json.loads("".join(house.labeling.export(project, "json")))
        return [region["value"] for task in tasks for each in task["annotations"] for region in each["result"]]

    def ask(kind, labels=(), **data):
        project = house.add(f"{house.title} {kind}", labels, [data | {"title": "One"}], kind=kind)
        house.open(page, project)
        return project

    def done(project):
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", name="All done")).to_be_visible()
        settled(page)
        return results(project)

    project = ask("choices", LABELS, text="A film.")
    page.keyboard.press("1")
    page.keyboard.press("3")
    page.reload()
    expect(page.get_by_label("War")).to_be_checked()
    assert done(project) == [{"choices": ["Comedy", "War"]}]

    project = ask("rating", text="A film.")
    page.keyboard.press("4")
    assert done(project) == [{"rating": 4}]

    project = ask("pairwise", left="This one.", right="That one.")
    expect(page.locator("#pair")).to_contain_text("That one.")
    page.keyboard.press("2")
    assert done(project) == [{"selected": "right"}]

    project = ask("text", text="A film.")
    page.keyboard.press("e")
    page.keyboard.type("use a p")
    page.keyboard.press("Escape")
    assert done(project) == [{"text": ["use a p"]}]

    project = ask("spans", ("Name", "Place"), text="\U0001f600 Ada met Bob.")
    select = "(text) => getSelection().setBaseAndExtent(text.firstChild, 3, text.firstChild, 6)"
    page.locator("#task-text").evaluate(select)
    page.keyboard.press("1")
    expect(page.locator("#task-text mark")).to_have_text("Ada")
    page.reload()
    expect(page.get_by_role("button", name="Remove Name: Ada")).to_be_visible()
    assert done(project) == [{"start": 2, "end": 5, "text": "Ada", "labels": ["Name"]}]


def test_a_suggestion_is_shown_and_counts_only_once_it_is_submitted(house, page):
    said = [Prediction(str(number), {"choices": ["War"]}, 0.93) for number in range(2)]
    house.labeling.predict(house.project, "m1", said)
    house.open(page)
    expect(page.locator("#suggestion")).to_contain_text("m1: War, 93 % sure.")
    expect(page.get_by_label("War")).not_to_be_checked()
    expect(page.get_by_role("button", name="Submit")).to_be_disabled()
    page.keyboard.press("p")
    page.keyboard.press("Enter")
    expect(title(page)).to_have_text("Film 1")
    settled(page)
    assert house.answers() == {"Film 0": ["War"]}
