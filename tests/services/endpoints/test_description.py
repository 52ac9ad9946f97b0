"""The endpoints' server does what its OpenAPI description says, whatever it is sent."""

from __future__ import annotations

from tests.services.fuzzing import hold_to_its_word


def test_every_operation_answers_as_it_is_described(open_api, bundles):
    api = open_api()
    assert api.deploy("pca", bundles / "pca").status_code == 201
    sent = hold_to_its_word(api.app, api.token, 4)
    assert {"PUT /v1/endpoints/{name}", "POST /v1/endpoints/{name}/transforms"} <= set(sent)
    assert min(sent.values()) > 0
