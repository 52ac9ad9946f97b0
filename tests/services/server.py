"""The real recommendation service in a process group of its own, for tests that need one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

from palate.store.accounts import Accounts
from services.recommender.app import open_store


class Server:
    """`palate api serve` in a process group of its own."""

    def __init__(self, settings, bundles, tmp_path):
        self.settings, self.port = settings, _free_port()
        self.env = os.environ | {
            "PALATE_HOME": str(settings.home),
            "PALATE_CONFIG": os.devnull,
        }
        self.command = [sys.executable, "-m", "palate.cli", "api", "serve"]
        self.command += ["--port", str(self.port), "--workers", "2", "--bundle", str(bundles)]
        self.log = tmp_path / "server.log"
        self.token = Accounts(open_store(settings).engine).create_key("test", ["*"])[1]
        self.process = None

    def start(self):
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 300
        while True:
            try:
                if self.call("GET", "/ready")[0] == 200:
                    return
            except OSError:
                pass
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, self.log.read_text()
            time.sleep(0.1)

    def call(self, method, path, body=None):
        """(status, JSON, worker)."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", "Connection": "close"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.load(answer), answer.headers["Server-Worker"]
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error), error.headers["Server-Worker"]

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(200)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
