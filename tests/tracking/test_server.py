"""The same through a real MLflow server that keeps the artifacts itself."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from palate.bundle import verify_bundle
from palate.models.kmeans import KMeans
from palate.tracking import Tracker

pytest.importorskip("flask", reason="the MLflow server needs the extra `mlflow`")


@pytest.fixture
def server(uri: str, tmp_path: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    command += ["--artifacts-destination", str(tmp_path / "kept"), "--host", "127.0.0.1", "--port", str(port)]
    with open(tmp_path / "server.log", "wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )
    try:
        deadline = time.monotonic() + 300
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=30):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail((tmp_path / "server.log").read_text()[-2000:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_over_http(server: str, uri: str, tmp_path: Path) -> None:
    direct = Tracker(uri).log_model(KMeans([[1.0]]), run_name="direct", register_as="m")
    remote = Tracker(server, experiment="remote")
    assert [held.version for held in remote.versions("m")] == [direct.version], "one database, seen from both sides"
    info = remote.log_model(
        KMeans(np.eye(3)), run_name="r", params={"k": 3}, metrics={"cost": 1.5}, lineage={"fingerprint": "f"},
        register_as="m",
    )  # fmt: skip
    assert remote.promote("m", info.version) is None
    version, path = remote.resolve("m")
    assert version == info.version == "2"
    assert verify_bundle(path).kind == "kmeans"
    assert path.is_relative_to(tmp_path / "cache"), "downloaded"
    before = path.stat().st_ino
    assert remote.resolve("m")[1].stat().st_ino == before, "once"
    assert Tracker(uri).versions("m")[0].aliases == ("champion",)
