import subprocess
import sys

from palate.memory import free_memory


def test_some_memory_is_free() -> None:
    assert 0 < free_memory() < 2**50


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    """In a process of its own: blocks below the size for which the C library asks the system each time."""
    said = subprocess.run([sys.executable, "-c", _FREEING], capture_output=True, text=True, check=True)
    held, kept, left = map(int, said.stdout.split())
    assert held > 60 << 20, said.stdout
    assert left < held - (40 << 20), said.stdout
    assert kept > left + (20 << 20), said.stdout


def test_large_blocks_that_were_freed_go_back_at_once() -> None:
    left = []
    for first in ("", "return_large_blocks()"):
        code = _LARGE.replace("FIRST", first)
        said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        left.append(int(said.stdout))
    assert left[0] > left[1] + (30 << 20), left


_LARGE = """
import os
from pathlib import Path
import numpy as np
from palate.memory import return_large_blocks

def own():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

FIRST
before = own()
np.ones(20 << 20, np.uint8)  # once this is freed, glibc keeps the like of it
blocks, pins = [], []
for _ in range(8):
    blocks.append(np.ones(6 << 20, np.uint8))
    pins.append(np.ones(100_000, np.uint8))  # at the end of the heap, which therefore cannot shrink
blocks.clear()
print(own() - before)
"""
_FREEING = """
import os
from pathlib import Path
from palate.memory import give_back

def own():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(b"x" * 60_000) for _ in range(1200)]
held = own()
blocks = blocks[::50]  # what is left between keeps the heap from shrinking by itself
kept = own()
give_back()
print(held, kept, own())
"""
