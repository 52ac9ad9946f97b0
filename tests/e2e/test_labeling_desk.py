"""Automatic labeling as people meet it: a real server with its worker, a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from labeling.service import Labeling
from labeling.settings import LabelingSettings
from labeling.store.definition import Definition, NewTask
from palate.store import Accounts
from tests.e2e.people import PASSWORD, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(serve, tmp_path_factory):
    """A server, its database, and a project about the sea and the snow."""
    home = tmp_path_factory.mktemp("home")
    server = serve(["label", "serve", "--port", "{port}"], {"PALATE_HOME": str(home), "OMP_NUM_THREADS": "1"})
    service = Labeling.open(LabelingSettings(home=home).database("labeling"))
    Accounts(service.engine).add_person("ann", PASSWORD, ["label", "label:manage"])
    tasks = [NewTask(f"t{i}", {"text": f"{'sun sand wave' if i % 2 else 'ski cold ice'} {i}"}) for i in range(150)]
    service.create(Definition("Where?", ("Sea", "Snow")), tasks)
    yield server, service
    service.engine.dispose()


def arrive(page, server):
    page.goto(server.url)
    sign_in(page)
    expect(page.get_by_role("heading", name="Projects")).to_be_visible()


def test_people_and_model_share_the_work(house, page):
    server, service = house
    arrive(page, server)
    page.get_by_role("link", name="Overview of Where?").click()
    page.get_by_label("Share that shall be right").fill("0.9")
    page.locator("select[name=model]").select_option("tfidf")
    page.get_by_role("button", name="Start").click()
    expect(page.get_by_text("people label the first tasks")).to_be_visible()
    page.get_by_role("link", name="Label", exact=True).click()
    title = page.locator("#task-title")
    waits = 0
    for _ in range(150):  # a key for each task; between the rounds the worker process learns
        expect(
            title.or_(page.locator("#waiting p")).or_(page.locator("#done h2")).locator("visible=true")
        ).not_to_be_empty()
        if page.locator("#done h2").is_visible():
            break
        if page.locator("#waiting").is_visible():
            waits += 1
            expect(page.locator("#waiting")).to_be_hidden(timeout=150_000)
            continue
        shown = title.inner_text()
        page.keyboard.press("1" if "sun" in shown else "2")
        page.keyboard.press("Enter")
        for _ in range(500):
            if not title.is_visible() or title.inner_text() != shown:
                break
            page.wait_for_timeout(20)
    assert waits > 0
    expect(page.get_by_role("heading", name="All done")).to_be_visible()
    page.get_by_role("link", name="Overview").click()
    expect(page.get_by_text("done", exact=True)).to_be_visible()
    labels = service.automation.run(1).labels
    assert labels > 50
    expect(page.locator(".tiles div", has_text="labeled by a model")).to_contain_text(str(labels))
    expect(page.get_by_role("img", name=re.compile("Share labeled by the model"))).to_be_visible()
    page.get_by_role("button", name="Withdraw the model's labels").click()
    expect(page.get_by_text(f"{labels} are withdrawn")).to_be_visible()
    page.get_by_role("button", name="Restore them").click()
    expect(page.get_by_role("button", name="Withdraw the model's labels")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_page_without_scrolling_sideways(house, new_context, scheme):
    server, _ = house
    page = new_context(viewport={"width": 360, "height": 740}, color_scheme=scheme).new_page()
    arrive(page, server)
    for name in ("overview", "reviews", "comments", "members", "webhooks"):
        page.goto(f"{server.url}/projects/1/{name}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, name
