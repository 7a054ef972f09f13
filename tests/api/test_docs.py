"""The description of the API, held against the API."""

from __future__ import annotations

import re
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import MethodNotAllowed

from api.openapi import undeclared
from renderfarm.errors import TABLE
from tests.api.conftest import Caller


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    found: dict[str, Any] = response.get_json()
    return found


def test_every_route_is_described_and_nothing_else(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(path, method) for path, methods in document["paths"].items() for method in methods}
    assert described == routes
    assert undeclared(app) == []


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    found = set(re.findall(r'"#/components/schemas/(\w+)"', str(document).replace("'", '"')))
    assert found
    assert found <= set(document["components"]["schemas"])


def test_every_code_of_the_table_appears_with_its_words(document: dict[str, Any]) -> None:
    assert [row["code"] for row in document["x-errors"]] == list(TABLE)
    enum = document["components"]["schemas"]["ErrorDetail"]["properties"]["error_code"]["enum"]
    assert enum == list(TABLE)


def test_an_upload_names_both_files_and_every_field(document: dict[str, Any]) -> None:
    schema = document["components"]["schemas"]["RenderUpload"]
    assert {"ref_image", "driving_video"} < set(schema["properties"])
    assert {"model", "background_mode", "bg_color", "fast", "scene_id"} < set(schema["properties"])


def test_it_names_where_the_farm_is_reached(document: dict[str, Any]) -> None:
    assert document["openapi"] == "3.1.0"
    assert document["servers"] == [{"url": "http://127.0.0.1:8080"}]


def test_the_page_shows_every_path_and_code_and_fetches_nothing(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    response = client.get("/docs")
    assert response.mimetype == "text/html"
    for word in [*document["paths"], *TABLE, *document["components"]["schemas"]]:
        assert word in response.text
    assert "list of JobAnswer" in re.sub(r"<[^>]*>", "", response.text)
    assert "list of any" not in response.text, "plain types are said as such"
    assert "<script" not in response.text
    assert re.findall(r'(?:src|href)="((?![/#])[^"]*)"', response.text) == []


def test_heads_and_options_of_every_route_are_answered_as_documented(
    app: Flask, alice: Caller, upload: dict[str, Any], document: dict[str, Any]
) -> None:
    own = alice.post(upload).get_json()["job_id"]
    for path in {
        re.sub(r"<.*?>", job_id, re.sub("<int:.*?>", "1", rule.rule))
        for rule in app.url_map.iter_rules()
        for job_id in ("job_" + "0" * 24, own)
    }:
        options = alice.client.options(path)
        assert (options.status_code, "OPTIONS" in options.allow) == (200, True), path
        for headers in (alice.headers, {}):
            head = alice.client.head(path, headers=headers)
            assert head.data == b""
            assert str(head.status_code) in _answers_to_head(app, document, path), path
    assert app.extensions["farm"].watching.open == 0, "no head holds a stream"


def _answers_to_head(app: Flask, document: dict[str, Any], path: str) -> set[str]:
    """The statuses that are documented for it: those of a GET, where the path has one."""
    try:
        rule, _ = app.url_map.bind("").match(path, "HEAD", return_rule=True)
    except MethodNotAllowed:
        return {"405"}
    documented = document["paths"][re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule)]
    return set(documented["get"]["responses"])
