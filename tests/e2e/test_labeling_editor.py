"""Boxes in our own editor, and Label Studio's editor for what ours cannot ask: a real server, a real Chromium."""

from __future__ import annotations

import base64
import io
import json
import re
import socket

import pytest
from PIL import Image, ImageDraw
from playwright.sync_api import expect

from labeling import editor
from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from labeling.store.forecasts import Prediction
from labeling.work.images import import_pictures, in_folder
from palate.store import Accounts
from tests.e2e.people import PASSWORD, sign_in

pytestmark = pytest.mark.browser

BOXES = """<View>
  <Image name="image" value="$image"/>
  <RectangleLabels name="shape" toName="image"><Label value="Circle"/><Label value="Square"/></RectangleLabels>
  <Choices name="sharp" toName="image" required="true"><Choice value="Yes"/><Choice value="No"/></Choices>
</View>"""
HOSTILE = """<View>
  <Header value="$title"/>
  <HyperText name="page" value="$page"/>
  <Choices name="c" toName="page"><Choice value="A"/><Choice value="B" hint="&lt;img src=x onerror=a&gt;"/></Choices>
  <TextArea name="n" toName="page"/>
</View>"""
NASTY = "<script>parent.hit = window.hit = 1</script><img src=x onerror='parent.hit = window.hit = 1'>"


def picture():
    image = Image.new("RGB", (400, 260), (240, 240, 230))
    ImageDraw.Draw(image).ellipse((50, 60, 150, 160), fill=(200, 60, 60))
    file = io.BytesIO()
    image.save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@pytest.fixture(scope="module")
def house(serve, tmp_path_factory):
    """A server, its store, and projects that only Label Studio's editor can show."""
    home = tmp_path_factory.mktemp("home")
    server = serve(["label", "serve", "--port", "{port}", "--jobs", "0"], {"PALATE_HOME": str(home)})
    service = Labeling.open(LabelingSettings(home=home).database("labeling"))
    accounts = Accounts(service.engine)
    accounts.add_person("ann", PASSWORD, ["label", "label:manage"])
    accounts.add_person("bob", PASSWORD, ["label"])
    yield server, service
    service.engine.dispose()


@pytest.fixture
def fetched():
    """Skips where nobody has fetched the editor."""
    if not editor.is_here(LabelingSettings.read().cache):
        pytest.skip(f"needs Label Studio's editor: {editor.COMMAND}")


def open_project(page, server, project, name="ann"):
    page.goto(f"{server.url}/projects/{project}")
    if "/sign-in" in page.url:
        sign_in(page, name)


def shown(page, task):
    """Waits until the editor shows a task; the frame it is in."""
    expect(page.locator("#foreign")).to_have_attribute("data-shown", str(task))
    return page.frame_locator("#foreign")


def add(service, title, config, data):
    tasks = [NewTask(str(number), each) for number, each in enumerate(data)]
    project = service.create(Definition(title, config=config), tasks)[0]
    exported = json.loads("".join(service.export(project.id, "json", every_task=True)))
    return project.id, [task["id"] for task in exported]


def answers(service, project):
    exported = json.loads("".join(service.export(project, "json")))
    return {task["id"]: [each["result"] for each in task["annotations"]] for task in exported}


def draw(page, inside):
    """Draws a box with the mouse over a part of the image."""
    canvas = inside.locator("canvas").first.bounding_box()
    page.mouse.move(canvas["x"] + 20, canvas["y"] + 20)
    page.mouse.down()
    page.mouse.move(canvas["x"] + 60, canvas["y"] + 50, steps=4)
    page.mouse.move(canvas["x"] + 100, canvas["y"] + 80, steps=4)
    page.mouse.up()


def stored(page, service, project, count):
    """Waits until so many tasks are answered."""
    for _ in range(100):
        if len(found := answers(service, project)) >= count:
            return found
        page.wait_for_timeout(100)
    raise AssertionError(f"{count} answers were expected, there are {len(found)}")


