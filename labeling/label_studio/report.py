"""What a synchronisation did."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

MAX_TOLD = 200
"""Conflicts and refusals that are told one by one; all are counted."""


@dataclass
class Report:
    """Counts of what went here (`in`) and there (`out`); of answers, new and changed ones together.

    conflicts: what was changed on both sides, and what became of it. refused: what did not fit the other side.
    """

    remote_project: int = 0
    interface: str = ""
    tasks_in: int = 0
    tasks_out: int = 0
    answers_in: int = 0
    answers_out: int = 0
    withdrawn_in: int = 0
    withdrawn_out: int = 0
    predictions_in: int = 0
    predictions_out: int = 0
    conflicts_found: int = 0
    refused_found: int = 0
    conflicts: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def conflict(self, text: str) -> None:
        self.conflicts_found += 1
        if len(self.conflicts) < MAX_TOLD:
            self.conflicts.append(text)

    def refuse(self, text: str) -> None:
        self.refused_found += 1
        if len(self.refused) < MAX_TOLD:
            self.refused.append(text)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
