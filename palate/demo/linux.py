"""What Linux alone tells and does about processes; elsewhere these say that they know nothing, or do nothing."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

_SET_SIGNAL_OF_PARENTS_DEATH = 1  # PR_SET_PDEATHSIG, prctl(2)
_LISTENING = "0A"  # TCP_LISTEN, proc_pid_net(5)


def end_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: SIGTERM for the new process when the thread that started it ends, even by a SIGKILL."""
    if sys.platform != "linux":
        return None
    library, parent = ctypes.CDLL(None), os.getpid()  # looked up before the fork, after which little may be done

    def ask() -> None:
        library.prctl(_SET_SIGNAL_OF_PARENTS_DEATH, signal.SIGTERM)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)

    return ask


def listens(group: int, port: int) -> bool:
    """Whether a process of this group listens on the TCP port. True where the system does not say."""
    held = set(_listening(port))
    if not held:
        return True
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if int((folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[2]) != group:
                continue
            if any(os.readlink(entry) in held for entry in (folder / "fd").iterdir()):
                return True
        except (OSError, IndexError):  # it has just ended
            continue
    return False


def _listening(port: int) -> Iterator[str]:
    """The sockets that listen on the port, by the names that /proc/PID/fd has for them."""
    for table in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                yield f"socket:[{fields[9]}]"