def test_boxes_are_drawn_moved_resized_and_deleted(house, page, tmp_path):
    server, service = house
    project = service.create(Definition("Boxes", ("Circle", "Square"), kind="boxes"))[0].id
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(base64.b64decode(picture().partition(",")[2]))
    import_pictures(service.engine, project, in_folder(tmp_path), lambda *_: None)
    open_project(page, server, project)
    image = page.locator("#stage img")
    expect(image).to_have_js_property("naturalWidth", 400)
    area = image.bounding_box()

    def at(x, y):
        return area["x"] + x * area["width"] / 100, area["y"] + y * area["height"] / 100

    def drag(start, end):
        page.mouse.move(*at(*start))
        page.mouse.down()
        page.mouse.move(*at(*end), steps=4)
        page.mouse.up()

    marks = page.locator("#marks li")
    drag((10, 20), (40, 60))
    expect(marks).to_have_text([re.compile("Circle: 30 × 40 %")])
    tag, box = page.locator(".box span").bounding_box(), page.locator(".box").bounding_box()
    assert tag["y"] + tag["height"] <= box["y"]  # there is room above: it hides nothing of what is in the box
    page.keyboard.press("2")  # the box in hand
    expect(marks).to_have_text([re.compile("Square: 30 × 40 %")])
    drag((40, 60), (50, 70))  # its corner
    expect(marks).to_have_text([re.compile("Square: 40 × 50 %")])
    drag((30, 45), (35, 45))  # its middle
    for _ in range(2):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    page.keyboard.press("1")
    drag((70, 70), (95, 95))
    expect(marks).to_have_count(2)
    page.keyboard.press("Backspace")
    expect(marks).to_have_count(1)
    page.keyboard.press("Control+z")
    expect(marks).to_have_count(2)
    page.mouse.click(*at(99, 1))  # nowhere: lets go, and draws nothing
    expect(marks).to_have_count(2)
    page.reload()  # loses nothing
    expect(marks).to_have_count(2)
    page.locator(".box").nth(1).focus()
    page.keyboard.press("Delete")
    expect(marks).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#task-title")).to_have_text("b.png")
    page.keyboard.press("Enter")  # nothing on it, which is an answer, too
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    [[box]], [nothing] = stored(page, service, project, 2).values()
    assert nothing == []
    assert (box["type"], box["to_name"], box["original_width"]) == ("rectanglelabels", "image", 400)
    assert box["value"]["rectanglelabels"] == ["Square"]
    sides = {name: round(box["value"][name]) for name in ("x", "y", "width", "height")}
    assert sides == {"x": 15, "y": 21, "width": 40, "height": 50}


def test_an_image_of_another_host_is_not_asked_for(house, new_context):
    server, service = house
    with socket.create_server(("127.0.0.1", 0)) as inward:
        address = f"http://127.0.0.1:{inward.getsockname()[1]}/inward.png"
        project = service.create(Definition("Far", ("A", "B"), kind="boxes"), [NewTask("1", {"image": address})])[0].id
        page = new_context().new_page()
        open_project(page, server, project)
        expect(page.locator("#status")).to_contain_text("PALATE_IMAGE_HOSTS")
        inward.setblocking(False)
        with pytest.raises(BlockingIOError):
            inward.accept()


