from __future__ import annotations

import contextlib
import json
import logging

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from palate.errors import InputError
from palate.web import strictjson
from palate.web.problems import catalogue

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


def assert_problem(response: TestResponse, status: int, slug: str) -> dict[str, object]:
    """The one canonical shape of an error."""
    assert response.status_code == status, response.text
    assert response.mimetype == "application/problem+json"
    body: dict[str, object] = response.get_json(force=True)
    assert set(body) <= {"type", "title", "status", "detail", "errors", "request_id"}
    assert body["type"] == f"/problems/{slug}"
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-Id"]
    for error in body.get("errors", []):  # type: ignore[attr-defined]
        assert set(error) == {"field", "message"}
    return body


def send(client: FlaskClient, body: bytes | str, kind: str = "application/json") -> TestResponse:
    return client.post("/v1/things", data=body, content_type=kind)


@pytest.mark.parametrize(
    ("path", "status", "slug"),
    [
        ("/nowhere", 404, "not-found"),
        ("/v1/things/a%2F..%0A\u00e9", 404, "not-found"),
        ("/v1/things/" + "x" * 10_000, 404, "not-found"),
        ("/v1/things?limit=0", 422, "invalid"),
        ("/v1/things?limit=-1", 422, "invalid"),
        ("/v1/things?limit=1000000000", 422, "invalid"),
        ("/v1/things?limit=many", 422, "invalid"),
        ("/v1/things?limit=" + "9" * 5000, 422, "invalid"),
        ("/v1/things?limit=1&limit=2", 422, "invalid"),
        ("/v1/things?page=2", 422, "invalid"),
        ("/v1/things/a?page=2", 422, "invalid"),
        ("/v1/things?" + "&".join(["category=x"] * 900), 422, "invalid"),
        ("/v1/things?category=%ff", 400, "bad-request"),
        ("/v1/fail/bug", 500, "internal-error"),
        ("/v1/fail/store", 503, "store"),
        ("/v1/fail/model", 503, "not-ready"),
        ("/v1/fail/cannot", 422, "capability"),
        ("/problems/unknown", 404, "not-found"),
        ("/static/../secret.key", 404, "not-found"),
        ("/forgotten", 403, "forbidden"),
    ],
)
def test_every_bad_address_is_a_problem(reader: FlaskClient, path: str, status: int, slug: str) -> None:
    assert_problem(reader.get(path), status, slug)


def test_a_path_that_is_not_utf8(reader: FlaskClient) -> None:
    # The test client would mend such a path; a server hands it on as it came.
    assert_problem(reader.get("/", environ_overrides={"PATH_INFO": "/v1/things/\xff"}), 400, "bad-request")


@pytest.mark.parametrize(
    ("body", "status", "slug", "says"),
    [
        (b"", 400, "bad-request", "empty"),
        (b"nonsense", 400, "bad-request", "line 1, column 1"),
        (b'{"id": "a"', 400, "bad-request", "not JSON"),
        (b'{"id": "\xff"}', 400, "bad-request", "not UTF-8 (byte 8)"),
        (b'{"id": "a", "id": "b"}', 400, "bad-request", "'id' twice"),
        (b'{"id": "a", "attributes": {"x": {"y": 1, "y": 2}}}', 400, "bad-request", "'y' twice"),
        (b'{"id": "a", "attributes": {"x": NaN}}', 400, "bad-request", "NaN"),
        (b'{"id": "a", "attributes": {"x": -Infinity}}', 400, "bad-request", "-Infinity"),
        (b'{"id": "a", "attributes": {"x": 1e999}}', 400, "bad-request", "too large"),
        (b'{"id": "a", "attributes": {"x": ' + b"9" * 5000 + b"}}", 400, "bad-request", "too many digits"),
        (b'{"id": "\\ud800"}', 400, "bad-request", "surrogate"),
        (b'{"id": "a", "attributes": {"x": ' + b"[" * 8 + b"]" * 8 + b"}}", 400, "bad-request", "deeper than 8"),
        (b"[" * 4000 + b"]" * 4000, 400, "bad-request", "deeper than 8"),
        (b"[" * 9000, 400, "bad-request", "deeper than 8"),
        (b'{"id": 7}', 422, "invalid", "id: "),
        (b"[]", 422, "invalid", "Input should be an object."),
        (b"null", 422, "invalid", ""),
        (b'{"id": "a", "colour": 1}', 422, "invalid", "colour: There is no such field."),
        (b'{"id": "a", "parts": [{"name": "b"}, {}]}', 422, "invalid", "parts.1.name: "),
        (b'{"id": "' + b"x" * 10_000 + b'"}', 413, "too-large", "larger"),
    ],
)
def test_every_bad_body_is_a_problem(reader: FlaskClient, body: bytes, status: int, slug: str, says: str) -> None:
    assert says in str(assert_problem(send(reader, body), status, slug)["detail"])


