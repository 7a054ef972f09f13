"""Whatever the document allows, and much that it does not: no answer that it does not know."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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

from tests.api.conftest import Caller, sent

#: Of each operation; by themselves as many as a test may take.
EXAMPLES = int(os.environ.get("SCHEMA_EXAMPLES", "3"))
_CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


#: What whoever knows an id may read.
_FOR_ALL = {"/api/render/{job_id}", "/api/render/{job_id}/events"}


@pytest.fixture
def alices(alice: Caller, upload: dict[str, Any], media: Path) -> dict[str, str]:
    """What alice has, by the names that paths have for their ids."""
    image, video = ({"image": sent(media / "picture.png")}, {"video": sent(media / "clip.mp4")})
    character = alice.post(image, path="/api/characters/preprocess").get_json()
    begun = alice.client.post("/api/uploads", json={"kind": "image", "size": 10}, headers=alice.headers)
    return {
        "job_id": alice.post(upload).get_json()["job_id"],
        "character_id": character["character_id"],
        "scene_id": alice.post(video, path="/api/scenes/preprocess").get_json()["scene_id"],
        "upload_id": begun.get_json()["upload_id"],
    }


@pytest.mark.parametrize("who", ["with a key", "without", "with a wrong key", "with another's key"])
def test_every_answer_is_a_documented_one(
    app: Flask, alice: Caller, bob: Caller, alices: dict[str, str], who: str
) -> None:
    headers = {
        "with a key": alice.headers,
        "without": {},
        "with a wrong key": {"Authorization": "Bearer sk-wrong"},
        "with another's key": bob.headers,
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
            hers = {name: alices[name] for name in case.path_parameters if name in alices}
            private = headers is bob.headers and case.path not in _FOR_ALL and bool(hers)
            if private:
                case.path_parameters = {**case.path_parameters, **hers}
            answer = case.call_and_validate(headers=headers, checks=_CHECKS)
            assert not (private and answer.status_code < 300), f"{case.method} {case.path} is another's"

        ask()
    assert asked >= EXAMPLES * 10
