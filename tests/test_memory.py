import subprocess
import sys

from palate.memory import free_memory


def test_some_memory_is_free() -> None:
    assert 0 < free_memory() < 2**50


def test_memory_that_was_freed_goes_back_to_the_system() -> None:
    """In a process of its own: blocks below the size for which the C library asks the system each time."""
    said = subprocess.run([sys.executable, "-c", _FREEING], capture_output=True, text=True, check=True, timeout=120)
    held, kept, left = map(int, said.stdout.split())
    assert held > 60 << 20, said.stdout
    assert left < held - (40 << 20), said.stdout
    assert kept > left + (20 << 20), said.stdout


_FREEING = """
import os
from pathlib import Path
from palate.memory import give_back

def own():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

blocks = [bytearray(b"x" * 60_000) for _ in range(1200)]
last = bytearray(60_000)
held = own()
blocks.clear()
kept = own()
give_back()
print(held, kept, own())
"""
