"""How much memory a process may still take, and giving back what it has no use for any more."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
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


def give_back() -> None:
    """Hands the system what was freed but is kept for the next use: after work that took much for a short time."""
    arrow = sys.modules.get("pyarrow")
    if arrow is not None:
        arrow.default_memory_pool().release_unused()
    with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)


def return_large_blocks(size: int = 2 << 20) -> None:
    """Has the C library give blocks of so many bytes back as soon as they are freed, also those of later.

    Left alone, glibc keeps what it was once asked for, up to 32 MB at a time, in each of its heaps: for a process that
    works on large arrays now and then, and of which there are several, more than what it holds.
    """
    with contextlib.suppress(AttributeError, OSError):  # a C library other than glibc
        library = ctypes.CDLL(None)
        library.mallopt(_MMAP_THRESHOLD, size)
        library.mallopt(_TRIM_THRESHOLD, 2 * size)


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""Of glibc's malloc.h."""


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
