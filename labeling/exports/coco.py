"""COCO's form for boxes: images, categories, and boxes in pixels from the left and top."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from labeling.exports.label_studio import by_task
from labeling.exports.marks import boxes, regions
from labeling.store.definition import Project
from labeling.store.projects import Answered


def as_coco(project: Project, rows: Iterable[Answered]) -> Iterator[str]:
    """The images that have an answer. Where people drew differently, what most of them drew.

    An image's size is what Label Studio's editor noted with a box, or the task's own `width` and `height`; one whose
    size nobody knows keeps `null`, and its boxes stay in percent and are marked `"percent": true`.
    """
    control = next(control for control in project.interface.controls if control.kind == "boxes")
    field = project.interface.shown[control.to[0]].field
    number = {label: place for place, label in enumerate(project.interface.labels, 1)}
    images: list[dict[str, Any]] = []
    marks: list[dict[str, Any]] = []
    for group in by_task(rows):
        first = group[0]
        if first.annotation_id is None:
            continue
        size = _size(project, group)
        name = first.data.get(field) if field is not None else None
        if isinstance(name, str) and name.startswith(f"/projects/{project.id}/images/"):
            name = first.data.get("path", name)  # an image that was imported from a folder
        width, height = size or (None, None)
        images.append({"id": first.task_id, "file_name": name, "width": width, "height": height})
        across, down = (size[0] / 100, size[1] / 100) if size else (1, 1)
        for box in boxes(project, group):
            bbox = [box.x * across, box.y * down, box.width * across, box.height * down]
            mark: dict[str, Any] = {
                "id": len(marks) + 1,
                "image_id": first.task_id,
                "category_id": number.setdefault(box.label, len(number) + 1),
                "bbox": [round(edge, 3) for edge in bbox],
                "area": round(bbox[2] * bbox[3], 3),
                "iscrowd": 0,
            }
            marks.append(mark if size else mark | {"percent": True})
    categories = [{"id": place, "name": label} for label, place in number.items()]
    yield json.dumps({"images": images, "categories": categories, "annotations": marks}, ensure_ascii=False) + "\n"


def _size(project: Project, rows: list[Answered]) -> tuple[float, float] | None:
    for row in rows:
        for region in regions(project, "boxes", row):
            noted = _sides(region.get("original_width"), region.get("original_height"))
            if noted is not None:
                return noted
    data = rows[0].data
    return _sides(data.get("width"), data.get("height"))


def _sides(width: object, height: object) -> tuple[float, float] | None:
    if isinstance(width, int | float) and isinstance(height, int | float) and width > 0 and height > 0:
        return float(width), float(height)
    return None
