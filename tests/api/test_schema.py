"""Whatever the document allows, and much that it does not: no answer that it does not know."""

from __future__ import annotations

import os

import pytest
import schemathesis
from flask import Flask
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.conftest import Caller

#: Of each operation; by themselves as many as a test may take.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3"))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


@pytest.mark.parametrize("who", ["with a key", "without", "with a wrong key"])
def test_every_answer_is_a_documented_one(app: Flask, alice: Caller, who: str) -> None:
    headers = {
        "with a key": alice.headers,
        "without": {},
        "with a wrong key": {"Authorization": "Bearer sk-wrong"},
    }[who]
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(7)
        @settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def ask(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            case.call_and_validate(headers=headers, checks=_CHECKS)

        ask()
    assert asked >= EXAMPLES * 10
