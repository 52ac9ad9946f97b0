"""A real server of model endpoints in a process group of its own, for tests that need one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from palate.store.accounts import Accounts
from palate.web.secret import secret_key
from palate.web.sigv4 import secret_of
from services.endpoints.app import open_store
from services.endpoints.settings import EndpointSettings


class Server:
    """`palate endpoints serve` on a free port, its home in `folder`.

    token, aws: a key that may do everything, as a token, and as an id and a secret.
    """

    def __init__(self, folder: Path, workers: int = 2) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.home, self.log = folder / "home", folder / "server.log"
        self.env = os.environ | {"PALATE_HOME": str(self.home), "PALATE_CONFIG": os.devnull}
        self.command = [sys.executable, "-m", "palate.cli", "endpoints", "serve"]
        self.command += ["--port", str(self.port), "--workers", str(workers)]
        store = open_store(EndpointSettings(home=self.home))
        accounts = Accounts(store.engine)
        key, self.token = accounts.create_key("test", ["*"])
        held = accounts.key_principal(key)
        assert held is not None
        self.aws = key, secret_of(secret_key(self.home), key, held.stamp)
        store.engine.dispose()
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(self.command, env=self.env, stdout=log, stderr=log, start_new_session=True)
        end = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/ping", timeout=30):
                    return
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, self.log.read_text()
                time.sleep(0.1)

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, how)
            self.process.wait(200)
