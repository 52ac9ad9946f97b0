"""What Label Studio has, as typed objects: its SDK's own differ from edition to edition, and from what they declare."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

Result = list[dict[str, Any]]
INSTANT = "%Y-%m-%dT%H:%M:%S.%fZ"
"""How it writes moments, and wants to read them."""


@dataclass(frozen=True)
class RemoteProject:
    """A Label Studio project."""

    id: int
    title: str
    config: str
    instructions: str


@dataclass(frozen=True)
class RemoteAnnotation:
    """An annotation. user: who made it, by their number."""

    id: int
    user: int | None
    result: Result
    seconds: float | None = None


@dataclass(frozen=True)
class RemotePrediction:
    """A prediction."""

    id: int
    result: Result
    score: float | None
    model: str


@dataclass(frozen=True)
class RemoteTask:
    """A task. changed: when it, or an annotation or prediction of it, was last, by Label Studio's clock.

    annotations: without those that were skipped.
    """

    id: int
    data: dict[str, Any]
    meta: dict[str, Any]
    changed: str
    annotations: list[RemoteAnnotation] = field(default_factory=list)
    predictions: list[RemotePrediction] = field(default_factory=list)


def earlier(instant: str, by: timedelta) -> str:
    """So long before an instant, as Label Studio writes it."""
    moment = datetime.strptime(instant, INSTANT) - by
    return moment.strftime(INSTANT)


def plain(value: Any) -> dict[str, Any]:
    """One of the SDK's objects as a dictionary."""
    told: dict[str, Any] = value if isinstance(value, dict) else value.model_dump()
    return told


def project_of(found: Any) -> RemoteProject:
    return RemoteProject(int(found.id), found.title or "", found.label_config or "", found.expert_instruction or "")


def task_of(found: Any) -> RemoteTask:
    task = plain(found)
    return RemoteTask(
        int(task["id"]),
        dict(task["data"]),
        task["meta"] if isinstance(task.get("meta"), dict) else {},
        instant_of(task["updated_at"]),
        annotations_of(task.get("annotations") or []),
        [prediction_of(plain(each)) for each in task.get("predictions") or []],
    )


def instant_of(value: Any) -> str:
    """In one form, so that texts compare as the moments do."""
    moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    return moment.astimezone(UTC).strftime(INSTANT)


def annotations_of(found: Sequence[Any]) -> list[RemoteAnnotation]:
    told = [plain(each) for each in found]
    return [annotation_of(each) for each in told if not each.get("was_cancelled")]


def annotation_of(found: dict[str, Any]) -> RemoteAnnotation:
    by: Any = found.get("completed_by")
    by = by.get("id") if isinstance(by, dict) else by
    seconds = found.get("lead_time")
    return RemoteAnnotation(int(found["id"]), by, list(found.get("result") or []), seconds)


def prediction_of(found: dict[str, Any]) -> RemotePrediction:
    return RemotePrediction(
        int(found["id"]), found.get("result") or [], found.get("score"), found.get("model_version") or ""
    )
