"""The OpenAPI 3.1 document of an app, made from what its routes declare, and the same in a form easy to lay out.

Models come as JSON Schema 2020-12 from pydantic, each once under `components/schemas`. Every operation names the
problems it may answer with and the scope it needs.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any

from flask import Flask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from werkzeug.routing import Rule

from palate.web.access import PUBLIC, SAFE, scope_of
from palate.web.contract import PAGE, Contract, contract_of
from palate.web.problems import HTTP_PROBLEMS, MIMETYPE

REF = "#/components/schemas/{model}"
PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "RFC 9457: what went wrong.",
    "required": ["type", "title", "status", "request_id"],
    "properties": {
        "type": {"type": "string", "description": "/problems/<slug>, stable; the page there explains it."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "request_id": {"type": "string", "description": "The same as the header X-Request-Id, and in the log."},
        "errors": {
            "type": "array",
            "description": "The fields at fault.",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}
_SCHEMES: dict[str, Any] = {
    "key": {"type": "http", "scheme": "bearer", "description": "An API key, made by `palate keys create`."},
    "session": {"type": "apiKey", "in": "cookie", "description": "The cookie of /sign-in; unsafe requests also need "
                "the header X-CSRF-Token."},
    "password": {"type": "http", "scheme": "basic", "description": "Any name; an API key is the password."},
}  # fmt: skip
_TYPES = {"int": "integer", "float": "number"}


def build(app: Flask, title: str, version: str, description: str) -> dict[str, Any]:
    """The whole document. Routes without a contract (pages, files) are left out."""
    rules = [rule for rule in app.url_map.iter_rules() if contract_of(app.view_functions[rule.endpoint])]
    schemas = _Schemas([contract_of(app.view_functions[rule.endpoint]) or Contract() for rule in rules])
    paths: dict[str, dict[str, Any]] = {}
    for rule in sorted(rules, key=lambda rule: rule.rule):
        path = re.sub(r"<(?:[^<>:]+:)?([^<>]+)>", r"{\1}", rule.rule)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            paths.setdefault(path, {})[method.lower()] = _operation(app, rule, method, schemas)
    shown = {"key", "session"}.union(
        *(way for path in paths.values() for operation in path.values() for way in operation["security"])
    )
    schemes = {name: dict(scheme) for name, scheme in _SCHEMES.items() if name in shown}
    schemes["session"]["name"] = app.config["SESSION_COOKIE_NAME"]
    info = {"title": title, "version": version}
    if description:
        info["description"] = description
    used = {tag for path in paths.values() for operation in path.values() for tag in operation["tags"]}
    return {
        "openapi": "3.1.0",
        "info": info,
        "servers": [{"url": "/"}],
        "tags": [_tag(app, name) for name in app.blueprints if name in used],
        "security": [{"key": []}, {"session": []}],
        "paths": paths,
        "components": {"schemas": {"Problem": PROBLEM, **schemas.definitions}, "securitySchemes": schemes},
    }


def _tag(app: Flask, name: str) -> dict[str, str]:
    text = "Health and readiness." if name == "palate" else (getattr(app.blueprints[name], "description", "") or "")
    return {"name": name, "description": text} if text else {"name": name}


class _Schemas:
    """The models of all contracts, converted in one go so that equal names don't collide."""

    def __init__(self, contracts: list[Contract]) -> None:
        wanted: dict[tuple[type[BaseModel], str], None] = {}
        for contract in contracts:
            for model in (contract.body, contract.form):
                if model is not None:
                    wanted[model, "validation"] = None
            if contract.gives is not None:
                wanted[contract.gives, "serialization"] = None
        found, whole = models_json_schema(list(wanted), ref_template=REF)  # type: ignore[arg-type]
        self._found: dict[Any, dict[str, Any]] = dict(found)
        self.definitions: dict[str, Any] = whole.get("$defs", {})

    def of(self, model: type[BaseModel], mode: str) -> dict[str, Any]:
        return self._found[model, mode]

    def parameters(self, model: type[BaseModel]) -> list[dict[str, Any]]:
        """Query parameters: one per field; models inside them join the components."""
        schema = model.model_json_schema(ref_template=REF)
        self.definitions.update(schema.get("$defs", {}))
        required = schema.get("required", [])
        listed = []
        for name, inner in schema.get("properties", {}).items():
            described = inner.pop("description", None)
            inner.pop("title", None)
            entry = {"name": name, "in": "query", "required": name in required, "schema": inner}
            listed.append(entry | ({"description": described} if described else {}))
        return listed


