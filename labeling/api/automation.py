"""Routes for consensus, automatic labels, files, and the jobs that work them out."""

from __future__ import annotations

from dataclasses import asdict

from flask import Response

from labeling.answers import labels_of, short
from labeling.api.automation_models import (
    ActionIn,
    Changed,
    ConsensusOut,
    ExportIn,
    ImportQuery,
    JobList,
    JobOut,
    LabelList,
    LabelOut,
    MethodIn,
    Page,
    RunIn,
    RunOut,
    SkillOut,
    TaskConsensus,
    TaskConsensusList,
    WithdrawIn,
)
from labeling.api.caller import by, labeling, me
from labeling.store.members import ADMINISTRATOR, REVIEWER
from labeling.work.settings import RunSettings
from palate.web import gives, gives_file, read_body, takes


@by(ADMINISTRATOR)
@takes(body=MethodIn, optional=True)
@gives(JobOut, status=202)
def consolidate(project_id: int, body: MethodIn) -> tuple[JobOut, int]:
    """Have the consensus of all answers computed, by a job.

    With PATCH and a `consensus` the project keeps it up to date by itself.
    """
    return JobOut.of(labeling().automation.consolidate(project_id, body.method)), 202


@by(ADMINISTRATOR, REVIEWER)
@gives(ConsensusOut)
def get_consensus(project_id: int) -> ConsensusOut:
    """What people's answers say together: the method, when it was computed, everybody's skill."""
    found = labeling().automation.consolidated(project_id)
    if found is None:
        return ConsensusOut(method=None, computed=None, stale=True, tasks=0, report={}, skills=[])
    return ConsensusOut(**{**asdict(found), "skills": [SkillOut(**each) for each in found.skills]})


@by(ADMINISTRATOR, REVIEWER)
@takes(query=Page)
@gives(TaskConsensusList)
def list_consensus(project_id: int, query: Page) -> TaskConsensusList:
    """The consensus on each task, page by page."""
    interface = labeling().project(project_id, me())[0].interface
    rows = labeling().automation.consensus(project_id, query.after, query.limit)
    shown = [TaskConsensus(**{**asdict(row), "value": short(interface, row.value)}) for row in rows]
    return TaskConsensusList(tasks=shown, next=rows[-1].task_id if len(rows) == query.limit else None)


@by(ADMINISTRATOR)
@takes(body=RunIn)
@gives(RunOut, status=201)
def start_run(project_id: int, body: RunIn) -> tuple[RunOut, int]:
    """Let a model label what it is sure of, and people the rest: begin a run. 409 while one goes on.

    An earlier run's labels count no longer. From now on people are asked for the tasks that the run draws.
    """
    return RunOut.of(labeling().automation.start(project_id, RunSettings(**body.model_dump()), me())), 201


@by(ADMINISTRATOR, REVIEWER)
@gives(RunOut)
def get_run(project_id: int) -> RunOut:
    """The latest run of automatic labeling: its rounds, its audit, the job in hand."""
    return RunOut.of(labeling().automation.run(project_id))


@by(ADMINISTRATOR)
@takes(body=ActionIn)
@gives(RunOut)
def act_on_run(project_id: int, body: ActionIn) -> RunOut:
    """Pause the run, take it up again, or stop it."""
    return RunOut.of(labeling().automation.act(project_id, body.action))


@by(ADMINISTRATOR, REVIEWER)
@takes(query=Page)
@gives(LabelList)
def list_labels(project_id: int, query: Page) -> LabelList:
    """What the model labeled, page by page."""
    control = labeling().project(project_id, me())[0].interface.controls[0]
    rows = labeling().automation.labels(project_id, query.after, query.limit)
    each = [labels_of(control, row.label) for row in rows]
    shown = [
        LabelOut(**{**asdict(row), "label": ", ".join(labels), "labels": labels})
        for row, labels in zip(rows, each, strict=True)
    ]
    return LabelList(labels=shown, next=rows[-1].task_id if len(rows) == query.limit else None)


