"""Processes that compute together, as the kernels see them: a group of Spark tasks, or a process alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt


class Peers(Protocol):
    """Each holds rows of its own; every method is called by all of them, in the same order."""

    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Elementwise over all peers; the same bits in each."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """What each peer gave, by rank."""
        ...


@dataclass(frozen=True)
class Alone:
    """The only peer there is."""

    rank: int = 0
    size: int = 1

    def sum(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return array

    def gather(self, value: Any) -> list[Any]:
        return [value]