def _operation(app: Flask, rule: Rule, method: str, schemas: _Schemas) -> dict[str, Any]:
    view = app.view_functions[rule.endpoint]
    contract = contract_of(view) or Contract()
    scope = scope_of(app, rule.endpoint)
    summary, description = _prose(view)
    parameters = _path_parameters(rule) + (schemas.parameters(contract.query) if contract.query else [])
    operation: dict[str, Any] = {
        "operationId": f"{method.lower()}_{rule.endpoint.replace('.', '_')}",
        "tags": [rule.endpoint.rsplit(".", 1)[0] if "." in rule.endpoint else app.name],
        "summary": summary,
    }
    if description:
        operation["description"] = description
    if parameters:
        operation["parameters"] = parameters
    body = contract.body or contract.form
    if body is not None:
        kind = "application/json" if contract.body else "application/x-www-form-urlencoded"
        content: dict[str, Any] = {kind: {"schema": schemas.of(body, "validation")}}
        if contract.raw:
            content[contract.raw] = {"schema": {}}
        operation["requestBody"] = {"required": not contract.optional, "content": content}
    password = getattr(view, "__palate_password__", "")
    operation["responses"] = _responses(contract, password or scope, bool(rule.arguments), method, schemas)
    if password:
        operation["security"], operation["x-scope"] = [{"password": []}, {"key": [password]}], password
    elif scope == PUBLIC:
        operation["security"] = []
    else:
        operation["security"] = [{"key": [scope]}, {"session": [scope]}] if scope else [{"key": []}]
        operation["x-scope"] = scope
    return operation


def _responses(contract: Contract, scope: str | None, named: bool, method: str, schemas: _Schemas) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": contract.description}
    if contract.gives is not None and contract.status != 204:
        answer["content"] = {"application/json": {"schema": schemas.of(contract.gives, "serialization")}}
    if contract.media is not None:
        answer["content"] = {contract.media: {}}
    page = contract.media == PAGE
    problems = {400, 500, 503}
    problems |= {401, 403} if scope != PUBLIC else set()
    problems |= {404} if named or page else set()
    problems |= {422}
    problems |= {413, 415} if contract.body or contract.form else set()
    problems |= {409} if method not in SAFE else set()
    responses = {str(status): answer for status in (contract.status, *contract.also)}
    for status in sorted(problems):
        title = HTTP_PROBLEMS[status][1] if status in HTTP_PROBLEMS else "It is taken, or was changed meanwhile"
        content: dict[str, Any] = {MIMETYPE: {"schema": {"$ref": REF.format(model="Problem")}}}
        if page:
            content[PAGE] = {}
        responses[str(status)] = {"description": title, "content": content}
    return responses


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    parameters = []
    for kind, name in re.findall(r"<(?:([^<>:(]+)(?:\([^)]*\))?:)?([^<>]+)>", rule.rule):
        schema = {"type": _TYPES.get(kind, "string")}
        parameters.append({"name": name, "in": "path", "required": True, "schema": schema})
    return parameters


def _prose(view: Callable[..., Any]) -> tuple[str, str]:
    """(summary, description): the docstring's first line, and the rest."""
    first, _, rest = (inspect.getdoc(view) or view.__name__.replace("_", " ").capitalize()).partition("\n")
    return first.strip(), rest.strip()


