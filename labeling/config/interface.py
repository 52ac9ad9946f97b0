"""What a labeling interface asks (controls) about what it shows (objects), and who can put it on screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

KINDS = ("choice", "choices", "spans", "boxes", "rating", "pairwise", "text")
"""The questions that are known here: one label, several, stretches of text, boxes on images, a number of stars, the
better of two, free text."""
OTHER = "other"
"""The kind of a control, or of a project, that only Label Studio's editor knows."""
MIXED = "mixed"
"""The kind of a project with several controls."""


@dataclass(frozen=True)
class Shown:
    """An object tag: `field` is the key of a task's data that it shows, None if it shows something else."""

    name: str
    tag: str
    field: str | None
    inline: bool = True
    """Whether the data holds what is shown, rather than the address of it."""


@dataclass(frozen=True)
class Control:
    """A control tag: one question.

    labels: what may be chosen, in order. any_label: whether tasks bring labels of their own. always: whether the
    question is asked in every task, whatever else is answered. maximum: of a rating.
    """

    name: str
    tag: str
    kind: str
    to: tuple[str, ...]
    labels: tuple[str, ...] = ()
    any_label: bool = False
    required: bool = False
    always: bool = True
    maximum: int = 5

    @property
    def type(self) -> str:
        """What Label Studio calls the results of this control."""
        return self.tag.lower()


@dataclass(frozen=True)
class Interface:
    """A labeling interface; `config` is its XML as it came. foreign: tags that only Label Studio's editor knows."""

    config: str
    controls: tuple[Control, ...]
    objects: tuple[Shown, ...]
    foreign: tuple[str, ...]

    @cached_property
    def by_name(self) -> Mapping[str, Control]:
        return {control.name: control for control in self.controls}

    @cached_property
    def shown(self) -> Mapping[str, Shown]:
        return {each.name: each for each in self.objects}

    @property
    def kind(self) -> str:
        """The one question's kind, or "mixed"."""
        return self.controls[0].kind if len(self.controls) == 1 else MIXED

    @cached_property
    def labels(self) -> tuple[str, ...]:
        """All labels of all controls, each once, in the order of the XML."""
        return tuple(dict.fromkeys(label for control in self.controls for label in control.labels))

    @property
    def editor(self) -> str:
        """Who can show it: "own" is the page of this service, "label-studio" is Label Studio's editor."""
        return "label-studio" if self.foreign else "own"

    def choice(self, labels: Sequence[str]) -> dict[str, Any]:
        """The region that says these labels, in a project that asks for one label or several."""
        control = self.controls[0]
        about = {"from_name": control.name, "to_name": ",".join(control.to), "type": control.type}
        return {**about, "value": {"choices": list(labels)}}

    def missing(self, data: Mapping[str, Any]) -> str | None:
        """The first field that a task needs to be marked on or compared, and lacks; None if there is none."""
        for control in self.controls:
            for name in control.to if control.kind in ("spans", "boxes", "pairwise") else ():
                where = self.shown[name].field
                if where is not None and not isinstance(data.get(where), str):
                    return where
        return None
