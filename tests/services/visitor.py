"""Somebody who signs in to the pages of a service and sends their forms."""

from __future__ import annotations

import re

PASSWORD = "correct horse battery"


class Visitor:
    """Somebody at a browser without scripts."""

    def __init__(self, app, *scopes):
        self.browser = app.test_client()
        name = f"{'-'.join(scopes) or 'nobody'}"
        accounts = app.extensions["palate"].accounts
        if name not in {person.name for person in accounts.list_people()}:
            accounts.add_person(name, PASSWORD, list(scopes))
        self.browser.get("/sign-in")
        self.post("/sign-in", name=name, password=PASSWORD)

    def get(self, path, status=200):
        answer = self.browser.get(path, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        return answer.text

    def post(self, path, status=303, **fields):
        with self.browser.session_transaction() as session:
            fields = {"csrf_token": session.get("csrf", ""), **fields}
        answer = self.browser.post(path, data=fields, headers={"Accept": "text/html"})
        assert answer.status_code == status, answer.text
        return answer.text


def told(page):
    """A page's text without its tags."""
    body = page[page.index("<main") :]
    return " ".join(re.sub(r"<[^>]*>", " ", body).split())
