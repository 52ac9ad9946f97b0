"""What people answer as the loop knows it, codes, and what a model says as answers again.

One label's code is its place in the interface. A set of labels has the code that the loop's `Sets` give it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from labeling.answers import labels_in
from labeling.autolabel.sets import Sets, of_names
from labeling.config import Control

SEVERAL = "choices"
Said = tuple[str, ...]
"""The labels of one answer: one, or of several any number."""


def new_sets(control: Control) -> Sets | None:
    """For a run's first step: the sets of a question that takes several labels, None for one that takes one."""
    return Sets(len(control.labels), empty=not control.required) if control.kind == SEVERAL else None


def said(control: Control, result: Sequence[Mapping[str, Any]]) -> Said | None:
    """The labels in an answer, in the interface's order; None if the question is not answered. Where none is required,
    an answer without any says that none fits.
    """
    labels = labels_in(control, result)
    if not labels and (control.kind != SEVERAL or control.required):
        return None
    return tuple(label for label in labels or () if label in control.labels)


def codes(control: Control, sets: Sets | None, given: Sequence[Said]) -> NDArray[np.int32]:
    """(n,) codes of these answers."""
    if sets is not None:
        return sets.codes(of_names(given, control.labels))
    places = {label: place for place, label in enumerate(control.labels)}
    return np.array([places[labels[0]] for labels in given], dtype=np.int32)


def answers(control: Control, sets: Sets | None, given: NDArray[np.integer]) -> list[Said]:
    """What these codes say."""
    if sets is None:
        return [(control.labels[code],) for code in given.tolist()]
    named = [tuple(control.labels[place] for place in np.flatnonzero(row)) for row in sets.members()]
    return [named[code] for code in given.tolist()]
