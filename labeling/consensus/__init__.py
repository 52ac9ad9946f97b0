"""Consensus: from what several people said of a task to one answer, its probability, and each person's skill.

    answers = Answers.of(tasks, workers, labels)
    consensus = make_method("dawid-skene").consolidate(answers)

One protocol (`Method`) for all ways to one label; several labels go one by one; spans and boxes are merged by overlap.
Nothing here knows of projects, databases or the web.
"""

from __future__ import annotations

from labeling.consensus.answers import Answers
from labeling.consensus.crowdlab import Crowdlab
from labeling.consensus.dawid_skene import DawidSkene
from labeling.consensus.mace import Mace
from labeling.consensus.majority import Majority
from labeling.consensus.people import labels_together, sets_together
from labeling.consensus.protocol import Consensus, Method, confusion
from labeling.consensus.regions import Box, Merged, Span, merge_boxes, merge_spans
from palate.errors import ParameterError

METHODS: dict[str, type[Method]] = {method.name: method for method in (Majority, DawidSkene, Mace, Crowdlab)}
"""Every way to one label, by name. Being listed here is what enters one in the conformance suite."""

_ALSO = {"mv": "majority", "majority-vote": "majority", "ds": "dawid-skene"}


def method_class(name: str) -> type[Method]:
    """The method of that name, in any case, with - or _ . Raises ParameterError naming those there are."""
    plain = name.strip().lower().replace("_", "-")
    found = METHODS.get(_ALSO.get(plain, plain))
    if found is None:
        raise ParameterError(
            f"there is no method {name[:80]!r}.", where="method", hint=f"There are {', '.join(METHODS)}."
        )
    return found


def make_method(name: str) -> Method:
    """The method of that name with its default parameters. Raises ParameterError for an unknown one."""
    return method_class(name)()


__all__ = [
    "METHODS",
    "Answers",
    "Box",
    "Consensus",
    "Crowdlab",
    "DawidSkene",
    "Mace",
    "Majority",
    "Merged",
    "Method",
    "Span",
    "confusion",
    "labels_together",
    "make_method",
    "merge_boxes",
    "merge_spans",
    "method_class",
    "sets_together",
]
