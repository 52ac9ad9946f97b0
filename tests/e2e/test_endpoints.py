"""The pages of the model endpoints as people meet them: a real server, a real Chromium."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from palate.bundle import write_bundle
from palate.client.hosted import EndpointsClient
from palate.models.kmeans import KMeans
from palate.store import Accounts
from services.endpoints.app import open_store
from services.endpoints.settings import EndpointSettings
from tests.e2e.people import PASSWORD, sign_in

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def server(serve, tmp_path_factory):
    """A server with an endpoint of two variants."""
    home = tmp_path_factory.mktemp("home")
    for name, center in (("old", 0.0), ("new", 1.0)):
        write_bundle(KMeans([[center, 0.0], [3.0, 4.0]]), home / name)
    accounts = Accounts(open_store(EndpointSettings(home=home)).engine)
    accounts.add_person("ann", PASSWORD, ["invoke", "endpoints"])
    token = accounts.create_key("test", ["*"])[1]
    started = serve(["endpoints", "serve", "--port", "{port}", "--workers", "1"], {"PALATE_HOME": str(home)})
    with EndpointsClient(started.url, token) as client:
        client.deploy(
            "clusters", variants=[{"name": name, "bundle": str(home / name), "weight": 1} for name in ("old", "new")]
        )
    return started


def test_from_the_list_to_a_roll_out(server, page):
    page.goto(server.url)
    sign_in(page)
    expect(page.get_by_role("heading", name="Endpoints")).to_be_visible()
    page.get_by_role("link", name="clusters").click()
    expect(page.get_by_role("heading", name="clusters")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^takes features"))).to_be_visible()
    page.get_by_label("old", exact=True).fill("3")
    page.get_by_role("button", name="Move the traffic").click()
    expect(page.get_by_role("row", name=re.compile(r"^new .*25\.0 %"))).to_be_visible()
    page.get_by_label("How").select_option("Part by part")
    page.get_by_label("Part, %").fill("40")
    page.get_by_role("button", name="Begin the roll-out").click()
    expect(page.get_by_text(re.compile(r"to new is running at 40\.0 %, step 1 of 3"))).to_be_visible()
    expect(page.get_by_text("The roll-out below moves them.")).to_be_visible()
    page.set_viewport_size({"width": 360, "height": 740})
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.get_by_role("button", name="Stop it and go back").click()
    expect(page.get_by_text("Stopped by person ann.").first).to_be_visible()
    expect(page.get_by_role("row", name=re.compile(r"^new .*25\.0 %"))).to_be_visible()
