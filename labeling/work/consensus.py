"""Consensus as a job: computed from one view of all answers, kept batch by batch."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import Engine

from labeling.consensus import method_class
from labeling.store import agreed, projects
from labeling.store.definition import Project
from labeling.work.together import Given, Together, together
from palate.errors import ParameterError
from palate.store import JobContext, Jobs, clock, reading, writing

KIND = "labeling.consensus"
NONE = "none"
_BATCH = 2_000


def begin(engine: Engine, project_id: int, method: str | None = None) -> int:
    """Have the consensus computed now; the job's id.

    method: other than the project's. Raises ParameterError if neither names one.
    """
    with reading(engine) as db:
        project = projects.get(db, project_id)
    chosen = method if method is not None else project.consensus
    if chosen == NONE:
        raise ParameterError("this project has no method.", where="method", hint='Send {"method": "dawid-skene"}.')
    payload = {"project": project_id, "method": method_class(chosen).name}
    return Jobs(engine).enqueue(KIND, payload)


def enqueue_due(engine: Engine, project: Project, every: float) -> int | None:
    """Have it computed if it is kept by some method, answers have come or changed, and the last time is `every`
    seconds ago; the job's id.
    """
    with reading(engine) as db:
        now = agreed.basis(db, project, project.consensus)
        last = agreed.latest(db, project)
        age = None if last is None else (clock(db) - last.computed).total_seconds()
    if last is not None and (last.basis == now or (age is not None and age < every)):
        return None
    payload = {"project": project.id, "method": project.consensus}
    return Jobs(engine).enqueue(KIND, payload, key=f"{project.id}/{now}")


def run(engine: Engine, context: JobContext) -> dict[str, Any]:
    """The job. Running it again computes it again."""
    project_id, method = context.payload["project"], context.payload["method"]
    started = time.perf_counter()
    with reading(engine) as db:
        project = projects.get(db, project_id)
        basis = agreed.basis(db, project, method)
        rows = [(row.task_id, row.person, row.said, row.verdict, row.value) for row in agreed.given(db, project)]
        predicted = agreed.predicted(db, project) if method_class(method).uses_probabilities else None
    context.progress(0.1, f"{len(rows)} answers")
    said: list[Given] = [(task, person, result) for task, person, result, _, _ in rows]
    found = together(project.interface, said, method, predicted) if said else Together({}, [], {})
    decided = {task: value for task, _, _, verdict, value in rows if verdict == "corrected"}
    counts: dict[int, int] = {}
    for task, _, _ in said:
        counts[task] = counts.get(task, 0) + 1
    kept = [
        {
            "task_id": task,
            "value": decided.get(task, one.value),
            "confidence": 1.0 if task in decided else one.confidence,
            "posterior": one.posterior,
            "answers": counts[task],
            "decided": task in decided,
        }
        for task, one in found.tasks.items()
    ]
    _keep(engine, project, kept, lambda share: context.progress(0.4 + 0.6 * share))
    report = {"controls": found.report, "answers": len(said), "seconds": round(time.perf_counter() - started, 3)}
    people = [{"control": s.control, "person": s.person, "skill": s.skill, "answers": s.answers} for s in found.skills]
    with writing(engine) as db:
        agreed.conclude(db, projects.get(db, project_id, hold=True), method, basis, people, report)
    return {"tasks": len(kept), "answers": len(said)}


def _keep(engine: Engine, project: Project, rows: list[dict[str, Any]], told: Callable[[float], None]) -> None:
    for first in range(0, len(rows), _BATCH):
        with writing(engine) as db:
            agreed.keep(db, projects.get(db, project.id, hold=True), rows[first : first + _BATCH])
        told(first / len(rows))
