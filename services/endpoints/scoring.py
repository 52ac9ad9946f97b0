"""MLflow's scoring protocol at bare `/invocations`, as `mlflow models serve` speaks it.

A body has exactly one of `dataframe_split`, `dataframe_records`, `instances` and `inputs`, and may have `params`; or it
is CSV with a header. The answer is `{"predictions": [{a field per output column}]}`.
"""

from __future__ import annotations

import csv
import io
import json
import logging
from typing import Any

from flask import Blueprint, Response, current_app, request
from werkzeug.exceptions import HTTPException, UnsupportedMediaType

from palate import __version__
from palate.errors import InputError, PalateError, UnauthenticatedError
from palate.models.protocol import Signature
from palate.web import public, read_body, require, strictjson
from palate.web.problems import too_large
from services.endpoints import answers, payloads
from services.endpoints.hosting import Hosted
from services.endpoints.invoking import ask, hosting, the_endpoint

FORMS = ("dataframe_split", "dataframe_records", "instances", "inputs")
_TYPES = (payloads.JSON, payloads.CSV)
log = logging.getLogger("palate.endpoints")


def scoring() -> Blueprint:
    """What MLflow's clients call; errors are MLflow's, `{"error_code": ..., "message": ...}`."""
    blueprint = Blueprint("scoring", __name__)
    blueprint.register_error_handler(PalateError, _from_palate)
    blueprint.register_error_handler(HTTPException, _from_http)
    blueprint.register_error_handler(Exception, _from_bug)
    blueprint.post("/invocations")(score)
    blueprint.get("/version")(version)
    return blueprint


@public
def version() -> Response:
    """Which Palate this is."""
    return Response(__version__, 200, mimetype="text/plain")


@require("invoke")
def score() -> Response:
    """Ask the model that this server was started for."""
    running = hosting().running(the_endpoint())
    chosen = running.pick(None)
    if request.mimetype not in _TYPES:
        raise UnsupportedMediaType(f"The body is {request.mimetype or 'of no type'!r}; read are {', '.join(_TYPES)}.")
    kind, body, depth = request.mimetype, read_body(), current_app.config["MAX_JSON_DEPTH"]

    def make(hosted: Hosted) -> bytes:
        batch = read(body, kind, hosted.signature, max_depth=depth)
        return answers.write(answers.plain(hosted.artifact, batch), payloads.JSON, "predictions")

    return Response(ask(running, chosen, make), 200, mimetype=payloads.JSON)


def read(body: bytes, content_type: str, signature: Signature, *, max_depth: int = 32) -> dict[str, Any]:
    """The batch for the model's `predict`, with `params` as further entries. Raises InputError."""
    if content_type == payloads.CSV:
        return _fitted(_of_csv(body), signature)
    said = strictjson.loads(body, max_depth=max_depth)
    given = [form for form in FORMS if isinstance(said, dict) and form in said]
    if len(given) != 1 or set(said) - {given[0], "params"}:
        raise InputError(f"The body must be an object with one of {', '.join(FORMS)}, and no other but params.")
    params = said.get("params") or {}
    if not isinstance(params, dict):
        raise InputError("The params must be an object.")
    batch = _fitted(_COLUMNS[given[0]](said[given[0]]), signature)
    taken = next((name for name in params if name in signature.inputs), None)
    if taken is not None:
        raise InputError(f"The param {taken!r} is a column of the model.")
    return {**batch, **params}


def _of_split(said: Any) -> Any:
    if not isinstance(said, dict) or set(said) - {"columns", "data", "index"} or not isinstance(said.get("data"), list):
        raise InputError("dataframe_split must have columns and data (and may have an index).")
    rows, columns = said["data"], said.get("columns")
    if columns is None:
        return _of_instances(rows)
    if not isinstance(columns, list) or len({str(name) for name in columns}) != len(columns):
        raise InputError("The columns of dataframe_split must be a list of names, each once.")
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != len(columns):
            raise InputError(f"Row {number} of dataframe_split has not {len(columns)} values.")
    return {str(name): [row[at] for row in rows] for at, name in enumerate(columns)}


def _of_records(said: Any) -> Any:
    if not isinstance(said, list) or not all(isinstance(row, dict) for row in said):
        raise InputError("dataframe_records must be a list of objects.")
    names = dict.fromkeys(name for row in said for name in row)
    return {name: [row.get(name) for row in said] for name in names}