def test_boxes_and_a_question_about_them_are_answered_by_keys_and_mouse(house, page, fetched):
    server, service = house
    project, (first, second) = add(service, "Shapes", BOXES, [{"image": picture()}] * 2)
    open_project(page, server, project)
    inside = shown(page, first)
    page.wait_for_timeout(500)  # the editor measures the image before it takes boxes
    assert page.locator("#foreign").bounding_box()["height"] >= 0.75 * page.viewport_size["height"]
    page.keyboard.press("1")
    draw(page, inside)
    expect(inside.get_by_text("Circle").nth(1)).to_be_visible()
    page.locator("#submit").click()
    page.wait_for_timeout(500)
    assert answers(service, project) == {}  # the question about the image is required
    expect(page.locator("#foreign")).to_have_attribute("data-shown", str(first))
    inside.get_by_role("button", name=re.compile("OK|Ok")).click()
    inside.get_by_text("Yes").click()
    page.keyboard.press("Control+Enter")
    shown(page, second)
    [result] = stored(page, service, project, 1)[first]
    by_name = {region["from_name"]: region for region in result}
    assert by_name["sharp"]["value"] == {"choices": ["Yes"]}
    assert by_name["shape"]["value"]["rectanglelabels"] == ["Circle"]
    assert by_name["shape"]["original_width"] == 400
    assert 5 < by_name["shape"]["value"]["width"] < 95
    # Undo: the task comes back with its answer, and another one replaces it.
    page.keyboard.press("u")
    inside = shown(page, first)
    expect(inside.get_by_text("Circle").nth(1)).to_be_visible()
    inside.locator("input[type=checkbox]").nth(1).check()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Submit").click()
    shown(page, second)
    for _ in range(50):
        [result] = answers(service, project)[first]
        if {"choices": ["No"]} in [region["value"] for region in result]:
            break
        page.wait_for_timeout(100)
    assert len(result) == 2


def test_what_was_begun_is_there_after_a_reload_and_on_another_machine(house, page, new_context, fetched):
    server, service = house
    project, (first,) = add(service, "Begun", BOXES, [{"image": picture()}])
    open_project(page, server, project)
    inside = shown(page, first)
    with page.expect_response(lambda answer: answer.url.endswith(f"/tasks/{first}/draft") and answer.ok):
        inside.get_by_text("Yes").click()
    for again in (page, new_context().new_page()):
        open_project(again, server, project)
        inside = shown(again, first)
        expect(inside.locator("input[type=checkbox]").first).to_be_checked()
    assert answers(service, project) == {}


def test_a_suggestion_is_taken_only_when_asked_for(house, page, fetched):
    server, service = house
    project, (first,) = add(service, "Suggested", BOXES, [{"image": picture()}])
    said = [{"from_name": "sharp", "to_name": "image", "type": "choices", "value": {"choices": ["No"]}}]
    service.predict(project, "m1", [Prediction("0", said, 0.8)])
    open_project(page, server, project)
    inside = shown(page, first)
    expect(page.locator("#suggestion-text")).to_have_text("m1: 1 region (No), 80 % sure.")
    boxes = inside.locator("input[type=checkbox]")
    expect(boxes.nth(1)).not_to_be_checked()
    page.get_by_role("button", name="Take it").click()
    expect(boxes.nth(1)).to_be_checked()
    page.get_by_role("button", name="Submit").click()
    assert stored(page, service, project, 1)[first][0][0]["value"] == {"choices": ["No"]}


@pytest.mark.parametrize("tag", ["HyperText", "Text"])
def test_no_script_of_a_task_or_an_interface_runs_and_the_frame_reaches_nothing(house, new_context, fetched, tag):
    server, service = house
    config = HOSTILE.replace("HyperText", tag)
    project, (first,) = add(service, f"{tag} {NASTY}", config, [{"title": NASTY, "page": f"<p>Fine.</p>{NASTY}"}])
    page = new_context().new_page()
    open_project(page, server, project)
    shown(page, first)
    for _ in range(50):
        texts = [frame.evaluate("document.body?.innerText ?? ''") for frame in page.frames[1:]]
        if any("Fine." in text for text in texts):
            break
        page.wait_for_timeout(100)
    assert any("Fine." in text for text in texts)
    page.wait_for_timeout(300)
    for frame in page.frames:
        assert frame.evaluate("window.hit") is None
    frame = page.frames[1]
    asked = "(address) => fetch(address, {credentials: 'include'}).then(() => 'answered', (error) => error.name)"
    assert frame.evaluate(asked, f"{server.url}/v1/projects") == "TypeError"
    if tag == "Text":  # an origin of its own: no cookies, and no hand on the page around it
        reached = "(what) => { try { return String(what === 'cookie' ? document.cookie : parent.document.title) } "
        reached += "catch (error) { return error.name } }"
        assert frame.evaluate(reached, "cookie") == frame.evaluate(reached, "parent") == "SecurityError"
    page.get_by_role("button", name="Skip").click()
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
