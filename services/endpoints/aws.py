"""SageMaker's errors: what is wrong with the request is a `ValidationError`, what the model itself refuses a
`ModelError`."""

from __future__ import annotations

from flask import Blueprint, Response

from palate.errors import InputError
from palate.web import aws
from palate.web.aws import Codes

CODES = Codes(invalid="ValidationError", missing="ValidationError", taken="ValidationError")


class ModelError(InputError):
    """The model refused the rows that it was given; the message says why."""


def speak_sagemaker(blueprint: Blueprint) -> None:
    """Every error on the routes of `blueprint` is told as SageMaker's runtime tells it."""
    aws.speak_aws(blueprint, CODES)
    blueprint.register_error_handler(ModelError, _from_model)


def _from_model(error: ModelError) -> Response:
    told = str(error)
    return aws.answer(424, "ModelError", told, OriginalStatusCode=400, OriginalMessage=told, LogStreamArn="")
