"""The whole demo, as a user runs it: with `--check` on real data, and on the generated set until Ctrl-C."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from palate.demo.checks import calls, check
from palate.demo.plan import Plan, Ports

pytestmark = [pytest.mark.slow, pytest.mark.spark, pytest.mark.timeout(2400)]


def command(home, *more):
    return [sys.executable, "-m", "palate.cli", "demo", "--home", str(home), *map(str, more)]


def environment(tmp_path):
    return {**os.environ, "PALATE_HOME": str(tmp_path / "unused"), "XDG_CACHE_HOME": str(tmp_path / "cache")}


def children(pid):
    """The processes below `pid`, all generations, from /proc."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(stat.parent.name)] = int(fields[1])
    found, grown = {pid}, True
    while grown:
        more = {child for child, parent in parents.items() if parent in found} - found
        grown, found = bool(more), found | more
    return found - {pid}


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@contextmanager
def demo(home, *more, **environ):
    """A demo; whatever ends the block, it is asked to end, as it ends what it started, before it is killed."""
    options = {"stderr": subprocess.STDOUT, "env": environ, "start_new_session": True}
    out = home.with_name("out.txt")
    with out.open("wb") as log, subprocess.Popen(command(home, *more), stdout=log, **options) as process:
        try:
            yield process, out
        finally:
            with suppress(subprocess.TimeoutExpired):
                process.send_signal(signal.SIGINT)
                process.wait(timeout=200)
            process.kill()


def test_check_on_real_data(test_data, tmp_path):
    home = tmp_path / "home"
    with demo(home, "--check", "--data", test_data / "ml-latest-small", **environment(tmp_path)) as (process, out):
        code = process.wait()
    told = out.read_text()
    assert code == 0, told[-3000:]
    assert "Every URL answers" in told
    assert told.count("curl -s") == 5
    found = json.loads((home / "demo.json").read_text())
    scores = {score["model"]: score for score in found["scores"]}
    assert scores["als"]["ndcg"] >= 1.3 * scores["popularity"]["ndcg"]
    assert scores["blend"]["ndcg"] > scores["popularity"]["ndcg"]
    assert found["cold_start"]["lift"] >= 5
    assert (home / "demo.json").stat().st_mode & 0o077 == 0


def test_on_the_generated_set_until_ctrl_c_when_nothing_can_be_downloaded(tmp_path):
    blocked = {**environment(tmp_path), "https_proxy": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9"}
    blocked["no_proxy"] = blocked["NO_PROXY"] = "127.0.0.1,localhost"
    home = tmp_path / "home"
    with demo(home, **blocked) as (process, out):
        wait_for_summary(process, home, out)
        told = json.loads((home / "demo.json").read_text())
        below = children(process.pid)
        assert len(below) >= 3, "the API, labeling and MLflow should be running"
        urls = told["urls"]
        plan = Plan(home, ports=Ports(*(int(urls[name].split(":")[2]) for name in ("api", "labeling", "mlflow"))))
        check(plan, told["token"], lambda _: None)
        for link in ("dashboard_link", "label_link"):
            with urllib.request.urlopen(urls[link], timeout=120) as page:
                assert b"This link signs you in once" in page.read()
    assert process.returncode == 0
    gone(below, urls)
    printed = out.read_text()
    assert "generated" in printed
    assert told["token"] in printed
    assert printed.count("curl -s") == len(calls(plan))
    scores = {score["model"]: score for score in told["scores"]}
    assert scores["als"]["ndcg"] > scores["popularity"]["ndcg"]


def gone(processes, urls):
    """None of the processes runs, nothing listens."""
    deadline = time.monotonic() + 120
    while left := [pid for pid in processes if alive(pid)]:
        assert time.monotonic() < deadline, f"still running: {left}"
        time.sleep(0.1)
    for url in urls.values():
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", int(url.split(":")[2].split("/")[0]))) != 0


def wait_for_summary(process, home, out):
    while not (home / "demo.json").exists():
        told = out.read_text(errors="replace")
        assert process.poll() is None, f"the demo ended with {process.returncode}:\n{told[-3000:]}"
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: path / "nowhere", "nowhere"),
        (lambda path: path, "empty"),
    ],
)
def test_data_that_cannot_be_used_is_named(tmp_path, make, said):
    folder = tmp_path / "empty"
    folder.mkdir()
    told = subprocess.run(
        command(tmp_path / "home", "--data", make(folder)), capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert said in told.stderr
    assert "Traceback" not in told.stderr
