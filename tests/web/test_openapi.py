from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from palate.web.contract import contract_of


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi.json").get_json()
    return found


def test_the_document_is_valid_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_each_route_with_a_contract_is_in_it(app: Flask, document: dict[str, Any]) -> None:
    expected = {
        rule.rule.replace("<path:", "{").replace("<", "{").replace(">", "}")
        for rule in app.url_map.iter_rules()
        if contract_of(app.view_functions[rule.endpoint])
    }
    assert set(document["paths"]) == expected


def test_parameters_bodies_answers_and_problems_are_told(document: dict[str, Any]) -> None:
    listed = document["paths"]["/v1/things"]["get"]
    limit = next(parameter for parameter in listed["parameters"] if parameter["name"] == "limit")
    assert limit["description"] == "How many to answer."
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"], limit["schema"]["default"]) == (1, 1000, 10)
    assert listed["security"] == [{"key": ["read"]}, {"session": ["read"]}]
    added = document["paths"]["/v1/things"]["post"]
    assert added["requestBody"]["content"]["application/json"]["schema"]["$ref"].startswith(
        "#/components/schemas/Thing"
    )
    assert {"201", "400", "401", "403", "413", "415", "422", "500"} <= set(added["responses"])
    problem = added["responses"]["422"]["content"]["application/problem+json"]["schema"]
    assert problem == {"$ref": "#/components/schemas/Problem"}
    assert document["paths"]["/health"]["get"]["security"] == []
    named = document["paths"]["/v1/things/{thing}"]["get"]
    assert named["parameters"] == [{"name": "thing", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert "404" in named["responses"]


def test_answers_fit_the_document(reader: FlaskClient, document: dict[str, Any]) -> None:
    """Real answers hold exactly the fields that their schemas name."""
    schemas = document["components"]["schemas"]
    answer = reader.get("/v1/things?category=a").get_json()
    assert set(answer) == set(schemas["Things"]["properties"])
    problem = reader.get("/v1/things?limit=0").get_json(force=True)
    assert set(problem) <= set(schemas["Problem"]["properties"])
    assert set(schemas["Problem"]["required"]) <= set(problem)
