"""A real server under load while its workers are replaced, its models change, and clients stop half-way.

TEST_ROUNDS says how often workers and models are replaced: 1 unless told, 20 before a release.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
import time

import pytest

from palate.bundle import publish_bundle, set_current
from tests.services.server import Server

ROUNDS = int(os.environ.get("TEST_ROUNDS", "1"))


class Visitors:
    """Ask for recommendations without end, each time over a new connection, and note what they got."""

    def __init__(self, server, count=3):
        self.server, self.stop = server, threading.Event()
        self.phase = "models"
        self.statuses, self.workers, self.versions, self.failures = set(), set(), set(), []
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(count)]

    def ask(self, number):
        while not self.stop.wait(0.02):
            try:
                status, answer, worker = self.server.call("GET", f"/v1/users/b{number}/recommendations")
            except OSError as error:
                self.failures.append((self.phase, error))
                continue
            self.statuses.add(status)
            self.workers.add(worker)
            self.versions.add(answer.get("model_version"))

    def until(self, holds, what):
        end = time.monotonic() + 240
        while not holds():
            assert time.monotonic() < end, f"{what}: {self.failures[:3]} {self.server.log.read_text()[-2000:]}"
            time.sleep(0.05)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop.set()
        for thread in self.threads:
            thread.join(120)


@pytest.mark.timeout(240 + 300 * ROUNDS)
def test_no_request_fails_while_workers_and_models_are_replaced(settings, bundles, als, blend, tmp_path):
    server = Server(settings, bundles, tmp_path)
    try:
        server.start()
        with Visitors(server) as visitors:
            visitors.until(lambda: visitors.versions == {"000001"}, "the first answers")
            for turn in range(ROUNDS):
                made = publish_bundle(als if turn % 2 == 0 else blend, bundles)
                set_current(bundles, made)
                visitors.until(lambda made=made: made.name in visitors.versions, "another model")
            _half_sent(server)
            visitors.phase = "workers"
            for _ in range(ROUNDS):
                before = set(visitors.workers)
                server.process.send_signal(signal.SIGHUP)
                visitors.until(lambda before=before: len(visitors.workers - before) == 2, "fresh workers")
        assert visitors.failures == []
        assert visitors.statuses == {200}
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(120) == 0, server.log.read_text()[-2000:]
    finally:
        server.stop(signal.SIGKILL)


def _half_sent(server):
    """Clients that stop in the middle of a body, some of which then leave; others are answered all the same."""
    head = (
        f"POST /v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    )
    stuck = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(40)]
    for each in stuck:
        each.sendall(head.encode() + b'{"user": "half')
    for each in stuck[::2]:
        each.close()
    for number in range(10):
        sent = {"id": f"whole-{number}", "user": "u", "item": "western-1"}
        assert server.call("POST", "/v1/events", sent)[0] == 201
    for each in stuck[1::2]:
        each.close()
    status, listed, _ = server.call("GET", "/v1/events")
    assert status == 200
    assert {event["user"] for event in listed["events"]} == {"u"}, "of half a body nothing is stored"
