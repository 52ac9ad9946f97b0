"""Who signs in to the pages, and how."""

from __future__ import annotations

from playwright.sync_api import Page

PASSWORD = "correct horse battery"


def sign_in(page: Page, name: str = "ann", password: str = PASSWORD) -> None:
    """On a page that asks for it."""
    page.fill("[name=name]", name)
    page.fill("[name=password]", password)
    page.press("[name=password]", "Enter")
