"""A project's life after it was made: paused and taken up again, its deadline, its instructions, its end."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, delete, func, select, update

from labeling.consensus import method_class
from labeling.store import budgets
from labeling.store.definition import Project, check_instructions
from labeling.store.ranking import check_order, rank_all
from labeling.store.tables import ANSWERED, answers, comments, projects, skips, slots, tasks
from palate.errors import ConflictError, ParameterError, UnknownIdError

CHANGEABLE = ("instructions", "paused", "deadline", "ordering", "seed", "gold_rate", "review", "consensus", "budget")
REVIEWS = ("none", "open", "blind")


def change(connection: Connection, project: Project, changes: dict[str, Any]) -> None:
    """Set some of `CHANGEABLE`; a deadline or a budget (`labeling.store.budgets.Limits`) of None is none. Raises
    ParameterError for what cannot be set so.

    Another order, or another seed of a random one, ranks all tasks anew.
    """
    for name in changes:
        if name not in CHANGEABLE:
            raise ParameterError("cannot be changed.", where=name, hint=f"These can: {', '.join(CHANGEABLE)}.")
    if "instructions" in changes:
        check_instructions(changes["instructions"])
    if changes.get("deadline") is not None and changes["deadline"].tzinfo is None:
        raise ParameterError("has no time zone.", where="deadline", hint="Write 2026-12-24T18:00:00Z, for instance.")
    if "ordering" in changes:
        check_order(changes["ordering"])
    if not 0 <= changes.get("gold_rate", 0) <= 1:
        raise ParameterError("is not between 0 and 1.", where="gold_rate")
    if not 0 <= changes.get("seed", 0) < 2**31:
        raise ParameterError("is not between 0 and 2147483647.", where="seed")
    if changes.get("review", "none") not in REVIEWS:
        raise ParameterError(
            f"{str(changes['review'])[:40]!r} is no way to review.", where="review", hint=f"Use {', '.join(REVIEWS)}."
        )
    if changes.get("consensus", "none") != "none":
        changes = {**changes, "consensus": method_class(changes["consensus"]).name}
    if "budget" in changes:
        budgets.change(connection, project, changes["budget"])
        changes = {name: value for name, value in changes.items() if name != "budget"}
    if not changes:
        return
    changed = update(projects).where(projects.c.id == project.id).values(**changes).returning(projects)
    after = Project.of(connection.execute(changed).mappings().one())
    if (after.ordering, after.seed) != (project.ordering, project.seed):
        rank_all(connection, after)


def require_open(project: Project, now: datetime) -> None:
    """Raises ConflictError when no tasks are handed out: the project is paused, or its deadline is over."""
    if project.paused:
        raise ConflictError(
            "the project is paused: no tasks are handed out. What is in your hands can still be answered.",
            hint="Ask again later.",
        )
    if project.deadline is not None and project.deadline <= now:
        raise ConflictError(
            f"the project's deadline was {project.deadline:%Y-%m-%d %H:%M} UTC: no tasks are handed out any more. "
            "What is in your hands can still be answered."
        )


def remove(connection: Connection, project: Project) -> None:
    """Delete the project with its tasks, answers and comments."""
    connection.execute(delete(projects).where(projects.c.id == project.id))


def is_pending() -> ColumnElement[bool]:
    """Whether an answer still needs a verdict, now or after its person has submitted it again."""
    return answers.c.verdict.is_(None) | (answers.c.verdict == "returned")


@dataclass(frozen=True)
class TaskState:
    """Where one task stands. It is done when it has all the answers it needs, all reviewed if the project says so."""

    id: int
    external_id: str
    data: dict[str, Any]
    answers: int
    needed: int
    done: bool
    skipped: int
    skip_reasons: list[str]
    comments: int
    flagged: bool


def task_state(connection: Connection, project: Project, task_id: int) -> TaskState:
    """Where the task stands. Raises UnknownIdError."""
    query = select(tasks.c.external_id, tasks.c.data).where(tasks.c.id == task_id, tasks.c.project_id == project.id)
    task = connection.execute(query).first() if 0 < task_id < 2**63 else None
    if task is None:
        raise UnknownIdError(f"project {project.id} has no task {task_id}.")

    def count(table: Any, *more: Any) -> int:
        return connection.execute(select(func.count()).where(table.c.task_id == task_id, *more)).scalar_one()

    reasons = select(skips.c.reason).where(skips.c.task_id == task_id, skips.c.reason.is_not(None))
    given = count(answers)
    waiting = 0 if project.review == "none" else count(answers, is_pending())
    return TaskState(
        id=task_id,
        external_id=task.external_id,
        data=task.data,
        answers=given,
        needed=count(slots),
        done=waiting == 0 and count(slots, slots.c.state != ANSWERED) == 0,
        skipped=count(skips),
        skip_reasons=list(connection.execute(reasons).scalars()),
        comments=count(comments),
        flagged=count(comments, comments.c.flag, ~comments.c.resolved) > 0,
    )
