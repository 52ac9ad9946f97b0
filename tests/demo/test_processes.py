"""The demo ends every process that it started, and says what a failed one said."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from palate.demo.processes import Processes, ProcessFailedError
from palate.demo.run import as_interrupt


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rsplit(")", 1)[1].split()[0] != "Z"


def wait_for(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_a_failed_step_says_its_last_words(tmp_path):
    with Processes(tmp_path) as processes, pytest.raises(ProcessFailedError, match="no luck today") as caught:
        processes.run("step", [sys.executable, "-c", "import sys; sys.exit('no luck today')"])
    assert str(tmp_path / "step.log") in str(caught.value)


def test_what_a_process_says_is_waited_for_until_it_ends(tmp_path):
    script = "print('one: runs: new', flush=True); input(); print('two: runs: one', flush=True); input()"
    talker = [sys.executable, "-c", f"import os, sys; sys.stdin = open({str(tmp_path / 'in')!r}); {script}"]
    os.mkfifo(tmp_path / "in")
    with Processes(tmp_path) as processes:
        processes.start("talker", talker)
        with open(tmp_path / "in", "w") as said:
            processes.wait_until_said("talker", ["one: runs:"])
            assert "two" not in processes.log("talker").read_text()
            print(file=said, flush=True)
            processes.wait_until_said("talker", ["two: runs:", "three: runs:"])
        with pytest.raises(ProcessFailedError, match="EOFError"):
            processes.wait_until_said("talker", ["three: runs:"])


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


class Yes(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_an_answer_of_whoever_took_the_port_is_not_taken_for_the_processs_own(tmp_path):
    with HTTPServer(("127.0.0.1", 0), Yes) as other, Processes(tmp_path) as processes:
        Thread(target=other.serve_forever, daemon=True).start()
        port = other.server_port
        processes.start("late", [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"])
        with pytest.raises(ProcessFailedError, match="Address already in use"):
            processes.wait_until_ready("late", f"http://127.0.0.1:{port}/")
        other.shutdown()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells a process that its parent was killed")
def test_a_killed_parent_leaves_no_process(tmp_path):
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from palate.demo.processes import Processes\n"
        f"with Processes(Path({str(tmp_path)!r})) as processes:\n"
        "    processes.start('child', [sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "    print(processes.running['child'].pid, flush=True)\n"
        "    time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        try:
            child = int(parent.stdout.readline())
            assert alive(child)
        finally:
            parent.kill()
    try:
        wait_for(lambda: not alive(child))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_other_signals_end_it_as_ctrl_c_does(number):
    before = signal.getsignal(number)
    with pytest.raises(KeyboardInterrupt), as_interrupt():
        signal.raise_signal(number)
    assert signal.getsignal(number) == before


def test_nohup_goes_on_when_the_terminal_is_closed():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with as_interrupt():
            signal.raise_signal(signal.SIGHUP)
    finally:
        signal.signal(signal.SIGHUP, before)