@pytest.mark.parametrize("size", [9_000, 11_000])
def test_a_body_in_chunks_is_not_read_up_to_the_limit(reader: FlaskClient, size: int) -> None:
    """Cut off at the limit of 10,000 bytes, the larger one would be proper JSON."""
    body = b'{"id": "a"}'.ljust(size)
    chunked = {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    response = reader.post("/v1/things", data=body, content_type="application/json", environ_overrides=chunked)
    if size < 10_000:
        assert response.status_code == 201
    else:
        assert_problem(response, 413, "too-large")


def test_the_fields_at_fault_are_listed(reader: FlaskClient) -> None:
    body = assert_problem(send(reader, '{"parts": [{"name": 1, "weight": "x"}]}'), 422, "invalid")
    errors = {error["field"]: error["message"] for error in body["errors"]}  # type: ignore[attr-defined]
    assert set(errors) == {"id", "parts.0.name", "parts.0.weight"}
    assert errors["id"] == "Field required."


def test_a_body_within_the_limits_is_read(reader: FlaskClient) -> None:
    thing = {"id": "é\n\u0000", "parts": [{"name": '[{"\\', "weight": 2.5}], "attributes": {"deep": [[[[[1]]]]]}}
    response = reader.post("/v1/things", json=thing)
    assert response.status_code == 201
    assert response.get_json() == thing


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_body_of_another_type_is_not_read(reader: FlaskClient, kind: str) -> None:
    assert_problem(send(reader, b'{"id": "a"}', kind), 415, "unsupported-media-type")


def test_a_method_that_does_not_fit_says_which_do(reader: FlaskClient) -> None:
    response = reader.delete("/v1/things")
    assert_problem(response, 405, "method-not-allowed")
    assert "GET" in response.headers["Allow"]


def test_what_went_wrong_inside_stays_inside(reader: FlaskClient, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, logger="palate.web"):
        for kind in ("bug", "store"):
            text = reader.get(f"/v1/fail/{kind}").text
            assert "secret" not in text
            assert "Traceback" not in text
    assert "the secret is 42" in caplog.text


def test_a_browser_gets_a_page(reader: FlaskClient) -> None:
    response = reader.get("/nowhere", headers=HTML)
    assert (response.status_code, response.mimetype) == (404, "text/html")
    assert "There is no such thing" in response.text
    assert response.headers["X-Request-Id"] in response.text
    sly = reader.get("/v1/things/<script>alert(1)</script>", headers=HTML)
    assert "<script>alert" not in sly.text


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "application/json, text/html;q=0.5", "garbage"])
def test_everybody_else_gets_json(reader: FlaskClient, accept: str) -> None:
    assert_problem(reader.get("/nowhere", headers={"Accept": accept}), 404, "not-found")


def test_each_type_of_problem_has_a_page(client: FlaskClient) -> None:
    assert "/problems/not-found" in client.get("/problems/").text
    for slug, (_, title) in catalogue().items():
        page = client.get(f"/problems/{slug}")
        assert page.status_code == 200
        assert title in page.text


def test_a_given_request_id_is_kept_if_it_is_harmless(client: FlaskClient) -> None:
    assert client.get("/health", headers={"X-Request-Id": "abc-1.2"}).headers["X-Request-Id"] == "abc-1.2"
    assert client.get("/health", headers={"X-Request-Id": "<script>"}).headers["X-Request-Id"] != "<script>"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=15,
)  # fmt: skip


@given(json_values, st.booleans())
def test_all_proper_json_is_read_as_the_standard_library_reads_it(value: object, ascii_only: bool) -> None:
    try:
        body = json.dumps(value, ensure_ascii=ascii_only).encode()
    except UnicodeEncodeError:
        return
    assert strictjson.loads(body, max_depth=100) == json.loads(body)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    with contextlib.suppress(InputError):
        strictjson.loads(body, max_depth=5)


def test_quotes_and_backslashes_without_end_are_refused_at_once() -> None:
    body = b"[" * 40 + b'"\\' * 500_000
    with pytest.raises(InputError, match="nested deeper"):
        strictjson.loads(body, max_depth=32)


def test_brackets_in_a_string_without_end_are_not_nesting() -> None:
    with pytest.raises(InputError, match="not JSON"):
        strictjson.loads(b'"' + b"[" * 40, max_depth=32)


def test_a_body_cut_off_is_refused_even_where_what_came_is_json(reader: FlaskClient) -> None:
    response = reader.post(
        "/v1/things",
        data=b'{"name": "a"}',
        content_type="application/json",
        environ_overrides={"CONTENT_LENGTH": "500", "wsgi.input_terminated": True},
    )
    assert "ended early" in str(assert_problem(response, 400, "bad-request")["detail"])


@given(json_values)
def test_depth_is_counted_as_it_is(value: object) -> None:
    def depth(inner: object) -> int:
        if isinstance(inner, dict):
            return 1 + max(map(depth, inner.values()), default=0)
        return 1 + max(map(depth, inner), default=0) if isinstance(inner, list) else 0

    text = json.dumps(value).encode()
    assert not strictjson.is_deeper(text, depth(value))
    assert strictjson.is_deeper(text, depth(value) - 1) == (depth(value) > 0)
