"""A line of threads: so many at a time, the others in their order, and none for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from palate.waiting import Line


def test_so_many_are_in_a_line_at_a_time_and_the_others_come_in_their_order() -> None:
    line, gates = Line(2), [threading.Event() for _ in range(6)]
    inside: list[int] = []

    def enter(number: int) -> None:
        with line:
            inside.append(number)
            assert gates[number].wait(120)

    threads = [threading.Thread(target=enter, args=(number,)) for number in range(6)]
    for number, thread in enumerate(threads):
        thread.start()
        until(lambda n=number: len(inside) + len(line) == n + 1)
    assert (sorted(inside), len(line)) == ([0, 1], 4)
    for last, gate in enumerate((1, 0, 2, 3), 3):
        gates[gate].set()
        until(lambda n=last: len(inside) == n)
        assert inside[-1] == last - 1
    for gate in gates:
        gate.set()
    for thread in threads:
        thread.join(120)
    with pytest.raises(ZeroDivisionError), line:
        raise ZeroDivisionError
    with line, line:
        assert len(line) == 0, "both places are free again"


def test_who_does_not_want_to_wait_any_longer_leaves_the_line() -> None:
    line = Line(1)
    with line:
        assert not line.enter(seconds=0.01)
        assert not line.enter(seconds=30, most=0)
        assert len(line) == 0
    assert line.enter(seconds=0)
    line.leave()


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.001)
