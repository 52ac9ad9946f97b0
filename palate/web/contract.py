"""What a view takes and gives, declared on it: checked on the way in, documented in OpenAPI.

class Search(Model):
    limit: int = Field(10, ge=1, le=1000)

@bp.get("/items")
@takes(query=Search)
@gives(ItemList)
def items(query: Search) -> ItemList: ...
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar, get_origin

from flask import Response, current_app, request
from flask.globals import request_ctx
from pydantic import BaseModel, ConfigDict, ValidationError
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import RequestEntityTooLarge, UnsupportedMediaType

from palate.errors import InputError
from palate.web import strictjson
from palate.web.problems import FieldErrors, too_large

View = TypeVar("View", bound=Callable[..., Any])
LONGEST_LIST = 1000
PAGE = "text/html"


class Model(BaseModel):
    """The base of requests and answers: no unknown fields, no NaN, no changes after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, protected_namespaces=())


M = TypeVar("M", bound=Model)


class Body(Model):
    """The base of JSON bodies that say their types: "10" is no number there, as it is in a query."""

    model_config = ConfigDict(strict=True)


@dataclass(frozen=True)
class Contract:
    """What one view declares."""

    query: type[Model] | None = None
    body: type[Model] | None = None
    form: type[Model] | None = None
    raw: str | None = None
    """A type of body that the view reads by itself, in place of `body`."""
    optional: bool = False
    """Whether the body may be left out."""
    gives: type[BaseModel] | None = None
    status: int = 200
    also: tuple[int, ...] = ()
    """Other statuses with the same answer."""
    description: str = "The answer."
    media: str | None = None
    """The type of a file that is given in place of JSON."""


def contract_of(view: Callable[..., Any]) -> Contract | None:
    """What `view` declared with `takes` and `gives`; None for a page or a bare view."""
    found: Contract | None = getattr(view, "__palate_contract__", None)
    return found


def takes(
    *,
    query: type[Model] | None = None,
    body: type[Model] | None = None,
    form: type[Model] | None = None,
    raw: str | None = None,
    optional: bool = False,
) -> Callable[[View], View]:
    """The view gets keyword arguments `query`, `body`, `form`, checked by these models.

    A field that is a list takes a parameter repeated, any other only once. Answers 422 with the fields at fault, 415
    when the body is not `application/json`, 400 when it is not JSON at all. Of a body of the type `raw` the view gets
    `body=None`, and reads it from the request. optional: without a body every field of it is its default. Say so where
    the body holds details only; elsewhere an empty one was more likely lost.
    """

    def decorate(view: View) -> View:
        @functools.wraps(view)
        def checked(*args: Any, **kwargs: Any) -> Any:
            if query is not None:
                given = request_ctx.request
                kwargs["query"] = validate(query, flat(query, given.args) if given.query_string else {})
            if body is not None:
                if raw and request.mimetype == raw:
                    kwargs["body"] = None
                else:
                    kwargs["body"] = validate(body, {} if optional and not read_body() else _read(raw))
            if form is not None:
                fields = flat(form, request.form)
                if "csrf_token" not in form.model_fields:
                    fields.pop("csrf_token", None)
                kwargs["form"] = validate(form, fields)
            return view(*args, **kwargs)

        declared: View = _declare(checked, query=query, body=body, form=form, raw=raw, optional=optional)
        return declared

    return decorate


def gives(
    model: type[BaseModel], *, status: int = 200, also: tuple[int, ...] = (), description: str = "The answer."
) -> Callable[[Callable[..., Any]], Callable[..., Response]]:
    """The view returns an instance of `model`, or (instance, status), or (instance, status, headers).

    also: other statuses that it answers with, such as 201 for what is new.
    """

    def decorate(view: Callable[..., Any]) -> Callable[..., Response]:
        @functools.wraps(view)
        def answered(*args: Any, **kwargs: Any) -> Response:
            value = view(*args, **kwargs)
            if isinstance(value, Response):
                return value
            value, code, headers = _parts(value, status)
            body = value.model_dump_json(by_alias=True) if isinstance(value, BaseModel) else None
            if body is None:
                raise TypeError(f"{view.__name__} must return {model.__name__}, not {type(value).__name__}")
            return Response(body, code, headers, mimetype="application/json")

        declared: Callable[..., Response] = _declare(
            answered, gives=model, status=status, also=also, description=description
        )
        return declared

    return decorate


