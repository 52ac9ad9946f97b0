"""The demo ends every process that it started, and says what a failed one said."""

import os
import socket
import sys
import time

import pytest

from palate.demo.processes import Processes, ProcessFailedError


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_failed_step_says_its_last_words(tmp_path):
    with Processes(tmp_path) as processes, pytest.raises(ProcessFailedError, match="no luck today") as caught:
        processes.run("step", [sys.executable, "-c", "import sys; sys.exit('no luck today')"])
    assert str(tmp_path / "step.log") in str(caught.value)


def test_leaving_ends_the_whole_group_even_one_that_ignores_sigterm(tmp_path):
    script = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}\\n')\n"
        "time.sleep(600)"
    )
    with Processes(tmp_path, patience=0.5) as processes:
        processes.start("stubborn", [sys.executable, "-c", script])
        wait_for(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert all(alive(pid) for pid in pids)
    wait_for(lambda: not any(alive(pid) for pid in pids))


def test_ready_means_answering(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with Processes(tmp_path) as processes:
        processes.start("web", [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"])
        processes.wait_until_ready("web", f"http://127.0.0.1:{port}/")
        processes.start("dead", [sys.executable, "-c", "raise SystemExit('cannot start')"])
        with pytest.raises(ProcessFailedError, match="cannot start"):
            processes.wait_until_ready("dead", "http://127.0.0.1:9/")
