"""Another account's id is answered as one that is not there, by every route that takes one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.context import Farm
from renderfarm import accounts
from renderfarm.accounts import Scope
from tests.api.conftest import Caller, error_of, part, sent

JOB = "job_" + "0" * 24
#: An id that nobody has, by the endpoint that takes one. A route that is new needs a line here, or a reason
#: below why it shows the same to all.
UPLOAD = "upl_" + "0" * 24
CHARACTER, SCENE = "char_" + "0" * 24, "scene_" + "0" * 24
PRIVATE = {
    "render.cancel": JOB,
    "render.delete_files": JOB,
    "uploads.show": UPLOAD,
    "uploads.complete": UPLOAD,
    "uploads.drop": UPLOAD,
    "characters.show": CHARACTER,
    "characters.delete": CHARACTER,
    "scenes.show": SCENE,
    "scenes.delete": SCENE,
}
FOR_ALL = {
    "render.show": "whoever knows the id of a job may follow it, and sees nothing private",
    "events.stream": "the same, as it changes",
    "uploads.take": "a part is taken from whoever has its signed address",
    "files.show": "finished files are fetched by their address",
}


@pytest.fixture
def made(alice: Caller, upload: dict[str, Any]) -> str:
    """A job of alice's."""
    job_id: str = alice.post(upload).get_json()["job_id"]
    return job_id


def _routes(app: Flask) -> dict[tuple[str, str], str]:
    """The path of each route that takes an id, by endpoint and method."""
    return {
        (rule.endpoint, method): rule.rule
        for rule in app.url_map.iter_rules()
        if rule.arguments and rule.rule.startswith(("/api/", "/files/"))
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


def test_every_route_that_takes_an_id_is_looked_at_here(app: Flask) -> None:
    assert {endpoint for endpoint, _ in _routes(app)} == {*PRIVATE, *FOR_ALL}


def test_another_accounts_id_is_answered_as_one_that_is_not_there(
    app: Flask, alice: Caller, bob: Caller, made: str, media: Path
) -> None:
    image, video = ({"image": sent(media / "picture.png")}, {"video": sent(media / "clip.mp4")})
    character = alice.post(image, path="/api/characters/preprocess").get_json()["character_id"]
    scene = alice.post(video, path="/api/scenes/preprocess").get_json()["scene_id"]
    begun = alice.client.post("/api/uploads", json={"kind": "image", "size": 10}, headers=alice.headers)
    own = {JOB: made, UPLOAD: begun.get_json()["upload_id"], CHARACTER: character, SCENE: scene}
    for (endpoint, method), rule in _routes(app).items():
        if endpoint in PRIVATE:
            theirs, nobodys = (
                _seen(bob.client.open(re.sub("<.*?>", one, rule), method=method, headers=bob.headers))
                for one in (own[PRIVATE[endpoint]], PRIVATE[endpoint])
            )
            assert theirs == nobodys, endpoint
            assert theirs[0] == 404, endpoint


def test_another_accounts_cursor_shows_nothing_of_it(bob: Caller, made: str) -> None:
    assert bob.get(f"/api/render?cursor={made}").get_json()["jobs"] == []


#: What two answers never share.
_OF_EACH = {"Date", "X-Request-ID"}


def _seen(response: TestResponse) -> tuple[int, dict[str, str], Any]:
    headers = {name: value for name, value in response.headers.items() if name not in _OF_EACH}
    return response.status_code, headers, response.get_json()


def test_a_job_without_a_key_shows_nothing_private(client: FlaskClient, alice: Caller, made: str) -> None:
    shown = client.get(f"/api/render/{made}").text
    for private in (alice.account_id, alice.secret, "in/", "work/"):
        assert private not in shown


def test_a_farm_may_show_jobs_to_their_own_account_alone(
    app: Flask, farm: Farm, client: FlaskClient, alice: Caller, bob: Caller, made: str
) -> None:
    app.extensions["farm"] = replace(farm, settings=replace(farm.settings, status_needs_key=True))
    assert error_of(client.get(f"/api/render/{JOB}"), 401) == "CS-ORAU-001"
    assert alice.get(f"/api/render/{made}").get_json()["job_id"] == made
    for end in ("", "/events"):
        assert error_of(client.get(f"/api/render/{made}{end}"), 401) == "CS-ORAU-001"
        unknown = _seen(bob.get(f"/api/render/{JOB}{end}"))
        assert unknown[0] == 404
        assert _seen(bob.get(f"/api/render/{made}{end}")) == unknown
    assert error_of(bob.get("/api/render/%00"), 404) == "CS-UORC01-110"


def _with(caller: Caller, farm: Farm, *scopes: Scope) -> Caller:
    with farm.database.begin() as session:
        _, secret = accounts.create_key(session, caller.account_id, scopes)
    return Caller(caller.client, caller.account_id, secret)


def test_a_key_that_may_only_read_changes_nothing(farm: Farm, alice: Caller, made: str) -> None:
    reader = _with(alice, farm, Scope.READ)
    assert [job["job_id"] for job in reader.get("/api/render").get_json()["jobs"]] == [made]
    assert reader.get("/api/credits").status_code == 200
    for refused in (
        reader.post({"ref_image": part(b"x", "a.png")}),
        reader.delete(f"/api/render/{made}"),
    ):
        assert error_of(refused, 403) == "CS-UORC01-119"
        assert "`render`" in refused.get_json()["message"]
    assert _with(alice, farm, Scope.RENDER).delete(f"/api/render/{made}").status_code == 200


def test_what_is_free_is_shown_with_the_credits(farm: Farm, alice: Caller) -> None:
    shown = alice.get("/api/credits").get_json()
    limits = farm.settings
    assert shown["free"] == shown["data"]["free"]
    assert shown["free"] == {
        "preprocess": {"used": 0, "limit": limits.free_preprocess_per_day},
        "cancels": {"used": 0, "limit": limits.free_cancels_per_day},
    }
