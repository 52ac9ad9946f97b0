"""The dashboard as people meet it: a real server, a real Chromium."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import expect

from palate.bundle import publish_bundle, set_current
from palate.client.recommender import RecommenderClient
from palate.dataset.generate import generate_dataset
from palate.models import make_recommender
from palate.store import Accounts
from services.recommender.app import open_store
from services.recommender.settings import RecommenderSettings
from tests.e2e.people import PASSWORD, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def house(serve, tmp_path_factory):
    """A server with a model, a deployment, and somebody who bought something; the user and the item."""
    home = tmp_path_factory.mktemp("home")
    data = generate_dataset(30, 80, 400)
    bundles = home / "bundles"
    model = make_recommender("ease").fit(data.interactions)
    set_current(bundles, publish_bundle(model, bundles, metrics={"ndcg@10": 0.25}))
    settings = RecommenderSettings(home=home, bundle=bundles)
    accounts = Accounts(open_store(settings).engine)
    accounts.add_person("ann", PASSWORD, ["recommend", "catalogue", "deployments"])
    token = accounts.create_key("test", ["*"])[1]
    command = ["api", "serve", "--port", "{port}", "--workers", "1", "--bundle", str(bundles)]
    server = serve(command, {"PALATE_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")})
    user, item = str(data.users.ids.ids[0].as_py()), str(data.items.ids.ids[0].as_py())
    with RecommenderClient(server.url, token) as client:
        client.put_item(item, title="The First", categories=["Space"], attributes={"price": 12})
        client.put_deployment("shop", [{"name": "old", "weight": 9}, {"name": "new", "weight": 1}])
        client.add_event(user, item, "purchase")
        title = 'title contains "First"'
        while not client.popular(limit=1, filter=title).items:  # it is served a moment later
            time.sleep(0.1)
        for _ in range(3):
            client.recommend(user)
            client.recommend("stranger")
    return server, user, item


def arrive(page, server):
    page.goto(server.url)
    sign_in(page)
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()


def go(page, name):
    page.get_by_role("navigation", name="Main").get_by_role("link", name=name, exact=True).click()


def test_from_page_to_page(house, page):
    server, user, _ = house
    arrive(page, server)
    expect(page.get_by_role("heading", name="Cold starts")).to_be_visible()
    go(page, "Users")
    page.get_by_label("User").fill(user)
    page.get_by_role("button", name="Look up").click()
    expect(page.get_by_role("heading", name=user)).to_be_visible()
    expect(page.locator(".places").first.locator("li")).to_have_count(10)
    expect(page.get_by_role("row", name=re.compile("purchase The First"))).to_be_visible()
    page.get_by_role("link", name="The First").last.click()
    expect(page.get_by_role("heading", name="Neighbours")).to_be_visible()
    expect(page.get_by_role("row", name="price 12")).to_be_visible()
    go(page, "Items")
    page.get_by_label("Id, or part of the title").fill("first")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="The First")).to_be_visible()
    go(page, "Models")
    expect(page.get_by_role("row", name=re.compile("000001 served .*0.25"))).to_be_visible()
    go(page, "Events")
    expect(page.get_by_role("row", name=re.compile(f"{user} purchase The First"))).to_be_visible()
    go(page, "Deployments")
    page.get_by_role("link", name="shop").click()
    page.get_by_label("new", exact=True).fill("3")
    page.get_by_label("old", exact=True).fill("1")
    page.get_by_role("button", name="Move the traffic").click()
    expect(
        page.get_by_role("row", name=re.compile("person ann old has the weight 1; new has the weight 3"))
    ).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^new .*75\.0 %"))).to_be_visible()
    page.get_by_label("How").select_option("Part by part")
    page.get_by_label("Part, %").fill("40")
    page.get_by_label("Slow is above, ms").fill("50")
    page.get_by_role("button", name="Begin the roll-out").click()
    expect(page.get_by_text(re.compile(r"to new is running at 40\.0 %, step 1 of 3"))).to_be_visible()
    page.get_by_role("button", name="Pause it").click()
    expect(page.get_by_text(re.compile(r"to new is paused at 40\.0 %"))).to_be_visible()
    page.get_by_role("button", name="Stop it and go back").click()
    expect(page.get_by_text("Stopped by person ann.").first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^new .*75\.0 %"))).to_be_visible()


def test_cold_starts_are_told(house, page):
    arrive(page, house[0])
    for _ in range(50):
        page.goto(f"{house[0].url}/dashboard?span=day")
        if page.get_by_text("50.0 %").first.is_visible():
            break
        page.wait_for_timeout(200)
    expect(page.locator(".tiles div", has_text="cold starts")).to_contain_text("50.0 %")


def test_on_a_phone_in_the_dark_no_page_is_wider_than_the_screen(house, new_context):
    server, user, item = house
    page = new_context(viewport={"width": 360, "height": 740}, color_scheme="dark").new_page()
    arrive(page, server)
    light = "() => getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)[0]"
    for path in (
        "",
        f"/users?id={user}",
        f"/items?id={item}",
        "/deployments",
        "/deployments?name=shop",
        "/models",
        "/events",
    ):
        page.goto(f"{server.url}/dashboard{path}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360, path
        assert page.evaluate(light) < 60, path
