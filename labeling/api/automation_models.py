"""What the routes of consensus, automatic labels and jobs take and give, as OpenAPI shows it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt, StrictStr

from labeling.work.automation import RunState
from labeling.work.files import FORMATS as READABLE
from palate.store import Job
from palate.web import Model

Share = Annotated[StrictFloat, Field(gt=0, lt=1)]


class JobOut(Model):
    """A job: queued, running, done, failed or cancelled; `progress` from 0 to 1."""

    id: int
    kind: str
    state: str
    progress: float
    message: str
    result: JsonValue
    error: str | None
    created: datetime
    finished: datetime | None

    @classmethod
    def of(cls, job: Job) -> Self:
        return cls(**{name: getattr(job, name) for name in cls.model_fields})


class JobList(Model):
    """The project's jobs, the newest first; at most 100."""

    jobs: list[JobOut]


class MethodIn(Model):
    """By which method; null for the project's."""

    method: StrictStr | None = None


class SkillOut(Model):
    """How often a person is right on one question, as the consensus has it."""

    control: str
    person: str
    skill: float
    answers: int


class ConsensusOut(Model):
    """What was computed last; all null and empty if nothing was. `stale`: answers have come or changed since."""

    method: str | None
    computed: datetime | None
    stale: bool
    tasks: int
    report: dict[str, JsonValue]
    skills: list[SkillOut]


class Page(Model):
    """Tasks with ids above `after`."""

    after: int = Field(0, ge=0, lt=2**63)
    limit: int = Field(100, ge=1, le=1000)


class TaskConsensus(Model):
    """One task: the answer, how surely it holds, and by question the probability of each label from 0.001 on.

    `decided`: a reviewer corrected an answer, and what they said stands.
    """

    task_id: int
    external_id: str
    value: dict[str, Any] | list[dict[str, Any]]
    confidence: float | None
    posterior: dict[str, dict[str, float]]
    answers: int
    decided: bool


class TaskConsensusList(Model):
    """Tasks in the order of their ids; `next` is the `after` of the next page, null at the end."""

    tasks: list[TaskConsensus]
    next: int | None


class RunIn(Model):
    """A promise and its price: `target` is the share of automatic labels that shall be right, `confidence` how surely.

    `budget`: answers of people from now on, audit included. `check`: the share of automatic labels that people check
    at least. `model`: auto, tfidf, embeddings, table, images or network. `suggest`: whether people see what the model
    says of a task. `warm_from`: an earlier project whose labels train along.
    """

    target: Share = 0.95
    confidence: Share = 0.95
    budget: Annotated[StrictInt, Field(ge=1)] | None = None
    check: Annotated[StrictFloat, Field(ge=0, le=1)] = 0.01
    seed_items: Annotated[StrictInt, Field(ge=1)] | None = None
    model: StrictStr = "auto"
    seed: Annotated[StrictInt, Field(ge=0, lt=2**31)] = 0
    suggest: StrictBool = True
    warm_from: StrictInt | None = None


class RoundOut(Model):
    """What a round came to: how many tasks people had labeled, with how many answers; how many the model labeled, at
    which threshold, how right they are by estimate and at least; and how right it is on all that is left.
    """

    round: int
    model: str
    labeled: int
    answers: int
    automatic: int
    threshold: float | None
    accuracy: float | None
    bound: float | None
    pool_accuracy: float
    asked: int
    finished: datetime


class AuditOut(Model):
    """What people found among automatic labels drawn evenly."""

    items: int
    agreeing: int
    accuracy: float
    low: float
    high: float
    confidence: float
    passed: bool


class RunOut(Model):
    """A run: running, paused, stopping, stopped, done or failed (`error` says why).

    `phase`: seed, rounds, audit or done. `labels` of the model count now, `withdrawn` were taken back. While it is not
    over, labels are provisional: the next round's replace them.
    """

    id: int
    state: str
    phase: str
    round: int
    step: int
    settings: dict[str, JsonValue]
    labels: int
    withdrawn: int
    rounds: list[RoundOut]
    audits: list[AuditOut]
    error: str | None
    person: str
    started: datetime
    ended: datetime | None
    job: JobOut | None

    @classmethod
    def of(cls, state: RunState) -> Self:
        run = state.run
        same = ("id", "state", "phase", "round", "step", "settings", "error", "person", "started", "ended")
        return cls(
            **{name: getattr(run, name) for name in same},
            labels=state.labels,
            withdrawn=state.withdrawn,
            rounds=[RoundOut(**each) for each in state.rounds],
            audits=[AuditOut(**each) for each in run.audits],
            job=None if state.job is None else JobOut.of(state.job),
        )


class ActionIn(Model):
    """pause, resume or stop. A run that is stopped keeps its labels; all other tasks go back to people."""

    action: StrictStr


class LabelOut(Model):
    """What a model labeled a task with, and what it rests on. `labels`: of several labels each; `label` has them with
    commas between.
    """

    task_id: int
    external_id: str
    label: str
    labels: list[str]
    confidence: float
    model: str
    round: int
    threshold: float | None
    withdrawn: bool


class LabelList(Model):
    """Labels in the order of task ids; `next` is the `after` of the next page, null at the end."""

    labels: list[LabelOut]
    next: int | None


class WithdrawIn(Model):
    """Of which tasks; null for all."""

    tasks: list[StrictInt] | None = Field(None, max_length=10_000)


class Changed(Model):
    """How many labels were changed."""

    labels: int


class ImportQuery(Model):
    """What the file is; `images` is a ZIP archive of a folder of images."""

    format: str = Field("csv", json_schema_extra={"enum": list(READABLE)})


class ExportIn(Model):
    """As which file; `all`: tasks without an answer, too."""

    format: StrictStr = "json"
    all: StrictBool = False
