"""Requests made up from an app's own OpenAPI description, sent to it, and every answer held against the description."""

from __future__ import annotations

from typing import Any

import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import CHECKS, load_all_checks


@schemathesis.serializer("application/x-ndjson")
def _lines(context: Any, value: Any) -> bytes:
    return str(value).encode("utf-8", "replace")


_NOT = {"positive_data_acceptance"}
"""A description cannot say all: that a time lies far ahead, a filter cannot be read, a bundle is not there."""


def hold_to_its_word(app: Flask, token: str, examples: int) -> dict[str, int]:
    """How many requests were sent to each operation; of the proper kind and of the other one `examples` each at most.

    Raises what schemathesis raises for an answer that the description does not promise.
    """
    headers = {"Authorization": f"Bearer {token}"}
    load_all_checks()  # those of OpenAPI register themselves when they are imported, and not before
    checks = [CHECKS.get_one(name) for name in CHECKS.get_all_names() if name not in _NOT]
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app, headers=headers)
    sent: dict[str, int] = {}
    for found in schema.get_all_operations():
        operation = found.ok()
        sent[operation.label] = 0
        for mode in schemathesis.GenerationMode:

            @settings(
                max_examples=examples, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(operation.as_strategy(generation_mode=mode))
            def ask(case: Any) -> None:
                case.call_and_validate(checks=checks, headers=headers)
                sent[case.operation.label] += 1

            try:
                ask()
            except Unsatisfiable:  # nothing can be wrong about a request that takes nothing
                continue
    return sent