def _of_instances(said: Any) -> Any:
    """A list of rows: objects, or lists of numbers."""
    if not isinstance(said, list):
        raise InputError("instances must be a list of rows.")
    return _of_records(said) if said and all(isinstance(row, dict) for row in said) else said


def _of_inputs(said: Any) -> Any:
    """Columns by name, or a list of rows."""
    if not isinstance(said, dict):
        return _of_instances(said)
    if not all(isinstance(values, list) for values in said.values()):
        raise InputError("inputs must have a list for each column.")
    if len({len(values) for values in said.values()}) > 1:
        raise InputError("The columns of inputs are not equally long.")
    return said


_COLUMNS = {
    "dataframe_split": _of_split,
    "dataframe_records": _of_records,
    "instances": _of_instances,
    "inputs": _of_inputs,
}


def _of_csv(body: bytes) -> dict[str, list[Any]]:
    try:
        header, *rows = list(csv.reader(io.StringIO(body.decode("utf-8-sig")), strict=True))
    except UnicodeDecodeError:
        raise InputError("The CSV is not UTF-8.") from None
    except (csv.Error, ValueError) as error:
        raise InputError("The CSV cannot be read.", hint="Its first line names the columns.") from error
    rows = [row for row in rows if row]
    if len(set(header)) != len(header):
        raise InputError("The CSV names a column twice.")
    for number, row in enumerate(rows, 1):
        if len(row) != len(header):
            raise InputError(f"Row {number} of the CSV has {len(row)} values, the header {len(header)}.")
    return {name: [row[at] for row in rows] for at, name in enumerate(header)}


def _fitted(given: Any, signature: Signature) -> dict[str, Any]:
    """Columns as the model takes them: for one that takes vectors, its column, or the numbers of a row in order."""
    vector = payloads.vector_column(signature)
    if not isinstance(given, dict):
        if not given or not all(isinstance(row, list) for row in given):
            raise InputError("The rows must be all objects, or all lists of numbers.")
        if not vector:
            raise InputError("The rows must be objects.", hint=f"Their fields: {', '.join(signature.inputs)}.")
        return {vector: _numbers(given)}
    if vector and set(given) != {vector}:
        return {vector: _numbers([list(row) for row in zip(*given.values(), strict=True)])}
    if vector:
        return {vector: _numbers(given[vector])}
    foreign = next((name for name in given if name not in signature.inputs), None)
    if foreign is not None:
        known = ", ".join(signature.inputs)
        raise InputError(f"There is no column {foreign[:80]!r}.", hint=f"There are: {known}.")
    return {name: _typed(name, values, signature.inputs[name]) for name, values in given.items()}


def _typed(name: str, values: list[Any], kind: str) -> list[Any]:
    """Text of a CSV as numbers where the model takes numbers."""
    if not kind.startswith(("int", "float", "double")) or not any(isinstance(value, str) for value in values):
        return values
    convert = int if kind.startswith("int") else float
    try:
        return [convert(value) if isinstance(value, str) else value for value in values]
    except ValueError:
        raise InputError(f"The column {name!r} holds a value that is no number.") from None


def _numbers(rows: Any) -> list[list[float]]:
    found = []
    for number, row in enumerate(rows):
        try:
            if not isinstance(row, list) or any(isinstance(value, bool) for value in row):
                raise ValueError
            found.append([float(value) for value in row])
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"Row {number} is no list of numbers.") from None
    if not found:
        raise InputError("There are no rows.", hint="Send at least one.")
    return found


def _from_palate(error: PalateError) -> Response:
    if error.status >= 500:
        log.error("%s", error)
    if isinstance(error, UnauthenticatedError):
        return _answer(401, "UNAUTHENTICATED", error)
    code = {403: "PERMISSION_DENIED", 404: "RESOURCE_DOES_NOT_EXIST", 503: "TEMPORARILY_UNAVAILABLE"}
    if error.status >= 500 and error.status != 503:
        return _from_bug(error)
    return _answer(error.status if error.status in code else 400, code.get(error.status, "BAD_REQUEST"), error)


def _from_http(error: HTTPException) -> Response:
    status = error.code or 500
    told = too_large() if status == 413 else error.description or ""
    return _from_bug(error) if status >= 500 else _answer(status, "BAD_REQUEST", told)


def _from_bug(error: Exception) -> Response:
    log.error("%s %r failed", request.method, request.path, exc_info=error)
    return _answer(500, "INTERNAL_ERROR", "Something went wrong; the log says what.")


def _answer(status: int, code: str, told: object) -> Response:
    return Response(json.dumps({"error_code": code, "message": str(told)}), status, mimetype="application/json")
