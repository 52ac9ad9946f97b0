"""How much memory a process may still take."""

from __future__ import annotations

import os
from pathlib import Path


def free_memory() -> int:
    """Bytes that this process may still take: what the machine has left, or its control group, whichever is less.

    Where the system tells neither, half of the machine's memory.
    """
    found = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            found.append(int(line.split()[1]) << 10)
    limit, used = _lines("/sys/fs/cgroup/memory.max"), _lines("/sys/fs/cgroup/memory.current")
    if limit and used and limit[0].isdigit() and used[0].isdigit():
        stat = dict(line.split() for line in _lines("/sys/fs/cgroup/memory.stat"))
        cached = sum(int(stat.get(name, 0)) for name in ("active_file", "inactive_file"))  # given up when needed
        found.append(int(limit[0]) - int(used[0]) + cached)
    if not found:
        found.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2)
    return max(0, min(found))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
