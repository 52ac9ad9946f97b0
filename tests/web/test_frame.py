from __future__ import annotations

import json
import logging
import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy.engine import Engine

from palate.errors import NotFittedError
from palate.store import Accounts
from palate.web import WebSettings, add_check, create_app

PAGES = ("/docs", "/sign-in", "/problems/", "/problems/not-found")


def test_health_and_readiness(app: Flask, client: FlaskClient) -> None:
    assert client.get("/health").get_json() == {"status": "ok"}
    assert client.get("/ready").get_json() == {"status": "ready", "checks": ["store"]}

    def model() -> None:
        raise NotFittedError("No model is loaded yet.")

    add_check(app, "model", model)
    add_check(app, "bug", lambda: 1 / 0)
    answer = client.get("/ready")
    assert answer.status_code == 503
    errors = answer.get_json(force=True)["errors"]
    assert errors == [
        {"field": "model", "message": "No model is loaded yet."},
        {"field": "bug", "message": "The check failed."},
    ]
    assert client.get("/health").status_code == 200


def test_every_answer_has_the_security_headers(client: FlaskClient) -> None:
    for path in (*PAGES, "/health", "/nowhere", "/v1/things", "/static/palate.css"):
        headers = client.get(path, buffered=True).headers
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"], path
        assert "unsafe-inline" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert headers["X-Request-Id"]


@pytest.mark.parametrize("path", PAGES)
def test_pages_hold_no_inline_script_or_style_and_nothing_from_elsewhere(client: FlaskClient, path: str) -> None:
    page = client.get(path).text
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|javascript:", page)
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert 'lang="en"' in page
    for asset in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        assert client.get(asset, buffered=True).status_code == 200


def test_the_docs_show_each_operation(client: FlaskClient) -> None:
    page = client.get("/docs").text
    paths = client.get("/openapi.json").get_json()["paths"]
    assert len(paths) == 5
    for path, methods in paths.items():
        assert f"<code>{path}</code>" in page
        for operation in methods.values():
            assert operation["summary"] in page
    assert "parts.name" not in page
    for expected in ("How many to answer.", "≥ 1, ≤ 1000", "parts[].name", "scope write", "Second one.", "As many as"):
        assert expected in page


def test_metrics_need_their_scope(app: Flask, client: FlaskClient, reader: FlaskClient, accounts: Accounts) -> None:
    reader.get("/v1/things")
    reader.get("/nowhere")
    assert client.get("/metrics").status_code == 401
    assert reader.get("/metrics").status_code == 403
    header = {"Authorization": "Bearer " + accounts.create_key("prometheus", ["metrics"])[1]}
    answer = client.get("/metrics", headers=header)
    assert answer.status_code == 200
    assert 'palate_http_requests_total{method="GET",route="/v1/things",status="200"} 1.0' in answer.text
    assert 'palate_http_requests_total{method="GET",route="none",status="404"} 1.0' in answer.text


def test_a_made_up_method_adds_no_series(client: FlaskClient, accounts: Accounts) -> None:
    client.open("/health", method="BREW")
    header = {"Authorization": "Bearer " + accounts.create_key("prometheus", ["metrics"])[1]}
    assert "BREW" not in client.get("/metrics", headers=header).text


def test_the_access_log_has_one_json_line_without_secrets(
    reader: FlaskClient, client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="palate.access"):
        reader.get("/v1/things?limit=3", headers={"X-Request-Id": "r1"})
        client.get("/sign-in?code=one-time-secret")
    line = json.loads(caplog.records[0].message)
    assert (line["request"], line["method"], line["path"], line["status"]) == ("r1", "GET", "/v1/things", 200)
    assert line["who"].startswith("key:")
    assert "one-time-secret" not in caplog.text


def test_answers_are_not_cached_but_files_are(client: FlaskClient) -> None:
    assert client.get("/health").headers["Cache-Control"] == "no-store"
    file = client.get("/static/palate.css", buffered=True)
    assert "no-store" not in file.headers.get("Cache-Control", "")


def test_forwarded_headers_are_believed_of_known_proxies_only(
    settings: WebSettings, engine: Engine, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    proxied = settings.model_copy(update={"trusted_proxies": 1})
    behind = create_app("test", proxied, engine, title="T", version="1", blueprints=[])
    headers = {"X-Forwarded-For": "9.9.9.9", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "palate.example.org"}
    with caplog.at_level(logging.INFO, logger="palate.access"):
        secured = behind.test_client().get("/sign-in", headers=headers).headers["Set-Cookie"]
        plain = app.test_client().get("/sign-in", headers=headers).headers["Set-Cookie"]
    assert "Secure" in secured
    assert "Secure" not in plain
    assert [json.loads(record.message)["from"] for record in caplog.records] == ["9.9.9.9", "127.0.0.1"]
