"""A real Label Studio, started for tests; and a wire to it that can be cut between a request and its answer."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

VERSION = "1.23.2"
HOME = Path(os.environ.get("PALATE_TEST_LABEL_STUDIO", Path.home() / ".cache" / "palate" / f"label-studio-{VERSION}"))
USER, PASSWORD, TOKEN = "ada@example.org", "a-long-password-1", "0123456789abcdef0123456789abcdef01234567"
PATIENCE = 400


def missing():
    """Why there is none here; None if there is one."""
    if (HOME / "bin" / "label-studio").exists():
        return None
    return (
        f"needs Label Studio {VERSION} in {HOME} (or where PALATE_TEST_LABEL_STUDIO says): "
        f"python3 -m venv {HOME} && {HOME}/bin/pip install label-studio=={VERSION}"
    )


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Studio:
    """One Label Studio on a folder of its own. It may be killed and started again."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process = None
        folder.mkdir(parents=True, exist_ok=True)

    def start(self):
        environment = {
            "PATH": f"{HOME / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.folder),
            "LABEL_STUDIO_BASE_DATA_DIR": str(self.folder),
            "LABEL_STUDIO_USERNAME": USER,
            "LABEL_STUDIO_PASSWORD": PASSWORD,
            "LABEL_STUDIO_USER_TOKEN": TOKEN,
            "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
            "COLLECT_ANALYTICS": "False",
            "SENTRY_DSN": "",
            "FRONTEND_SENTRY_DSN": "",
            "LATEST_VERSION_CHECK": "False",
            "ML_BLOCK_LOCAL_IP": "false",
            "SSRF_PROTECTION_ENABLED": "false",
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        command = [HOME / "bin" / "label-studio", "start", "--no-browser", "--internal-host", "127.0.0.1"]
        with open(self.folder / "log", "ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self.port)],
                env=environment,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.url}/health", timeout=30) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        log = (self.folder / "log").read_text(errors="replace")[-3000:]
        self.kill()
        raise RuntimeError(f"Label Studio did not start:\n{log}")

    def kill(self):
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def stop(self):
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            try:
                self._process.wait(120)
            except subprocess.TimeoutExpired:
                self.kill()


def new_studio(folder: Path):
    """One with its tables made, which takes a minute the first time; they are kept beside its programs."""
    template = HOME / "template"
    if not template.exists():
        first = Studio(HOME / f"template.{os.getpid()}")
        first.start()
        first.stop()
        try:
            first.folder.rename(template)
        except OSError:  # another run was faster
            shutil.rmtree(first.folder, ignore_errors=True)
    shutil.copytree(template, folder)
    return Studio(folder)


class Wire:
    """Hands requests on to a Label Studio. `cut` says which request's answer never comes back, once."""

    def __init__(self, studio):
        self.cut = None
        self.cuts = 0
        wire = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _hand_on(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                there = HTTPConnection("127.0.0.1", studio.port, timeout=120)
                headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                there.request(self.command, self.path, body=body, headers=headers)
                answer = there.getresponse()
                content = answer.read()
                there.close()
                if wire.cut is not None and re.search(wire.cut, f"{self.command} {self.path}"):
                    wire.cut = None
                    wire.cuts += 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date", "server"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = _hand_on

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
