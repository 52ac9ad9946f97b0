"""Labels into the recommender's catalogue: as an item's category or tag, and as attributes that say how sure they are.

What was published is remembered in the item itself, so that a label that changed, or was withdrawn, takes its place or
goes, and publishing again changes nothing. Categories and tags that came from elsewhere stay.

Of a project with many tasks, few are asked for one by one: the catalogue's listing tells which items hold a label, so
those of tasks without one that hold none, and those that are as they should be, need no request of their own.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from labeling.exports.final import Final
from labeling.store.definition import Project
from labeling.work.abreast import abreast
from palate.client.catalogue import Catalogue
from palate.errors import ParameterError

INTO = ("categories", "tags", "attributes")
KINDS = ("choice", "choices", "rating")
MANY = 1_000
"""Tasks from which on the catalogue is listed first: a request for a thousand items, rather than for each."""


@dataclass
class Published:
    """How many tasks' items were changed, were so already, are not in the catalogue; from how many a label was taken
    out; and how many tasks have no label that is sure enough, and their items none of an earlier time.
    """

    changed: int = 0
    same: int = 0
    missing: int = 0
    taken_out: int = 0
    unlabeled: int = 0


def require_publishable(project: Project, name: str, into: str, least: float) -> None:
    """Raises ParameterError for a project without labels, or what cannot be the name of an attribute."""
    if project.kind not in KINDS:
        raise ParameterError(f"a project of the kind {project.kind!r} has no labels to publish.", where="project")
    if project.kind == "choices" and any(", " in label for label in project.labels):
        raise ParameterError("labels with a comma in them cannot be told apart.", where="project")
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise ParameterError("is no line of 1 to 100 characters.", where="as")
    if into not in INTO:
        raise ParameterError(f"{into[:40]!r} is none.", where="into", hint=f"Use one of {', '.join(INTO)}.")
    if not 0 <= least <= 1:
        raise ParameterError("is not between 0 and 1.", where="least")


def publish(
    project: Project,
    finals: Iterable[Final],
    catalogue: Catalogue,
    name: str,
    into: str = "categories",
    least: float = 0.0,
    told: Callable[[int], None] = lambda _: None,
) -> Published:
    """Write the labels of all tasks; a task's external id is the item's.

    name: of the attribute that holds the label; its confidence and source go into `name_confidence`, `name_source`.
    least: a label less sure than this counts as none; where no confidence is known, the label counts. told: called
    with the number of items done.
    """
    require_publishable(project, name, into, least)
    found = Published()
    held = _held(catalogue, name, into) if project.tasks > MANY else None

    def labels_of(final: Final) -> list[str]:
        sure = final.label != "" and (final.confidence is None or final.confidence >= least)
        return (final.label.split(", ") if project.kind == "choices" else [final.label]) if sure else []

    def to_look_at() -> Iterator[Final]:
        for final in finals:
            labels, there = labels_of(final), None if held is None else held.get(final.external_id)
            if held is None or (labels if there is None else patch_of(json.loads(there), labels, final, name, into)):
                yield final
            elif there is None:
                found.unlabeled += 1
            else:
                found.same += 1

    def one(final: Final) -> str:
        item, labels = catalogue.item(final.external_id), labels_of(final)
        change = {} if item is None else patch_of(item, labels, final, name, into)
        if change:
            catalogue.patch(final.external_id, change)
            return "changed" if labels else "taken_out"
        return "unlabeled" if not labels else "missing" if item is None else "same"

    for done, what in enumerate(abreast(one, to_look_at()), 1):
        setattr(found, what, getattr(found, what) + 1)
        told(done)
    return found


def _held(catalogue: Catalogue, name: str, into: str) -> dict[str, str]:
    """What `patch_of` looks at, of each item that holds a label; as JSON, which is small, for there may be millions."""
    kept = {name, f"{name}_confidence", f"{name}_source"}
    return {
        item["item"]: json.dumps({into: item[into], "attributes": {key: item["attributes"][key] for key in held}})
        for item in catalogue.items()
        if (held := kept.intersection(item["attributes"]))
    }


def patch_of(item: Mapping[str, Any], labels: list[str], final: Final, name: str, into: str) -> dict[str, Any]:
    """What is to change of the item, as a merge patch; nothing if it is so already."""
    held: Mapping[str, Any] = item.get("attributes") or {}
    before = held.get(name)
    earlier = before if isinstance(before, list) else [] if before is None else [before]
    said: dict[str, Any] = {name: None, f"{name}_confidence": None, f"{name}_source": None}
    if labels:
        said[name] = labels if len(labels) > 1 else labels[0]
        said[f"{name}_confidence"] = None if final.confidence is None else round(final.confidence, 4)
        said[f"{name}_source"] = final.source
    attributes = {key: value for key, value in said.items() if held.get(key) != value}
    change: dict[str, Any] = {"attributes": attributes} if attributes else {}
    if into != "attributes":
        there = list(item.get(into) or [])
        kept = [each for each in there if each not in earlier or each in labels]
        after = [*[label for label in labels if label not in kept], *kept]
        if after != there:
            change[into] = after
    return change
