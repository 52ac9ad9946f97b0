"""Too much at once: some wait, the rest is told to come again, and all is well when the rush is over."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from palate.web.shedding import Shedding


class Rush:
    """An application whose requests end when `gate` is opened, asked from many threads."""

    def __init__(self, **limits: Any) -> None:
        self.gate, self.inside, self.most = threading.Event(), 0, 0
        self.refused: list[str] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        self.answers: list[tuple[str, dict[str, str], bytes]] = []
        self.threads: list[threading.Thread] = []
        self.shedding = Shedding(self.application, self.refused.append, **limits)

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.paths.append(environ["PATH_INFO"])
        try:
            if environ["PATH_INFO"] == "/bug":
                raise ZeroDivisionError
            if environ["PATH_INFO"] != "/health":
                assert self.gate.wait(120)
        finally:
            with self.lock:
                self.inside -= 1
        start_response("200 OK", [])
        return [b"well"]

    def ask(self, path: str = "/x") -> tuple[str, dict[str, str], bytes]:
        told: list[Any] = []
        body = b"".join(self.shedding({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda *said: told.extend(said)))
        return told[0], dict(told[1]), body

    def begin(self, count: int) -> None:
        for _ in range(count):
            self.threads.append(threading.Thread(target=lambda: self.answers.append(self.ask())))
            self.threads[-1].start()

    def until(self, holds: Callable[[], bool]) -> None:
        end = time.monotonic() + 30
        while not holds():
            assert time.monotonic() < end
            time.sleep(0.005)

    def over(self) -> None:
        self.gate.set()
        for thread in self.threads:
            thread.join(120)


def test_what_finds_no_place_is_told_to_come_again_and_the_rest_is_answered() -> None:
    rush = Rush(slots=2, waiting=3, patience=30)
    rush.begin(9)
    rush.until(lambda: len(rush.answers) == 4)
    status, headers, body = rush.answers[0]
    assert status.startswith("503")
    assert int(headers["Retry-After"]) >= 1
    assert headers["Content-Type"] == "application/problem+json"
    assert json.loads(body)["type"] == "/problems/not-ready"
    assert rush.ask("/health")[0] == "200 OK", "a busy worker is not a broken one"
    rush.over()
    assert sorted(status[:3] for status, _, _ in rush.answers) == ["200"] * 5 + ["503"] * 4
    assert rush.refused == ["GET"] * 4
    assert rush.most == 3, "two at work, and the look at its health"
    assert rush.ask()[0] == "200 OK"


def test_who_came_later_is_answered_later() -> None:
    rush = Rush(slots=1, waiting=5, patience=30)
    threads = [threading.Thread(target=lambda: [rush.ask("/first") for _ in range(3)])]
    threads.append(threading.Thread(target=lambda: rush.ask("/second")))
    for number, thread in enumerate(threads):
        thread.start()
        rush.until(lambda number=number: rush.inside + len(rush.shedding._line) == number + 1)  # type: ignore[misc]
    rush.gate.set()
    for thread in threads:
        thread.join(120)
    assert rush.paths == ["/first", "/second", "/first", "/first"]


def test_nobody_waits_longer_than_patience() -> None:
    rush = Rush(slots=1, waiting=5, patience=0.05)
    rush.begin(3)
    rush.until(lambda: len(rush.answers) == 2)
    rush.over()
    assert sorted(status[:3] for status, _, _ in rush.answers) == ["200", "503", "503"]


def test_a_request_that_fails_gives_its_slot_back() -> None:
    rush = Rush(slots=1, waiting=0)
    for _ in range(3):
        try:
            rush.ask("/bug")
        except ZeroDivisionError:
            continue
    rush.over()
    assert rush.ask()[0] == "200 OK"


def test_a_body_that_does_not_come_holds_no_slot() -> None:
    rush = Rush(slots=1, waiting=0)
    rush.gate.set()
    reading, arrived = threading.Event(), threading.Event()

    class Slow:
        def read(self, size: int) -> bytes:
            reading.set()
            assert arrived.wait(120)
            return b"half"

    taken: list[bytes] = []
    environ = {"PATH_INFO": "/x", "REQUEST_METHOD": "POST", "CONTENT_LENGTH": "8", "wsgi.input": Slow()}

    def send() -> None:
        list(rush.shedding(environ, lambda *said: None))
        taken.append(environ["wsgi.input"].read())  # type: ignore[attr-defined]

    thread = threading.Thread(target=send)
    thread.start()
    assert reading.wait(120)
    assert rush.ask()[0] == "200 OK"
    arrived.set()
    thread.join(120)
    assert taken == [b"half"], "what came is what the application reads"
