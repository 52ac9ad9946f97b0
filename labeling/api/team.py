"""Routes for who does what in a project: members, reviews, and the figures of everybody's work."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field, JsonValue, StrictStr

from labeling import figures
from labeling.answers import short
from labeling.api.caller import by, labeling, me
from labeling.consensus.agreement import Agreement
from labeling.queue.reviews import Review
from labeling.store.definition import Project
from labeling.store.members import ADMINISTRATOR, REVIEWER
from palate.web import Model, gives, takes


class Members(Model):
    """The project's members: each person's role, administrator, reviewer or annotator."""

    members: dict[StrictStr, StrictStr] = Field(max_length=10_000)


class ReviewOut(Model):
    """An answer to judge, yours until `expires`; in a blind review without the answer and its person.

    It was sent back `returns` times before.
    """

    id: int
    task_id: int
    external_id: str
    data: dict[str, JsonValue]
    person: str | None
    value: dict[str, Any] | list[dict[str, Any]] | None
    returns: int
    expires: datetime

    @classmethod
    def of(cls, project: Project, review: Review) -> Self:
        value = None if review.value is None else short(project.interface, review.value)
        return cls(**(asdict(review) | {"value": value}))


class ReviewStep(Model):
    """The next answer to judge, null if there is none for you, and how many wait."""

    review: ReviewOut | None
    to_review: int


class VerdictIn(Model):
    """accept; correct, with the right `value`; or return, with a `note` for its person.

    In a blind review your own answer as `value` and no verdict, or return.
    """

    verdict: Literal["accept", "correct", "return"] | None = None
    value: JsonValue = None
    note: StrictStr | None = None


class VerdictOut(Model):
    """What stands."""

    verdict: Literal["accepted", "corrected", "returned"]


class AgreementOut(Model):
    """On `tasks` with two answers or more. Null where a figure is undefined."""

    tasks: int
    percent: float | None
    fleiss_kappa: float | None
    krippendorff_alpha: float | None

    @classmethod
    def of(cls, found: Agreement) -> Self:
        return cls(**found.to_dict())


class AlikeOut(Model):
    """A person against all others, on `met` answers of theirs; kappa is Cohen's."""

    met: int
    percent: float | None
    kappa: float | None


class ControlAgreementOut(Model):
    """The agreement on one question."""

    control: str
    overall: AgreementOut
    labels: dict[str, AgreementOut]
    people: dict[str, AlikeOut]


class AgreementList(Model):
    """For each question whose answers can be equal."""

    controls: list[ControlAgreementOut]


class ShareOut(Model):
    """`right` of `total`; accuracy is null where there are none."""

    total: int
    right: int
    accuracy: float | None

    @classmethod
    def of(cls, share: figures.Share) -> Self:
        return cls(total=share.total, right=share.right, accuracy=share.accuracy)


class PersonOut(Model):
    """A person's work; `seconds` is the median for one answer. Reviewed answers are right if accepted at once."""

    person: str
    answers: int
    share: float
    seconds: float | None
    gold: ShareOut
    reviewed: ShareOut


class PeopleList(Model):
    """Everybody who answered, who answered most first."""

    people: list[PersonOut]


@by(ADMINISTRATOR)
@gives(Members)
def get_members(project_id: int) -> Members:
    """Who does what in a project. Without members it is open to everybody who may label."""
    return Members(members=labeling().members(project_id))


@by(ADMINISTRATOR)
@takes(body=Members)
@gives(Members)
def put_members(project_id: int, body: Members) -> Members:
    """Make these the project's members, and nobody else. Without any it is open again."""
    return Members(members=labeling().set_members(project_id, body.members))


@by(ADMINISTRATOR, REVIEWER)
@gives(ReviewStep)
def next_review(project_id: int) -> ReviewStep:
    """The next answer of somebody else to judge, leased to you for a while."""
    project, review, waiting = labeling().next_review(project_id, me())
    return ReviewStep(review=None if review is None else ReviewOut.of(project, review), to_review=waiting)


@by(ADMINISTRATOR, REVIEWER)
@takes(body=VerdictIn)
@gives(VerdictOut)
def judge(project_id: int, review_id: int, body: VerdictIn) -> VerdictOut:
    """Accept an answer, correct it or send it back. 409 if it is not, or no longer, in your hands."""
    verdict = labeling().judge(project_id, me(), review_id, body.verdict, value=body.value, note=body.note)
    return VerdictOut.model_validate({"verdict": verdict})


@by(ADMINISTRATOR, REVIEWER)
@gives(AgreementList)
def get_agreement(project_id: int) -> AgreementList:
    """How well people agree: percent, Fleiss' kappa, Krippendorff's alpha; per label, and per person Cohen's kappa."""
    return AgreementList(
        controls=[
            ControlAgreementOut(
                control=each.control,
                overall=AgreementOut.of(each.overall),
                labels={label: AgreementOut.of(found) for label, found in each.labels.items()},
                people={person: AlikeOut(**asdict(alike)) for person, alike in each.people.items()},
            )
            for each in labeling().agreement(project_id)
        ]
    )


@by(ADMINISTRATOR, REVIEWER)
@gives(PeopleList)
def get_people(project_id: int) -> PeopleList:
    """Each person's answers, share, speed, and accuracy on gold tasks and against reviews."""
    return PeopleList(
        people=[
            PersonOut(
                person=name,
                answers=one.answers,
                share=round(one.share, 6),
                seconds=one.seconds,
                gold=ShareOut.of(one.gold),
                reviewed=ShareOut.of(one.reviewed),
            )
            for name, one in labeling().people(project_id).items()
        ]
    )


ONE = "/projects/<int:project_id>"
RULES = [
    ("GET", f"{ONE}/members", get_members),
    ("PUT", f"{ONE}/members", put_members),
    ("POST", f"{ONE}/reviews", next_review),
    ("PUT", f"{ONE}/reviews/<int:review_id>", judge),
    ("GET", f"{ONE}/agreement", get_agreement),
    ("GET", f"{ONE}/people", get_people),
]
"""Method, path, view."""
