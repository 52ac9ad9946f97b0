"""Calls against a real server that misbehaves as told: what is tried again, what is not, and what is said."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from palate.client.asynchronous import AsyncCaller
from palate.client.calls import Caller, Limiter, Policy, Request, exchange
from palate.errors import ParameterError, RemoteError

QUICK = Policy(retries=3, backoff=0.01, longest=0.02, timeout=120)


class Script:
    """A server that answers its requests by a list of replies, the last one for ever; `seen` are the requests."""

    def __init__(self) -> None:
        self.replies, self.seen, self.at = [], [], []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                script.seen.append((self.path, dict(self.headers), body))
                script.at.append(time.monotonic())
                reply = script.replies.pop(0) if len(script.replies) > 1 else script.replies[0]
                reply(self)

            do_PUT = do_DELETE = do_POST

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def script():
    made = Script()
    yield made
    made.server.shutdown()
    made.server.server_close()


def reply(status, body=b"", **headers):
    def send(handler):
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return send


def broken(handler):
    handler.connection.shutdown(socket.SHUT_RDWR)


def half(handler):
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b"only this")
    handler.connection.shutdown(socket.SHUT_RDWR)


def slow(handler):
    time.sleep(1)


def call(script, policy=QUICK, **values):
    caller = Caller(script.url, "the-key", policy, **values)
    try:
        return caller.call("POST", "/x", b"body", {"Content-Type": "text/csv"})
    finally:
        caller.close()


@pytest.mark.parametrize("bad", [reply(429), reply(500), reply(502), reply(503), reply(408), broken, half])
def test_a_bad_moment_is_outlasted(script, bad):
    script.replies = [bad, bad, reply(200, b"fine", Content_Type="text/plain")]
    answer = call(script)
    assert (answer.status, answer.body, answer.content_type) == (200, b"fine", "text/plain")
    assert len(script.seen) == 3
    for path, headers, body in script.seen:
        assert (path, body) == ("/x", b"body")
        assert headers["Authorization"] == "Bearer the-key"


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, b'{"message": "line 2 is wrong"}', "it answered 400: line 2 is wrong"),
        (404, b'{"type": "/problems/x", "title": "T", "detail": "no such thing"}', "it answered 404: no such thing"),
        (424, b'{"message": "too\\n wide"}', "it answered 424: too wide"),
        (403, b"<html>go away</html>", "it answered 403: <html>go away</html>"),
        (401, b"", "it answered 401: nothing more."),
        (302, b"[]", "it answered 302"),
    ],
)
def test_a_refusal_is_final_and_told_in_the_servers_words(script, status, body, told):
    script.replies = [reply(status, body, Location="/elsewhere")]
    with pytest.raises(RemoteError) as refused:
        call(script)
    assert told in refused.value.message
    assert (refused.value.code, refused.value.where) == (status, script.url)
    assert len(script.seen) == 1


def test_what_does_not_end_is_given_up_and_said_so(script):
    script.replies = [reply(503, b'{"message": "overloaded"}')]
    with pytest.raises(RemoteError, match=r"overloaded.*4 times") as given_up:
        call(script)
    assert given_up.value.code is None
    assert len(script.seen) == 4


def test_a_server_that_is_away(script):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(RemoteError, match=r"cannot be reached.*4 times"):
        Caller(url, None, QUICK).call("POST", "/x")


def test_a_slow_server_is_not_waited_for(script):
    script.replies = [slow]
    with pytest.raises(RemoteError, match=r"no answer within 0.2 seconds.*once"):
        call(script, Policy(retries=0, timeout=0.2))


def test_retry_after_is_kept(script):
    script.replies = [reply(429, Retry_After="1"), reply(503, Retry_After="whenever"), reply(200)]
    call(script)
    assert script.at[1] - script.at[0] >= 1
    assert len(script.at) == 3


def test_pauses_double_up_to_the_longest_and_differ():
    policy = Policy(backoff=1, longest=4)
    drawn = [[policy.pause(attempt) for attempt in range(1, 6)] for _ in range(50)]
    for attempt, most in enumerate([1, 2, 4, 4, 4]):
        pauses = [each[attempt] for each in drawn]
        assert most / 2 <= min(pauses) < max(pauses) <= most
    assert Policy(backoff=0).pause(9) == 0


def test_every_attempt_waits_for_its_turn(script):
    script.replies = [reply(500), reply(200)]
    began = time.monotonic()
    call(script, Policy(retries=3, backoff=0), limiter=(limiter := Limiter(20)))
    call(script, limiter=limiter)
    assert len(script.at) == 3
    assert time.monotonic() - began >= 0.1, "the third turn is two twentieths of a second after the first"


@pytest.mark.parametrize(
    "url", ["", "localhost:8082", "ftp://host", "http://", "http://me:secret@host", "http://host/?x=1", "http://["]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(ParameterError, match="no address of a service"):
        Caller(url)


def test_a_key_that_no_header_can_hold_is_refused():
    for key in ("two\nlines", "schlüssel"):
        with pytest.raises(ParameterError, match="no key has"):
            Caller("http://host", key)


def test_an_answer_that_is_no_json(script):
    script.replies = [reply(200, b"hello")]
    with pytest.raises(RemoteError, match="no JSON"):
        Caller(script.url, None, QUICK).json("PUT", "/x", {})


def test_closing_ends_the_waits_of_other_threads(script):
    script.replies = [reply(503, Retry_After="300")]
    caller, told = Caller(script.url, None, QUICK), []

    def ask():
        try:
            caller.call("POST", "/x")
        except RemoteError as error:
            told.append(str(error))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    while not script.seen:
        time.sleep(0.01)
    caller.close()
    thread.join(120)
    assert ["caller was closed" in text for text in told] == [True]
    assert len(script.seen) == 1


# -- awaited -----------------------------------------------------------------------------------------------------------


def awaited(url, policy=QUICK, **more):
    """The same call from an event loop."""

    async def ask():
        caller = AsyncCaller(url, "the-key", policy)
        try:
            return await caller.run(exchange(Request("POST", "/x", b"body", **more), policy, url))
        finally:
            await caller.close()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, ask()).result()


@pytest.mark.parametrize("bad", [reply(429), reply(503), broken, half])
def test_a_bad_moment_is_outlasted_without_blocking(script, bad):
    script.replies = [bad, bad, reply(200, b"fine", Content_Type="text/plain")]
    answer = awaited(script.url)
    assert (answer.status, answer.body, answer.content_type) == (200, b"fine", "text/plain")
    assert [(path, headers["Authorization"], body) for path, headers, body in script.seen] == [
        ("/x", "Bearer the-key", b"body")
    ] * 3


def test_the_awaited_caller_says_what_the_other_says(script):
    script.replies = [reply(404, b'{"detail": "no such thing"}')]
    with pytest.raises(RemoteError, match="it answered 404: no such thing") as refused:
        awaited(script.url)
    assert (refused.value.code, refused.value.problem) == (404, {"detail": "no such thing"})
    script.replies = [slow]
    with pytest.raises(RemoteError, match=r"no answer within 0.2 seconds.*once"):
        awaited(script.url, Policy(retries=0, timeout=0.2))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    with pytest.raises(RemoteError, match=r"cannot be reached.*4 times"):
        awaited(url, repeatable=False)  # it was never sent


@pytest.mark.parametrize(("bad", "times"), [(broken, 1), (reply(500), 1), (reply(503), 4), (reply(429), 4)])
def test_what_must_not_be_done_twice_is_sent_again_only_if_it_was_not_done(script, bad, times):
    script.replies = [bad]
    with pytest.raises(RemoteError) as failed:
        awaited(script.url, repeatable=False)
    assert len(script.seen) == times
    assert ("may have been done" in failed.value.hint) == (times == 1)


def test_a_deletion_that_finds_nothing_the_second_time_was_done_the_first(script):
    script.replies = [broken, reply(404)]
    caller = Caller(script.url, None, QUICK)
    assert caller.run(exchange(Request("DELETE", "/x"), QUICK, script.url)).status == 404
    with pytest.raises(RemoteError, match="404"):
        caller.run(exchange(Request("DELETE", "/x"), QUICK, script.url))
    caller.close()
