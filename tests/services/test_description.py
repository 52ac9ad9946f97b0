"""The recommender does what its OpenAPI description says, whatever it is sent."""

from __future__ import annotations

from tests.services.fuzzing import hold_to_its_word


def test_every_operation_answers_as_it_is_described(api):
    sent = hold_to_its_word(api.app, api.token, 2)
    assert len(sent) > 35
    assert min(sent.values()) > 0
    assert api.get("/v1/users/b1/recommendations").status_code == 200
