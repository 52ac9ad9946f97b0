"""Loops over rows by threads, for kernels that give up the interpreter's lock."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

FEW = 16
"""So few rows, such as those of a request, are not worth a thread."""


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_threads(work: Callable[[int, int], Any], rows: int, multiple: int = 1) -> None:
    """`work(first, last)` for ranges that cover all rows, by one thread for each core. Each begins at a multiple of
    `multiple`."""
    threads = 1 if rows <= FEW else cores()
    if threads == 1:
        work(0, rows)
        return
    step = multiple * -(-rows // (8 * threads * multiple))
    with ThreadPoolExecutor(threads) as pool:
        for piece in [pool.submit(work, first, min(first + step, rows)) for first in range(0, rows, step)]:
            piece.result()