def gives_file(media: str, *, description: str = "The file.") -> Callable[[View], View]:
    """The view returns a response whose body is a file of this type."""

    def decorate(view: View) -> View:
        declared: View = _declare(view, media=media, description=description)
        return declared

    return decorate


def gives_page(*, leads_on: bool = False) -> Callable[[View], View]:
    """The view returns a page for people, which also says what is not found or not valid.

    leads_on: where all is well it leads to another page instead.
    """

    def decorate(view: View) -> View:
        more = {"status": 303, "description": "It is done; leads to the page that shows it."} if leads_on else {}
        declared: View = _declare(view, media=PAGE, **{"description": "The page.", **more})
        return declared

    return decorate


def read_body() -> bytes:
    """The request's body, all of it. Raises InputError if it ended early, RequestEntityTooLarge if it is too large."""
    asked = request_ctx.request  # each use of `request` looks it up anew, and each length is parsed anew
    body, length = asked.get_data(cache=True), asked.content_length
    if length is None and (most := asked.max_content_length) is not None and len(body) >= most:
        raise RequestEntityTooLarge  # sent in chunks, it is read up to the limit, and the rest is left out
    if len(body) < (length or 0):
        # The server gives what came before the connection broke; half a batch may well be proper JSON, or CSV.
        raise InputError("The body ended early.", hint=f"Content-Length says {length} bytes.")
    return body


def read_json(other: str | None = None) -> Any:
    """The request's body as strict JSON. Raises UnsupportedMediaType (naming `other` as well), and as `read_body`."""
    if request.mimetype != "application/json":
        raise UnsupportedMediaType(f"Send the body as application/json{f' or {other}' if other else ''}.")
    body = read_body()
    if not body.strip():
        raise InputError("The body is empty; JSON is expected.")
    return strictjson.loads(body, max_depth=current_app.config["MAX_JSON_DEPTH"])


def _read(other: str | None) -> Any:
    try:
        return read_json(other)
    except RequestEntityTooLarge:
        raise RequestEntityTooLarge(f"{too_large()} More is read as {other}." if other else None) from None


def validate(model: type[M], data: Any) -> M:
    """An instance of `model`; raises FieldErrors naming each field that does not fit."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise FieldErrors([_plain(entry) for entry in found[:50]]) from None


def flat(model: type[Model], values: MultiDict[str, str]) -> dict[str, Any]:
    """Query or form fields as a dictionary: a list where the model has a list, one value elsewhere."""
    if not values:
        return {}
    lists = _lists(model)
    result: dict[str, Any] = {}
    for name in values:
        given = values.getlist(name)
        if name in lists:
            if len(given) > LONGEST_LIST:
                raise FieldErrors([(name, f"At most {LONGEST_LIST} values.")])
            result[name] = given
        elif len(given) > 1:
            raise FieldErrors([(name, "Given more than once.")])
        else:
            result[name] = given[0]
    return result


@functools.cache
def _lists(model: type[Model]) -> frozenset[str]:
    """The fields that take a parameter repeated."""
    return frozenset(field.alias or name for name, field in model.model_fields.items() if _is_list(field.annotation))


def _plain(entry: Any) -> tuple[str, str]:
    place = ".".join(str(part)[:200] for part in entry["loc"])
    if entry["type"] == "extra_forbidden":
        return place, "There is no such field."
    if entry["type"] in ("model_type", "dict_type"):  # pydantic names the class, which callers have never seen
        return place, "Input should be an object."
    message = entry["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return place, message if message.endswith(".") else f"{message}."


def _is_list(annotation: Any) -> bool:
    kinds = (list, tuple, set, frozenset)
    if annotation in kinds or get_origin(annotation) in kinds:
        return True
    # Optional lists and annotated ones: look inside.
    return any(_is_list(part) for part in getattr(annotation, "__args__", ()))


def _parts(value: Any, status: int) -> tuple[Any, int, Any]:
    if not isinstance(value, tuple):
        return value, status, None
    if len(value) == 2:
        return value[0], value[1], None
    return value[0], value[1], value[2]


def _declare(view: Any, **parts: Any) -> Any:
    present = {name: part for name, part in parts.items() if part is not None}
    view.__palate_contract__ = replace(contract_of(view) or Contract(), **present)
    return view
