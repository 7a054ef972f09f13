"""Errors that no view raises by itself."""

from __future__ import annotations

import pytest
from flask import Flask, abort
from flask.testing import FlaskClient

from renderfarm.errors import TABLE, FarmError
from tests.api.conftest import error_of


@pytest.mark.parametrize("path", ["/", "/api", "/api/nothing", "/metrics", "/api/render/a/b/c", "/%FF"])
def test_an_unknown_path_is_json(client: FlaskClient, path: str) -> None:
    assert error_of(client.get(path), 404) == "CS-UORC01-115"


def test_an_unknown_method_is_json_and_says_which_are_known(client: FlaskClient) -> None:
    response = client.put("/api/render")
    assert error_of(response, 405) == "CS-UORC01-115"
    assert {"GET", "POST"} <= set(response.headers["Allow"].split(", "))


def test_a_slash_at_the_end_changes_nothing(client: FlaskClient) -> None:
    assert client.get("/healthz/").status_code == 200


def test_a_fault_of_ours_says_nothing_of_itself(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> None:
        raise ZeroDivisionError("secret inner workings")

    app.add_url_rule("/broken", view_func=broken)
    response = app.test_client().get("/broken")
    assert error_of(response, 500) == "CS-UORC01-199"
    assert "secret" not in response.text
    assert "Traceback" not in response.text
    assert "secret inner workings" in caplog.text  # but the log has it
    assert response.headers["X-Request-ID"]  # by which it is found there


@pytest.mark.parametrize(
    ("status", "code"), [(400, "CS-UORC01-002"), (413, "CS-ORIV-005"), (503, "CS-UORC01-199")]
)
def test_what_flask_aborts_has_a_code(app: Flask, status: int, code: str) -> None:
    app.add_url_rule("/aborted", view_func=lambda: abort(status))
    assert error_of(app.test_client().get("/aborted"), status) == code


@pytest.mark.parametrize("code", TABLE)
def test_every_code_of_the_table_is_answered_in_both_forms(app: Flask, code: str) -> None:
    def refused() -> None:
        raise FarmError(code)

    app.add_url_rule("/refused", view_func=refused)
    response = app.test_client().get("/refused")
    assert error_of(response, TABLE[code].status) == code
    assert response.get_json()["detail"]["action"] == TABLE[code].action
