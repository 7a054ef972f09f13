"""What a render would cost and when it would be there, asked before it is sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from api.context import Farm
from pipeline.spec import Model
from renderfarm import accounts
from renderfarm.accounts import Scope
from renderfarm.cli import main
from renderfarm.models import Asset, Job
from tests.api.conftest import Caller, assert_untouched, error_of, sent
from tests.api.test_fast import report
from tests.renderfarm.farm import worker

PATH = "/api/render/estimate"
FIELDS = {
    "credits", "model", "fast", "queue_position", "expected_wait_seconds", "expected_render_seconds",
    "enough_credits",
}  # fmt: skip


def ask(caller: Caller, **fields: Any) -> dict[str, Any]:
    response = caller.client.post(PATH, json=fields, headers=caller.headers)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.get_json()
    assert found.pop("data") == found
    assert set(found) == FIELDS
    return found


def test_it_is_what_a_render_then_holds_and_where_it_then_stands(
    alice: Caller, bob: Caller, farm: Farm, media: Any, upload: dict[str, Any]
) -> None:
    bob.post({"ref_image": sent(media / "picture.png"), "driving_video": sent(media / "clip.mp4")})
    told = ask(alice, duration_seconds=2.4, fps=25)
    taken = alice.client.get(f"/api/render/{alice.post(upload).get_json()['job_id']}").get_json()
    assert (told["credits"], told["queue_position"]) == (taken["credits"], taken["queue_position"])
    assert told["model"] == taken["model"]


def test_nothing_is_charged_or_kept_and_a_key_that_may_only_read_is_enough(alice: Caller, farm: Farm) -> None:
    with farm.database.begin() as session:
        _, secret = accounts.create_key(session, alice.account_id, [Scope.READ])
    ask(Caller(alice.client, alice.account_id, secret), duration_seconds=5)
    assert_untouched(farm, alice)


@pytest.mark.parametrize(
    ("seconds", "fps", "price"),
    [(0.5, 25, 1), (1, 25, 1), (1.04, 25, 1), (1.08, 25, 2), (10, 30, 10), (300, 24, 300)],
)
def test_a_last_lone_frame_costs_nothing(alice: Caller, seconds: float, fps: float, price: int) -> None:
    assert ask(alice, duration_seconds=seconds, fps=fps)["credits"] == price


def test_a_form_is_taken_as_json_is(alice: Caller) -> None:
    form = alice.client.post(PATH, data={"duration_seconds": "3", "fast": ""}, headers=alice.headers)
    assert form.get_json() == {**ask(alice, duration_seconds=3), "data": ask(alice, duration_seconds=3)}


def test_fast_costs_twice_and_stands_nowhere_without_room(alice: Caller, bob: Caller, farm: Farm) -> None:
    told = ask(alice, duration_seconds=3, fast=True, model="V3_Preview")
    assert (told["credits"], told["queue_position"], told["expected_wait_seconds"]) == (6, None, None)
    report(farm, worker("v3-1", "v3"), worker("v3-2", "v3"))
    told = ask(bob, duration_seconds=3, fast=True, model="V3_Preview")
    assert (told["credits"], told["queue_position"], told["expected_wait_seconds"]) == (6, 1, 0.0)
    assert ask(alice, duration_seconds=3, fast=True, model="V3_Preview")["queue_position"] is None, (
        "who asks again at once is told the same"
    )


def test_whoever_could_not_pay_is_told_so(alice: Caller, pauper: Caller) -> None:
    assert ask(alice, duration_seconds=100)["enough_credits"] is True
    assert ask(alice, duration_seconds=101)["enough_credits"] is False
    assert ask(pauper, duration_seconds=1)["enough_credits"] is False


def test_a_scene_is_priced_by_its_own_video_and_model(
    alice: Caller, bob: Caller, farm: Farm, media: Any
) -> None:
    form = {"video": sent(media / "clip.mp4"), "model": "V3_Preview"}
    scene_id = alice.post(form, path="/api/scenes/preprocess").get_json()["scene_id"]

    def refused(caller: Caller, **fields: str) -> str:
        return error_of(caller.client.post(PATH, json=fields, headers=caller.headers))

    assert refused(alice, scene_id=scene_id) == "CS-ORIV-010"
    with farm.database.begin() as session:
        scene = session.get_one(Asset, scene_id)
        session.get_one(Job, scene.job_id).status = "complete"
    told = ask(alice, scene_id=scene_id)
    assert (told["credits"], told["model"]) == (3, Model.V3)
    assert refused(alice, scene_id=scene_id, model="V4_Preview") == "CS-ORIV-013"
    assert refused(bob, scene_id=scene_id) == "CS-ORIV-009"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "CS-UORC01-002"),
        ({"scene_id": "scene_x", "duration_seconds": 1}, "CS-UORC01-002"),
        ({"duration_seconds": "nan"}, "CS-UORC01-002"),
        ({"duration_seconds": "inf"}, "CS-UORC01-002"),
        ({"duration_seconds": -1}, "CS-UORC01-002"),
        ({"duration_seconds": 1, "fps": 0}, "CS-UORC01-002"),
        ({"duration_seconds": 1, "model": "V5"}, "CS-UORC01-002"),
        ({"duration_seconds": 0.4}, "CS-ORIV-006"),
        ({"duration_seconds": 300.1}, "CS-ORIV-004"),
        ({"scene_id": "scene_" + "0" * 24}, "CS-ORIV-009"),
    ],
)
def test_what_no_render_could_be_is_refused_as_one_would_be(
    alice: Caller, fields: dict[str, Any], code: str
) -> None:
    assert error_of(alice.client.post(PATH, json=fields, headers=alice.headers)) == code


def test_the_command_prints_it_and_sends_nothing_else(
    alice: Caller, farm: Farm, url: str, media: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("FARM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FARM_API_URL", url)
    monkeypatch.setenv("FARM_API_KEY", alice.secret)
    words = ["render", str(media / "picture.png"), str(media / "clip.mp4"), "--estimate"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    shown = dict(line.strip().split("  ", 1) for line in result.stdout.splitlines())
    assert (shown["credits"], shown["model"], shown["enough credits"]) == ("3", "V4_Preview", "yes")
    assert shown["expected render seconds"] == "not known"
    assert_untouched(farm, alice)
    assert CliRunner().invoke(main, ["render", "--estimate"]).exit_code == 2
