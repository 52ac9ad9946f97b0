"""Writers of several processes come one after the other."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from palate.store.queue import WriteQueue

BUSY = """
import sys, time
from pathlib import Path
from palate.store.queue import WriteQueue

queue, log = WriteQueue(Path(sys.argv[1]), 60), open(sys.argv[2], "a", buffering=1)
print("there", flush=True)
while True:
    with queue.turn():
        log.write("theirs\\n")
        time.sleep(0.02)
"""

ONCE = """
import sys
from pathlib import Path
from palate.store.queue import WriteQueue

with WriteQueue(Path(sys.argv[1]), 0.05).turn():
    pass
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def start(program: str, *arguments: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    return process


def test_a_process_that_writes_all_the_time_lets_another_in(file: Path, tmp_path: Path) -> None:
    queue, log = WriteQueue(file, 60), tmp_path / "log"
    process = start(BUSY, file, log)
    try:
        for _ in range(10):
            with queue.turn(), open(log, "a") as own:
                own.write("ours\n")
    finally:
        process.kill()
        process.communicate()
    between = log.read_text().split("ours\n")[1:-1]
    assert len(between) == 9
    assert max(part.count("theirs") for part in between) <= 2, "once each, and one that was in line already"


def test_a_process_that_dies_holds_up_nobody(file: Path, tmp_path: Path) -> None:
    queue = WriteQueue(file, 60)
    process = start(BUSY.replace("0.02", "1000"), file, tmp_path / "log")
    while not (tmp_path / "log").exists() or not (tmp_path / "log").read_text():
        pass
    with pytest.raises(TimeoutError), WriteQueue(file, 0.05).turn():
        pass
    process.kill()
    process.communicate()
    with queue.turn():
        pass


def test_two_queues_of_a_process_are_two(file: Path) -> None:
    """As two engines on one file have them: they wait for each other, and closing one leaves the other's turn alone."""
    queue, other, third = WriteQueue(file, 60), WriteQueue(file, 0.05), WriteQueue(file, 60)
    with queue.turn():
        with pytest.raises(TimeoutError), other.turn():
            pass
        del third
        gc.collect()
        assert not could_write(file)
    assert could_write(file)


def could_write(file: Path) -> bool:
    """Whether another process gets a turn soon."""
    done = subprocess.run([sys.executable, "-c", ONCE, file], check=False, capture_output=True)
    assert done.returncode == 0 or b"TimeoutError" in done.stderr
    return done.returncode == 0


def test_threads_wait_for_each_other(file: Path) -> None:
    queue = WriteQueue(file, 0.05)
    with queue.turn(), pytest.raises(TimeoutError), queue.turn():
        pass
    with queue.turn():
        pass
