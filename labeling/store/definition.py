"""What a project and a task are: as asked for, checked before anything is stored, and as stored."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from labeling.config import Interface, generate, parse
from labeling.config.generate import takes_labels
from labeling.store.tables import EXTERNAL_ID_LENGTH, TITLE_LENGTH
from palate.errors import ParameterError

MAX_LABELS = 1000
MAX_LABEL_LENGTH = 200
MAX_INSTRUCTIONS = 20_000
MAX_OVERLAP = 100
MAX_PRIORITY = 1_000_000
MAX_DATA = 100_000
"""Bytes of one task's data as JSON."""


@dataclass(frozen=True)
class Definition:
    """What a project is before it exists. Raises ParameterError naming the field that does not fit.

    The labeling interface is described by `config`, Label Studio's XML, or by `kind` and `labels`, for which the XML
    is written. Afterwards all three say the same.
    """

    title: str
    labels: tuple[str, ...] = ()
    instructions: str = ""
    overlap: int = 1
    kind: str = "choice"
    config: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title.strip())
        if not self.title or len(self.title) > TITLE_LENGTH or not self.title.isprintable():
            raise ParameterError(f"a title is one line of 1 to {TITLE_LENGTH} characters.", where="title")
        check_instructions(self.instructions)
        if not 1 <= self.overlap <= MAX_OVERLAP:
            raise ParameterError(f"{self.overlap} is not between 1 and {MAX_OVERLAP}.", where="overlap")
        if self.config and self.labels:
            raise ParameterError("are in the XML already; give one of both.", where="labels")
        interface = parse(self.config or config_of(self.kind, self.labels))
        object.__setattr__(self, "config", interface.config)
        object.__setattr__(self, "kind", interface.kind)
        object.__setattr__(self, "labels", interface.labels)


def config_of(kind: str, labels: Sequence[str]) -> str:
    """The XML for a kind and its labels. Raises ParameterError naming the label that does not fit."""
    if takes_labels(kind):
        _check_labels(labels, 1 if kind in ("spans", "boxes") else 2)
    elif labels:
        raise ParameterError(f"a project of the kind {kind!r} has no labels.", where="labels")
    return generate(kind, labels)


def check_instructions(text: str) -> None:
    """Raises ParameterError unless they are a text that can be stored."""
    if len(text) > MAX_INSTRUCTIONS or not is_text(text):
        raise ParameterError(f"instructions are text of at most {MAX_INSTRUCTIONS} characters.", where="instructions")


def is_text(value: str) -> bool:
    """Whether every database can keep it: no NUL, no half of a surrogate pair."""
    return not any(character == "\0" or "\ud800" <= character <= "\udfff" for character in value)


def _check_labels(labels: Sequence[str], least: int) -> None:
    if not least <= len(labels) <= MAX_LABELS:
        raise ParameterError(
            f"a project of this kind has {least} to {MAX_LABELS} labels, {len(labels)} were given.",
            where="labels",
            hint="Name them, or take them from a catalogue that has categories.",
        )
    seen: set[str] = set()
    for number, label in enumerate(labels):
        where = f"labels[{number}]"
        if not label.strip() or label != label.strip() or len(label) > MAX_LABEL_LENGTH or not label.isprintable():
            raise ParameterError(
                f"{label[:40]!r} is not one line of 1 to {MAX_LABEL_LENGTH} characters without spaces around it.",
                where=where,
            )
        if label in seen:
            raise ParameterError(f"{label!r} is there twice.", where=where)
        seen.add(label)


@dataclass(frozen=True)
class Project:
    """One project as stored.

    tasks: how many it has, of which `golds` are gold. After `deadline`, or while `paused`, none are handed out.
    ordering, seed: in which order, see `labeling.store.ranking`. gold_rate: the share of turns that are gold tasks.
    consensus: the method by which answers are kept consolidated, or none. run: the latest run of automatic labeling.
    budgeted: whether it has a budget, see `labeling.store.budgets`.
    """

    id: int
    title: str
    kind: str
    labels: tuple[str, ...]
    instructions: str
    overlap: int
    tasks: int
    created: datetime
    config: str
    paused: bool
    deadline: datetime | None
    ordering: str
    seed: int
    gold_rate: float
    golds: int
    review: str
    closed: bool
    consensus: str
    run: int | None
    budgeted: bool

    @classmethod
    def of(cls, row: RowMapping | dict[str, Any]) -> Project:
        return cls(**{**row, "labels": tuple(row["labels"])})

    @property
    def interface(self) -> Interface:
        """What the project asks about what it shows."""
        return parse(self.config)


@dataclass(frozen=True)
class NewTask:
    """A task to add. `external_id` is the importer's own name for it: adding it again changes nothing.

    priority: the higher, the earlier, where the project goes by it. gold: the right answer, if it is known; such a
    task is given to everybody now and then, to see how well they answer.

    `where` tells errors which one of many it is.
    """

    external_id: str
    data: Mapping[str, Any] = field(default_factory=dict)
    priority: int = 0
    gold: Any = None
    where: InitVar[str] = ""

    def __post_init__(self, where: str) -> None:
        place = f"{where}." if where else ""
        if not self.external_id or len(self.external_id) > EXTERNAL_ID_LENGTH or not self.external_id.isprintable():
            raise ParameterError(
                f"{self.external_id[:40]!r} is not one line of 1 to {EXTERNAL_ID_LENGTH} characters.",
                where=f"{place}external_id",
            )
        if not -MAX_PRIORITY <= self.priority <= MAX_PRIORITY:
            raise ParameterError(f"is not between -{MAX_PRIORITY} and {MAX_PRIORITY}.", where=f"{place}priority")
        try:
            size = len(json.dumps(self.data, allow_nan=False, ensure_ascii=False).encode())
        except (TypeError, ValueError, RecursionError) as error:  # NaN, half a surrogate pair, too deep
            raise ParameterError(
                f"is no plain JSON ({error}).", where=f"data of task {self.external_id[:80]}"
            ) from None
        if size > MAX_DATA:
            raise ParameterError(f"is {size} bytes long; at most {MAX_DATA} fit a task.", where=f"{place}data")