def readable(document: dict[str, Any]) -> dict[str, Any]:
    """The document laid out for the /docs page: groups of operations, each with its parameters, bodies and answers."""
    schemas = document["components"]["schemas"]
    groups: dict[str, list[dict[str, Any]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            groups.setdefault(operation["tags"][0], []).append(_entry(path, method, operation, schemas))
    about = {tag["name"]: tag.get("description", "") for tag in document["tags"]}
    # The house's own routes first, what every service has last.
    ordered = sorted(groups.items(), key=lambda group: group[0] == "palate")
    listed = [{"name": _heading(name), "about": about.get(name, ""), "operations": found} for name, found in ordered]
    return {"info": document["info"], "groups": listed}


def _heading(name: str) -> str:
    return "Health" if name == "palate" else name.replace("_", " ").replace(".", " / ").capitalize()


def _entry(path: str, method: str, operation: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    parameters = []
    for parameter in operation.get("parameters", []):
        row = _field(parameter["name"], parameter["schema"], parameter["required"], schemas)
        parameters.append(row | {"about": parameter.get("description", ""), "in": parameter["in"]})
    success, problems = None, []
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            if success is not None:
                success["status"] += f" or {status}"
                continue
            content = response.get("content", {}).get("application/json")
            fields = _fields(content["schema"], schemas) if content else []
            success = {"status": status, "about": response["description"], "fields": fields}
        else:
            problems.append({"status": status, "about": response["description"]})
    body = next(iter(operation.get("requestBody", {}).get("content", {}).values()), None)
    return {
        "id": operation["operationId"], "method": method.upper(), "path": path, "summary": operation["summary"],
        "about": [part for part in operation.get("description", "").split("\n\n") if part],
        "scope": operation.get("x-scope"), "parameters": parameters,
        "body": _fields(body["schema"], schemas) if body else [],
        "success": success, "problems": problems,
    }  # fmt: skip


def _fields(
    schema: dict[str, Any], schemas: dict[str, Any], prefix: str = "", seen: frozenset[str] = frozenset()
) -> list[dict[str, Any]]:
    """The fields of an object, those of objects within it indented below by their dotted names."""
    schema, name = _resolve(schema, schemas)
    if name in seen:
        return []
    rows = []
    for field, inner in schema.get("properties", {}).items():
        rows.append(_field(prefix + field, inner, field in schema.get("required", []), schemas))
        for part in (inner, *inner.get("anyOf", [])):
            nested, _ = _resolve(part, schemas)
            items, _ = _resolve(nested.get("items", {}) if isinstance(nested.get("items"), dict) else {}, schemas)
            for found, mark in ((nested, "."), (items, "[].")):
                if found.get("properties") and len(seen) < 3:
                    deeper = seen | {name or ""}
                    for row in _fields(found, schemas, prefix + field + mark, deeper):
                        if row not in rows:
                            rows.append(row)
    return rows


def _field(name: str, schema: dict[str, Any], required: bool, schemas: dict[str, Any]) -> dict[str, Any]:
    default = schema.get("default")
    shown = json.dumps(default, ensure_ascii=False) if "default" in schema and default not in (None, [], {}) else ""
    return {
        "name": name, "type": _type(schema, schemas), "required": required, "default": shown,
        "about": schema.get("description", ""), "limits": _limits(schema),
    }  # fmt: skip


def _resolve(schema: dict[str, Any], schemas: dict[str, Any]) -> tuple[dict[str, Any], str | None]:
    if "$ref" not in schema:
        return schema, None
    name = schema["$ref"].rsplit("/", 1)[1]
    return schemas.get(name, {}), name


def _type(schema: dict[str, Any], schemas: dict[str, Any]) -> str:
    schema, name = _resolve(schema, schemas)
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    if "const" in schema:
        return json.dumps(schema["const"], ensure_ascii=False)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " | ".join(dict.fromkeys(_type(part, schemas) for part in schema[key]))
    kind = schema.get("type", "object" if "properties" in schema else "any")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}), schemas)}"
    return schema.get("title", name or "object") if kind == "object" and "properties" in schema else str(kind)


_LIMITS = (
    ("minimum", "≥ {}"), ("exclusiveMinimum", "> {}"), ("maximum", "≤ {}"), ("exclusiveMaximum", "< {}"),
    ("minLength", "at least {} characters"), ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"), ("maxItems", "at most {}"), ("pattern", "matches {}"), ("format", "{}"),
)  # fmt: skip


def _limits(schema: dict[str, Any]) -> str:
    parts = [schema, *schema.get("anyOf", [])]
    return ", ".join(text.format(part[key]) for part in parts for key, text in _LIMITS if key in part)
