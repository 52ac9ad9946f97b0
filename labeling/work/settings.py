"""What a project asks of automatic labeling, and the model that looks at its tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from labeling.autolabel.goal import Goal
from labeling.config import Control, Interface
from labeling.store.definition import Project
from labeling.work.images import field_of
from palate.errors import MissingDependencyError, ParameterError

if TYPE_CHECKING:
    from labeling.autolabel.learners import Learner

MODELS = ("auto", "tfidf", "embeddings", "table", "images", "network")
"""Texts by their words, by sentence embeddings, or (auto) by both where embeddings can be had; tasks without any text
by their images, or by the numbers and words of their data, as `table` does in any case. `images`: by their principal
components; `network`: with a small convolutional network beside them, for which torch has to be there."""
IMAGES = ("images", "network")
PLUGINS = "palate.label_models"
"""The group of entry points by which other packages bring models: each is called with a seed and gives an unfitted
classifier with `fit`, `predict_proba` and `classes_`, of texts, of rows of pixels, or of rows of numbers."""
FEWEST = 20
AUTOMATIC = ("choice", "choices")
"""The kinds of projects that a model can label."""


@dataclass(frozen=True)
class RunSettings:
    """A promise, its price, and how. Raises ParameterError where a value is out of range.

    target, confidence, budget, check, seed_items: see `labeling.autolabel.Goal`. budget counts answers given after the
    start. suggest: whether people see what the model says of the tasks it asks for; in the audit they never do.
    warm_from: an earlier project whose labels train along as long as that helps.
    """

    target: float = 0.95
    confidence: float = 0.95
    budget: int | None = None
    check: float = 0.01
    seed_items: int | None = None
    model: str = "auto"
    seed: int = 0
    suggest: bool = True
    warm_from: int | None = None

    def __post_init__(self) -> None:
        self.goal(0)
        if self.model not in MODELS and self.model not in (names := models()):
            raise ParameterError(
                f"{self.model[:40]!r} is no model.", where="model", hint=f"Use one of {', '.join(names)}."
            )
        if not 0 <= self.seed < 2**31:
            raise ParameterError("is not between 0 and 2147483647.", where="seed")

    def goal(self, before: int) -> Goal:
        """The goal of a run before which there were so many answers, which the budget does not count."""
        return Goal(
            target=self.target,
            confidence=self.confidence,
            budget=None if self.budget is None else self.budget + before,
            check=self.check,
            check_at_most=max(self.check, 0.05),
            seed_items=self.seed_items,
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def control_of(project: Project) -> Control:
    """The question that is labeled automatically. Raises ParameterError unless the project asks for labels alone."""
    control = project.interface.controls[0]
    if project.kind not in AUTOMATIC or control.any_label or len(control.labels) < 2:
        raise ParameterError(
            "automatic labels are for projects that ask which of several labels fit, one or more, and nothing else.",
            where="project",
        )
    return control


def text_of(interface: Interface, data: Mapping[str, Any]) -> str:
    """All text that the project shows of a task."""
    inline = [each for each in interface.objects if each.field is not None and each.inline and each.tag != "Image"]
    shown = [data.get(each.field or "") for each in inline]
    return "\n".join(text.strip() for text in shown if isinstance(text, str) and text.strip())


def learner_for_tasks(
    interface: Interface,
    data: Sequence[Mapping[str, Any]],
    model: str,
    cache: Path | None,
    pixels: Callable[[Sequence[str]], NDArray[np.float32]] | None = None,
) -> Learner:
    """The model for tasks with these data. Raises InputError if there is nothing in them to learn from.

    pixels: gives the images at these addresses, (n, height, width, channels).
    """
    from labeling.autolabel.learning import learner_for, learner_of_images
    from labeling.autolabel.tables import Known

    own = model in MODELS
    texts = [text_of(interface, each) for each in data]
    choosing = (model == "auto" or not own) and not any(texts)
    shows = any(each.tag == "Image" for each in interface.objects)
    if pixels is not None and (model in IMAGES or (choosing and shows)):
        field = field_of(interface)
        seen = pixels([str(each.get(field)) for each in data])
        if own:
            return learner_of_images(seen, network=model == "network")
        return _plugin(model, seen.reshape(len(seen), -1))
    if model == "table" or choosing:
        columns = columns_of(data)
        return learner_for(Known([], None, columns, 0)) if own else _plugin(model, _rows(columns))
    if not own:
        return _plugin(model, np.array(texts, dtype=object))
    return learner_for(Known([], texts, {}, 0), model, cache)


def columns_of(data: Sequence[Mapping[str, Any]]) -> dict[str, list[str | float | None]]:
    """The numbers and words in the tasks' data, by name; None where a task has none."""
    names = sorted({name for each in data for name, value in each.items() if isinstance(value, int | float | str)})
    return {name: [_plain(each.get(name)) for each in data] for name in names}


def models() -> tuple[str, ...]:
    """All models there are here: our own, and those that other packages bring."""
    return (*MODELS, *sorted({each.name for each in entry_points(group=PLUGINS)} - {*MODELS}))


def _plugin(name: str, rows: Any) -> Learner:
    """Raises MissingDependencyError where the package that brought the model is gone, or does not load."""
    from labeling.autolabel.learners import CrossFitted

    found = [each for each in entry_points(group=PLUGINS) if each.name == name]
    try:
        return CrossFitted(name, found[0].load(), rows)
    except (IndexError, ImportError, AttributeError) as error:
        raise MissingDependencyError(f"the model {name!r} cannot be loaded: {error}.", where="model") from None


def _rows(columns: Mapping[str, list[str | float | None]]) -> Any:
    from labeling.autolabel.features import table_views

    views = table_views(columns)
    return views["raw"] if "raw" in views else views["scaled"]


def _plain(value: object) -> str | float | None:
    return value if isinstance(value, int | float | str) else None
