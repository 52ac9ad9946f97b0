"""A project's models: trained on what people answered, each with a version; the newest is the one that predicts.

They are kept in the store, so that any process, on any machine that shares it, predicts with a model that any other
one has trained.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, exists, func, insert, select, update

from labeling.config import Control, Interface
from labeling.label_studio.tables import models
from labeling.store import projects
from labeling.store.definition import Project
from labeling.store.tables import answers, tasks
from palate.errors import InputError
from palate.store import reading, writing
from palate.store.types import clock

if TYPE_CHECKING:
    from labeling.label_studio.text_model import TextModel

SEVERAL = "choices"
Said = tuple[str, ...]
"""Labels of a text: one, or of several any number."""
KEPT = 2
"""Versions that are kept whole: the newest, and the one that a process may just be about to load."""
_LOADED = 4


@dataclass(frozen=True)
class Version:
    """A model as it is told of: what it was trained on, and the share of held-out labels that it had right."""

    version: str
    answers: int
    accuracy: float


def question(interface: Interface) -> Control | None:
    """What the model answers: the first question that is always asked, about texts, with one label for an answer; where
    there is none, the first with several.
    """
    asked = [each for each in interface.controls if each.always and fields(interface, each)]
    return next((each for kind in ("choice", SEVERAL) for each in asked if each.kind == kind), None)


def answered(ours: Interface, theirs: Interface) -> Control | None:
    """Their question, if the model of ours answers it."""
    mine, other = question(ours), question(theirs)
    return other if mine is not None and other is not None and mine.kind == other.kind else None


def fields(interface: Interface, control: Control) -> list[str]:
    """The keys of a task's data whose texts the question is about."""
    shown = [interface.shown[name] for name in control.to]
    return [each.field for each in shown if each.tag == "Text" and each.inline and each.field is not None]


def text_of(data: Mapping[str, Any], names: Iterable[str]) -> str:
    """What the model reads of a task: its title, if it has one, and the texts that the question is about."""
    parts = [data.get(name) for name in dict.fromkeys(("title", *names))]
    return "\n".join(part for part in parts if isinstance(part, str))


def train(engine: Engine, project_id: int) -> Version:
    """Train on the answers there are now; the new version. Raises InputError where there is nothing to learn."""
    from labeling.label_studio.text_model import TextModel

    with reading(engine) as db:
        project = projects.get(db, project_id)
        control = question(project.interface)
        if control is None:
            raise InputError(
                "only projects that ask for labels of a text have a model that is trained here.",
                where=f"project {project_id}",
                hint="Predictions of other models are shown as well: PUT /v1/projects/ID/predictions.",
            )
        labeled, others, given = _material(db, project, control)
    fitted = TextModel.fit(labeled, others, several=control.kind == SEVERAL, empty=not control.required)
    with writing(engine) as db:
        # Of two trainings that end at once the database refuses one, whose job is done again.
        mine = models.c.project_id == project_id
        number = db.execute(select(func.count()).where(mine)).scalar_one() + 1
        made = Version(f"palate-{project_id}-{number}", given, fitted.accuracy)
        row = {"project_id": project_id, "created": clock(db), "kept": fitted.to_bytes(), **vars(made)}
        db.execute(insert(models).values(row))
        newest = select(models.c.id).where(mine).order_by(models.c.id.desc()).limit(KEPT)
        db.execute(update(models).where(mine, models.c.id.not_in(newest)).values(kept=None))
    return made


def _material(db: Connection, project: Project, control: Control) -> tuple[list[tuple[str, Said]], list[str], int]:
    """Texts with the labels that most people gave them, texts without an answer, and how many answers that is."""
    from labeling.label_studio.text_model import MAX_TEXTS
    from labeling.work.coding import said as labels_of

    names = fields(project.interface, control)
    said: list[tuple[int, str, Said]] = []
    mine = select(answers.c.task_id, answers.c.person, answers.c.value).where(answers.c.project_id == project.id)
    for task, person, value in db.execute(mine.order_by(answers.c.id)):
        labels = labels_of(control, value)
        if labels or (labels is not None and control.kind == SEVERAL):
            said.append((task, person, labels))
    if not said:
        raise InputError("nothing is labeled yet.", where=f"project {project.id}")
    chosen = _each_label(said) if control.kind == SEVERAL else _one_label(said)
    labeled: list[tuple[str, Said]] = []
    others: list[str] = []
    # Of very many tasks some evenly placed ones tell enough about words.
    some = tasks.c.position % max(project.tasks // MAX_TEXTS, 1) == 0
    wanted = (tasks.c.project_id == project.id) & (some | exists().where(answers.c.task_id == tasks.c.id))
    query = select(tasks.c.id, tasks.c.data).where(wanted).order_by(tasks.c.position)
    for task, data in db.execute(query.execution_options(yield_per=1000)):
        text = text_of(data, names)
        if not text.strip():
            continue
        if task in chosen:
            labeled.append((text, chosen[task]))
        else:
            others.append(text)
    return labeled, others, len(said)


def _one_label(said: Sequence[tuple[int, str, Said]]) -> dict[int, Said]:
    """By task the label that most people gave it."""
    from labeling.consensus import Answers, make_method

    tasks, people, labels = zip(*said, strict=True)
    given = Answers.of(list(tasks), list(people), [label for (label,) in labels])
    agreed = make_method("majority").consolidate(given)
    names = given.labels.decode(agreed.chosen)
    return {int(task): (str(name),) for task, name in zip(given.tasks.ids.to_pylist(), names, strict=True)}


def _each_label(said: Sequence[tuple[int, str, Said]]) -> dict[int, Said]:
    """By task the labels that more than half of its people gave it."""
    given: dict[int, list[Said]] = {}
    for task, _, labels in said:
        given.setdefault(task, []).append(labels)
    votes = {task: Counter(label for labels in each for label in labels) for task, each in given.items()}
    return {
        task: tuple(label for label, count in votes[task].items() if 2 * count > len(each))
        for task, each in given.items()
    }


def versions(connection: Connection, project_id: int, limit: int = 100) -> list[Version]:
    """All of a project's, the newest first."""
    columns = (models.c.version, models.c.answers, models.c.accuracy)
    query = select(*columns).where(models.c.project_id == project_id).order_by(models.c.id.desc()).limit(limit)
    return [Version(*row) for row in connection.execute(query)]


class Loaded:
    """The models that this process predicts with, by version. Safe to share between threads."""

    def __init__(self) -> None:
        self._kept: dict[str, TextModel] = {}
        self._lock = threading.Lock()

    def newest(self, engine: Engine, project_id: int) -> tuple[str, TextModel] | None:
        """The project's newest model and its version; None if none was trained."""
        from labeling.label_studio.text_model import TextModel

        with reading(engine) as db:
            query = select(models.c.id, models.c.version).where(
                models.c.project_id == project_id, models.c.kept.is_not(None)
            )
            found = db.execute(query.order_by(models.c.id.desc()).limit(1)).first()
            if found is None:
                return None
            with self._lock:
                kept = self._kept.get(found.version)
            if kept is None:
                kept = TextModel.from_bytes(
                    db.execute(select(models.c.kept).where(models.c.id == found.id)).scalar_one()
                )
        with self._lock:
            self._kept.pop(found.version, None)
            self._kept[found.version] = kept
            while len(self._kept) > _LOADED:
                del self._kept[next(iter(self._kept))]
        return found.version, kept
