"""The order `diversity` as a job: tasks are ranked by how unlike they are to those before them and those answered.

What people see of a task is looked at: its words, and what they mean, by sentence embeddings, where the project's run
of automatic labeling does so; else its images, else the numbers and words of its data. Tasks that are added later are
ranked with all others that are still open. Where there is nothing to look at, tasks come as they were imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Engine, select

from labeling.store import projects, runs
from labeling.store.definition import Project
from labeling.store.ranking import rank_these, waits
from labeling.store.tables import ANSWERED, slots, tasks
from labeling.work.images import field_of, pixels_of
from labeling.work.settings import columns_of, text_of
from palate.errors import InputError, SchemaError
from palate.store import JobContext, Jobs, reading, writing

KIND = "labeling.diversity"
ORDER = "diversity"
EMBEDDED = ("auto", "embeddings")
"""The models of a run that look at what texts mean, where embeddings can be had."""
_BATCH = 2_000


def enqueue_due(engine: Engine, project: Project) -> int | None:
    """Have the tasks ranked if some wait for it; the job's id."""
    with reading(engine) as db:
        since = waits(db, project)
    if since is None:
        return None
    return Jobs(engine).enqueue(KIND, {"project": project.id}, key=f"{project.id}/{since!r}")


def run(engine: Engine, context: JobContext, cache: Path | None = None) -> dict[str, Any]:
    """The job. Running it again ranks again. cache: where embeddings are kept."""
    with reading(engine) as db:
        project = projects.get(db, context.payload["project"])
        mine = (tasks.c.project_id == project.id) & tasks.c.gold.is_(None)
        rows = db.execute(select(tasks.c.id, tasks.c.data).where(mine).order_by(tasks.c.position)).all()
        done = select(slots.c.task_id).where(slots.c.project_id == project.id, slots.c.state == ANSWERED)
        answered = set(db.execute(done.distinct()).scalars())
        latest = runs.latest(db, project)
    features = "auto" if latest is not None and latest.settings.get("model") in EMBEDDED else "tfidf"
    ids = [row.id for row in rows]
    context.progress(0.1, f"Looking at {len(ids)} tasks")
    views = partial(_views, engine, project, [row.data for row in rows], context, features, cache)
    order = _order(project, views, [task in answered for task in ids], context)
    for first in range(0, len(order), _BATCH):
        context.progress(0.5 + 0.5 * first / len(order), "Ranking")
        some = [(ids[item], (first + place) / len(order)) for place, item in enumerate(order[first : first + _BATCH])]
        with writing(engine) as db:
            if projects.get(db, project.id, hold=True).ordering != ORDER:
                return {"ranked": 0}
            rank_these(db, some)
    return {"ranked": len(order)}


def _order(
    project: Project, made: Callable[[], dict[str, Any]], answered: Sequence[bool], context: JobContext
) -> list[int]:
    from labeling.autolabel.diversity import spread_out

    known = np.flatnonzero(np.array(answered, dtype=bool))
    try:
        views = made()
    except (InputError, SchemaError):
        return [item for item in range(len(answered)) if not answered[item]]
    context.progress(0.4, "Spreading out")
    return [int(item) for item in spread_out(views, known, project.seed)]


def _views(
    engine: Engine,
    project: Project,
    data: Sequence[Mapping[str, Any]],
    context: JobContext,
    features: str,
    cache: Path | None,
) -> dict[str, Any]:
    from labeling.autolabel.features import table_views, text_views
    from labeling.autolabel.images import image_views

    texts = [text_of(project.interface, each) for each in data]
    if any(texts):
        return dict(text_views(texts, features, cache=cache))
    if any(each.tag == "Image" for each in project.interface.objects):
        field = field_of(project.interface)
        seen = pixels_of(engine, project.id, [str(each.get(field)) for each in data], check=context.check)
        return dict(image_views(seen))
    return {"table": table_views(columns_of(data))["scaled"]}
