"""Calls of another service, one for each of many things, several at a time: of one, most of the time is its way."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

CONNECTIONS = 8
"""At a time."""
T = TypeVar("T")
U = TypeVar("U")


def abreast(work: Callable[[T], U], things: Iterable[T]) -> Iterator[U]:
    """What comes of the work on each, in order; done in threads. Things are taken only as they are worked on, and so
    never pile up. Raises what the work raises, once what was begun is done.
    """
    under_way: deque[Future[U]] = deque()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        for thing in things:
            under_way.append(pool.submit(work, thing))
            if len(under_way) == 2 * CONNECTIONS:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
