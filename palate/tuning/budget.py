"""A time budget: said as `90s`, `15m` or `2h`, and spent."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field

from palate.errors import ParameterError

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """`90s`, `15m`, `1.5h` or a number of seconds. Raises ParameterError (where: budget) for anything else."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smh]?)\s*", text)
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found else 0.0
    if not 0 < seconds <= 30 * 86_400:
        raise ParameterError(f"it must be a time such as 90s, 15m or 2h, not {text[:40]!r}.", where="budget")
    return seconds


@dataclass
class Budget:
    """So many seconds from now on."""

    seconds: float
    _started: float = field(default_factory=time.perf_counter)

    @property
    def spent(self) -> float:
        return time.perf_counter() - self._started

    @property
    def left(self) -> float:
        return self.seconds - self.spent
