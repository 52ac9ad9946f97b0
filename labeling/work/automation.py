"""What the service does with consensus and automatic labels when asked to: the one door for API, pages and commands.

Each call is short; the work itself is done by jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine

from labeling.hooks.announce import announce
from labeling.store import agreed, projects, runs
from labeling.store.agreed import Consolidated
from labeling.store.definition import Project
from labeling.store.runs import Label, Run
from labeling.work import consensus, files
from labeling.work.settings import FEWEST, RunSettings, control_of
from palate.errors import ConflictError, ParameterError, UnknownIdError
from palate.store import Job, Jobs, reading, writing

ACTIONS = ("pause", "resume", "stop")


@dataclass(frozen=True)
class RunState:
    """A run as people see it: its rounds, how many labels count or are withdrawn, and the job in hand."""

    run: Run
    rounds: list[dict[str, Any]]
    labels: int
    withdrawn: int
    job: Job | None


class Automation:
    """Consensus and automatic labels of the projects in one store. Safe to share between threads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # Consensus

    def consolidate(self, project_id: int, method: str | None = None) -> Job:
        """Have the consensus computed now, by the project's method unless another is named."""
        return Jobs(self._engine).get(consensus.begin(self._engine, project_id, method))

    def consolidated(self, project_id: int) -> Consolidated | None:
        """What was computed last, None if nothing was."""
        with reading(self._engine) as db:
            return agreed.consolidated(db, projects.get(db, project_id))

    def consensus(self, project_id: int, after: int = 0, limit: int = 100) -> list[agreed.Row]:
        """The consensus on tasks with ids above `after`."""
        with reading(self._engine) as db:
            return agreed.listed(db, projects.get(db, project_id), after, limit)

    # Jobs

    def jobs(self, project_id: int) -> list[Job]:
        """The project's jobs, the newest first."""
        with reading(self._engine) as db:
            projects.get(db, project_id)
        return [job for job in Jobs(self._engine).list(limit=1000) if _project_of(job) == project_id][:100]

    def job(self, project_id: int, job_id: int) -> Job:
        """One of the project's jobs. Raises UnknownIdError."""
        with reading(self._engine) as db:
            projects.get(db, project_id)
        job = Jobs(self._engine).get(job_id) if 0 < job_id < 2**31 else None
        if job is None or _project_of(job) != project_id:
            raise UnknownIdError(f"project {project_id} has no job {job_id}.")
        return job

    def cancel(self, project_id: int, job_id: int) -> Job:
        """Stop a job, at its worker's next word if it runs."""
        job = self.job(project_id, job_id)
        Jobs(self._engine).cancel(job.id)
        return self.job(project_id, job_id)

    # Files

    def import_file(self, project_id: int, data: bytes, form: str) -> Job:
        """Have the tasks in a file taken in: all of them or, if one does not fit, none."""
        return Jobs(self._engine).get(files.begin_import(self._engine, project_id, data, form))

    def export_file(self, project_id: int, form: str, every_task: bool = False) -> Job:
        """Have the project's answers written into a file."""
        return Jobs(self._engine).get(files.begin_export(self._engine, project_id, form, every_task))

    def exported(self, project_id: int, job_id: int) -> tuple[dict[str, Any], Iterator[bytes]]:
        """What an export came to (`name`, `type`), and its bytes. Raises UnknownIdError while there is no file."""
        return files.exported(self._engine, self.job(project_id, job_id))

    # Automatic labels

    def start(self, project_id: int, settings: RunSettings, person: str) -> RunState:
        """Begin a run. Raises ParameterError if the project or the settings do not allow it, ConflictError while one
        goes on.
        """
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            control_of(project)
            if settings.warm_from is not None:
                control_of(projects.get(db, settings.warm_from))
            plain = project.tasks - project.golds
            if plain < FEWEST:
                raise ParameterError(f"has {plain} tasks; a model is of use from {FEWEST} on.", where="project")
            settings.goal(0).require_seed(plain)
            run = runs.begin(db, project, settings.to_dict(), person)
            before = len(runs.said(db, run))
            runs.change(db, run, settings={**settings.to_dict(), "before": before})
        return self.run(project_id)

    def run(self, project_id: int) -> RunState:
        """The project's latest run. Raises UnknownIdError if it never had one."""
        with reading(self._engine) as db:
            run = _latest(db, projects.get(db, project_id))
            rounds, (labels, withdrawn) = runs.history(db, run), runs.count(db, run)
        job = None
        if run.job is not None:
            job = Jobs(self._engine).get(run.job)
        return RunState(run, rounds, labels, withdrawn, job)

    def act(self, project_id: int, action: str) -> RunState:
        """pause, resume or stop the run. Raises ConflictError where that makes no sense."""
        if action not in ACTIONS:
            raise ParameterError(
                f"{action[:40]!r} is nothing to do.", where="action", hint=f"Use one of {', '.join(ACTIONS)}."
            )
        with writing(self._engine) as db:
            run = runs.get(db, _latest(db, projects.get(db, project_id)).id, hold=True)
            allowed = {
                "pause": (runs.RUNNING,),
                "resume": (runs.PAUSED, runs.FAILED),
                "stop": (runs.RUNNING, runs.PAUSED, runs.FAILED, runs.DONE),
            }
            if run.state not in allowed[action]:
                raise ConflictError(f"run {run.id} is {run.state}, so there is nothing to {action}.", where="action")
            if action == "pause":
                runs.change(db, run, state=runs.PAUSED)
            else:
                state = runs.RUNNING if action == "resume" else runs.STOPPING
                runs.change(db, run, state=state, tries=run.tries + 1, job=None, error=None, ended=None)
        return self.run(project_id)

    def labels(self, project_id: int, after: int = 0, limit: int = 100) -> list[Label]:
        """What the latest run's model labeled, tasks with ids above `after`."""
        with reading(self._engine) as db:
            return runs.labels(db, _latest(db, projects.get(db, project_id)), after, min(limit, 1000))

    def withdraw(self, project_id: int, tasks: Sequence[int] | None = None) -> int:
        """Take the model's labels back, all or those of some tasks, and give the tasks to people; how many."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            run = _over(db, project)
            labels = runs.withdraw(db, run, tasks)
            if labels:
                named = None if tasks is None else list(tasks)
                announce(db, project, "labels.withdrawn", run=run.id, labels=labels, tasks=named)
            return labels

    def restore(self, project_id: int) -> int:
        """Let withdrawn labels count again where people have not begun since; how many."""
        with writing(self._engine) as db:
            project = projects.get(db, project_id)
            run = _over(db, project)
            labels = runs.restore(db, run)
            if labels:
                announce(db, project, "labels.restored", run=run.id, labels=labels)
            return labels


def _project_of(job: Job) -> object:
    return job.payload.get("project") if isinstance(job.payload, dict) else None


def _latest(db: Any, project: Project) -> Run:
    run = runs.latest(db, project)
    if run is None:
        raise UnknownIdError(f"project {project.id} has no automatic labels.", hint="POST .../autolabel starts a run.")
    return run


def _over(db: Any, project: Project) -> Run:
    run = _latest(db, project)
    runs.require_over(run)
    return run