@by(ADMINISTRATOR)
@takes(body=WithdrawIn)
@gives(Changed)
def withdraw(project_id: int, body: WithdrawIn) -> Changed:
    """Take a model's labels back, all together or those of some tasks; people are asked for them, least sure first.

    409 while the run goes on, which is to be stopped first, and for the moment in which it is stopping.
    """
    return Changed(labels=labeling().automation.withdraw(project_id, body.tasks))


@by(ADMINISTRATOR)
@gives(Changed)
def restore(project_id: int) -> Changed:
    """Let withdrawn labels count again, but for tasks that people have begun since."""
    return Changed(labels=labeling().automation.restore(project_id))


@by(ADMINISTRATOR)
@takes(query=ImportQuery)
@gives(JobOut, status=202)
def import_file(project_id: int, query: ImportQuery) -> tuple[JobOut, int]:
    """Take in the tasks of a file, which is the request's body, by a job: all of them or, if one does not fit, none.

    The job's `error` says what does not fit, and where. Tasks that are there already stay as they are.
    """
    return JobOut.of(labeling().automation.import_file(project_id, read_body(), query.format)), 202


@by(ADMINISTRATOR)
@takes(body=ExportIn)
@gives(JobOut, status=202)
def export_file(project_id: int, body: ExportIn) -> tuple[JobOut, int]:
    """Write the answers into a file, by a job; the latest three are kept."""
    return JobOut.of(labeling().automation.export_file(project_id, body.format, body.all)), 202


@by(ADMINISTRATOR)
@gives_file("application/octet-stream")
def exported_file(project_id: int, job_id: int) -> Response:
    """The file that an export wrote; 404 while it is not done."""
    found, pieces = labeling().automation.exported(project_id, job_id)
    name = f'attachment; filename="{found["name"]}"'
    return Response(pieces, content_type=found["type"], headers={"Content-Disposition": name})


@by(ADMINISTRATOR, REVIEWER)
@gives(JobList)
def list_jobs(project_id: int) -> JobList:
    """The project's jobs: consensus, rounds of automatic labeling, and others."""
    return JobList(jobs=[JobOut.of(job) for job in labeling().automation.jobs(project_id)])


@by(ADMINISTRATOR, REVIEWER)
@gives(JobOut)
def get_job(project_id: int, job_id: int) -> JobOut:
    """How far a job is."""
    return JobOut.of(labeling().automation.job(project_id, job_id))


@by(ADMINISTRATOR)
@gives(JobOut)
def cancel_job(project_id: int, job_id: int) -> JobOut:
    """Stop a job: at once if it waits, soon if it runs. A run whose job is cancelled is paused."""
    return JobOut.of(labeling().automation.cancel(project_id, job_id))


ONE = "/projects/<int:project_id>"
RULES = [
    ("POST", f"{ONE}/consensus", consolidate),
    ("GET", f"{ONE}/consensus", get_consensus),
    ("GET", f"{ONE}/consensus/tasks", list_consensus),
    ("POST", f"{ONE}/autolabel", start_run),
    ("GET", f"{ONE}/autolabel", get_run),
    ("PATCH", f"{ONE}/autolabel", act_on_run),
    ("GET", f"{ONE}/autolabel/labels", list_labels),
    ("POST", f"{ONE}/autolabel/withdraw", withdraw),
    ("POST", f"{ONE}/autolabel/restore", restore),
    ("POST", f"{ONE}/imports", import_file),
    ("POST", f"{ONE}/exports", export_file),
    ("GET", f"{ONE}/exports/<int:job_id>", exported_file),
    ("GET", f"{ONE}/jobs", list_jobs),
    ("GET", f"{ONE}/jobs/<int:job_id>", get_job),
    ("DELETE", f"{ONE}/jobs/<int:job_id>", cancel_job),
]
"""Method, path, view."""
