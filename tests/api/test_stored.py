"""Renders from stored characters and scenes, in any mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from api.context import Farm
from pipeline.spec import Stage
from renderfarm import assets, credits, holdings
from renderfarm.models import Artifact, Asset, Garbage, Job, Unit
from renderfarm.replan import replan
from tests.api.conftest import Caller, error_of, sent
from tests.api.test_assets import post
from tests.api.test_fast import report
from tests.renderfarm.farm import worker

PEOPLE = ["person_a1b2c3d4", "person_e5f6a7b8"]
MADE = ("tracks", "plate", "matte-0000", "piece-0000", "character")


def _ready(farm: Farm, job_id: str) -> None:
    """As its last unit leaves the job, its files among its artifacts."""
    with farm.database.begin() as session:
        job = session.get_one(Job, job_id)
        job.status = "complete"
        unit = session.scalars(select(Unit.id).where(Unit.job_id == job_id)).first()
        if job.kind == "scene":
            job.facts = {**job.facts, "people": PEOPLE, "cuts": [10]}
        names = MADE[:-1] if job.kind == "scene" else MADE[-1:]
        for name in names:
            key = f"work/{job_id}/{name}"
            session.add(
                Artifact(job_id=job_id, name=name, unit_id=unit, attempt=1, key=key, size=1, sha256="0")
            )


def character_of(caller: Caller, farm: Farm, media: Path) -> str:
    taken = post(caller, "/api/characters/preprocess", {"image": sent(media / "picture.png")}).get_json()
    _ready(farm, taken["job_id"])
    made: str = taken["character_id"]
    return made


@pytest.fixture
def character(alice: Caller, farm: Farm, media: Path) -> str:
    return character_of(alice, farm, media)


@pytest.fixture
def scene(alice: Caller, farm: Farm, media: Path) -> str:
    data = {"video": sent(media / "clip.mp4"), "model": "V3_Preview", "background_mode": "transparent"}
    taken = post(alice, "/api/scenes/preprocess", data).get_json()
    _ready(farm, taken["job_id"])
    made: str = taken["scene_id"]
    return made


def submitted(farm: Farm, caller: Caller, data: dict[str, Any]) -> Job:
    answer = caller.post(data)
    assert answer.status_code == 202, answer.get_json()
    with farm.database.begin() as session:
        job = session.get_one(Job, answer.get_json()["job_id"])
        assert answer.get_json()["mode"] == job.mode
        return job


def first_units(farm: Farm, job: Job) -> set[str]:
    with farm.database.begin() as session:
        return set(session.scalars(select(Unit.stage).where(Unit.job_id == job.id)))


def artifacts(farm: Farm, job: Job) -> dict[str, str]:
    with farm.database.begin() as session:
        rows = session.execute(select(Artifact.name, Artifact.key).where(Artifact.job_id == job.id))
        return {name: key for name, key in rows}


def test_with_both_stored_only_the_drawing_is_left(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    job = submitted(farm, alice, {"character_id": character, "scene_id": scene})
    assert (job.mode, job.model, job.spec["background"]) == ("preprocessed", "V3_Preview", "transparent")
    assert job.stages == ["segment", "stitch"]
    assert first_units(farm, job) == {"segment"}
    assert set(artifacts(farm, job)) == {"tracks", "plate", "matte-0000", "character"}
    assert job.credits == 3  # of the scene's 2.4 seconds
    assert set(job.inputs) == {"picture", "video"}


def test_a_fast_render_of_stored_assets_is_many_units_from_the_start(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    report(farm, *(worker(f"v3-{number}", "v3") for number in range(12)))
    job = submitted(farm, alice, {"character_id": character, "scene_id": scene, "fast": "true"})
    with farm.database.begin() as session:
        units = session.scalars(select(Unit).where(Unit.job_id == job.id)).all()
    assert {(unit.stage, unit.fast) for unit in units} == {("segment", True)}
    assert len(units) == 2  # the scene has a cut
    assert job.credits == 6


def test_an_uploaded_picture_performs_a_stored_scene(
    alice: Caller, farm: Farm, scene: str, media: Path
) -> None:
    job = submitted(farm, alice, {"ref_image": sent(media / "picture.png"), "scene_id": scene})
    assert job.stages == ["reference", "segment", "stitch"]
    assert first_units(farm, job) == {"reference"}


def test_a_stored_character_performs_an_uploaded_video(
    alice: Caller, farm: Farm, character: str, media: Path
) -> None:
    job = submitted(
        farm,
        alice,
        {"character_id": character, "driving_video": sent(media / "clip.mp4"), "model": "V3_Preview"},
    )
    assert (job.mode, job.model) == ("preprocessed", "V3_Preview")
    assert Stage.REFERENCE.value not in job.stages
    assert first_units(farm, job) == {"analyse"}
    assert set(artifacts(farm, job)) == {"character"}


def test_a_mapping_says_who_plays_whom(
    alice: Caller, farm: Farm, character: str, scene: str, media: Path
) -> None:
    other = character_of(alice, farm, media)
    mapping = json.dumps({PEOPLE[1]: other, PEOPLE[0]: character})
    job = submitted(farm, alice, {"scene_id": scene, "character_mapping": mapping})
    assert job.spec["cast"] == {PEOPLE[1]: 0, PEOPLE[0]: 1}
    assert {"character", "character-0001"} <= set(artifacts(farm, job))
    both = json.dumps(dict.fromkeys(PEOPLE, character))
    job = submitted(farm, alice, {"scene_id": scene, "character_mapping": both})
    assert job.spec["cast"] == dict.fromkeys(PEOPLE, 0)


@pytest.mark.parametrize(
    ("mapping", "code"),
    [
        ({"person_00000000": "own"}, "CS-ORIV-012"),
        ({PEOPLE[0]: "char_" + "0" * 24}, "CS-ORIV-012"),
        ({PEOPLE[0]: ""}, "CS-ORIV-012"),
        ({PEOPLE[0]: 3}, "CS-ORIV-012"),
        ({PEOPLE[0]: "char_\0"}, "CS-ORIV-012"),
        ({"\ud800": "own"}, "CS-ORIV-012"),
    ],
)
def test_a_mapping_that_is_none_is_refused(
    alice: Caller, character: str, scene: str, mapping: dict[str, Any], code: str
) -> None:
    said = json.dumps({person: character if it == "own" else it for person, it in mapping.items()})
    assert error_of(alice.post({"scene_id": scene, "character_mapping": said}), 400) == code


def test_what_cannot_go_together_is_refused(
    alice: Caller, bob: Caller, farm: Farm, character: str, scene: str, media: Path
) -> None:
    picture, clip = sent(media / "picture.png"), sent(media / "clip.mp4")
    mapping = json.dumps({PEOPLE[0]: character})
    for data, status, code in (
        ({"character_id": character, "scene_id": scene, "model": "V4_Preview"}, 409, "CS-ORIV-013"),
        ({"ref_image": picture, "scene_id": scene, "character_mapping": mapping}, 400, "CS-ORIV-012"),
        ({"scene_id": scene}, 400, "CS-ORIV-001"),
        ({"character_id": character}, 400, "CS-ORIV-002"),
        ({"character_id": character, "driving_video": clip, "scene_id": scene}, 400, "CS-UORC01-002"),
    ):
        assert error_of(alice.post(dict(data)), status) == code
    assert error_of(bob.post({"character_id": character, "scene_id": scene}), 404) == "CS-ORIV-009"
    data = {"character_id": character, "driving_video": sent(media / "clip.mp4")}
    assert error_of(bob.post(data), 404) == "CS-ORIV-008"


def test_what_is_not_ready_is_waited_for_by_whoever_asks(alice: Caller, media: Path, scene: str) -> None:
    taken = post(alice, "/api/characters/preprocess", {"image": sent(media / "picture.png")}).get_json()
    refused = alice.post({"character_id": taken["character_id"], "scene_id": scene})
    assert error_of(refused, 409) == "CS-ORIV-010"


def test_what_was_prepared_by_other_versions_is_made_anew(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    with farm.database.begin() as session:
        for job in session.scalars(
            select(Job).where(Job.kind != "render", Job.account_id == alice.account_id)
        ):
            job.plan = {**job.plan, "perception": "0"}
    job = submitted(farm, alice, {"character_id": character, "scene_id": scene})
    assert job.mode == "full_pipeline"
    assert first_units(farm, job) == {"reference", "analyse"}
    assert artifacts(farm, job) == {}


def test_a_replanned_render_makes_all_of_it_itself(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    from pipeline.spec import Plan

    job = submitted(farm, alice, {"character_id": character, "scene_id": scene})
    newer = Plan.from_json({**job.plan, "perception": "99"})
    with farm.database.begin() as session:
        assert replan(session, job.id, newer)
    with farm.database.begin() as session:
        open_units = select(Unit.stage).where(Unit.job_id == job.id, Unit.status == "waiting")
        assert set(session.scalars(open_units)) == {"reference", "analyse"}
        assert "stitch" in session.get_one(Job, job.id).stages


def test_the_files_of_an_ended_render_are_deleted_and_what_was_lent_stays(
    alice: Caller, farm: Farm, character: str, scene: str, media: Path
) -> None:
    job = submitted(farm, alice, {"ref_image": sent(media / "picture.png"), "scene_id": scene})
    assert error_of(alice.delete(f"/api/render/{job.id}/files"), 409) == "CS-UORC01-124"
    with farm.database.begin() as session:
        row = session.get_one(Job, job.id)
        row.status, row.outputs = "complete", {"output": f"out/{job.id}/a.mp4"}
    assert alice.get(f"/api/render/{job.id}").get_json()["cdn_url"]
    for _ in range(2):
        shown = alice.delete(f"/api/render/{job.id}/files").get_json()
        assert (shown["status"], shown["cdn_url"]) == ("complete", None)
    with farm.database.begin() as session:
        thrown = set(session.scalars(select(Garbage.key)))
    assert {job.inputs["picture"], f"out/{job.id}/a.mp4"} <= thrown
    assert job.inputs["video"] not in thrown


def test_the_files_of_a_deleted_scene_stay_while_a_render_needs_them(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    job = submitted(farm, alice, {"character_id": character, "scene_id": scene})
    assert alice.delete(f"/api/scenes/{scene}").status_code == 200

    def thrown() -> bool:
        with farm.database.begin() as session:
            return job.inputs["video"] in set(session.scalars(select(Garbage.key)))

    assert not thrown()
    assert alice.delete(f"/api/render/{job.id}").status_code == 200
    assert thrown()
    with farm.database.begin() as session:
        assert job.inputs["picture"] not in holdings.own_inputs(session, session.get_one(Job, job.id))


def test_what_another_process_has_deleted_is_not_found_though_it_was_known_here(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    order = {"character_id": character, "scene_id": scene}
    submitted(farm, alice, order)
    before = alice.get("/api/credits").get_json()["held"]
    with farm.database.begin() as session:  # as another process would
        assets.delete(session, farm.settings, session.get_one(Asset, scene))
    assert error_of(alice.post(order), 404) == "CS-ORIV-009"
    assert error_of(alice.post({**order, "model": "V4_Preview"}), 404) == "CS-ORIV-009"
    assert alice.get("/api/credits").get_json()["held"] == before
    with farm.database.begin() as session:
        renders = select(Job.id).where(Job.account_id == alice.account_id, Job.kind == "render")
        assert len(session.scalars(renders).all()) == 1


def test_what_an_account_cannot_pay_leaves_nothing_behind(
    alice: Caller, farm: Farm, character: str, scene: str
) -> None:
    order = {"character_id": character, "scene_id": scene}
    taken = [alice.post(order).status_code for _ in range(34)]  # of 100 credits, three each
    assert taken == [202] * 33 + [402]
    with farm.database.begin() as session:
        jobs = select(Job.id).where(Job.account_id == alice.account_id, Job.kind == "render")
        assert len(session.scalars(jobs).all()) == 33
        units = select(Unit.id).where(Unit.account_id == alice.account_id, Unit.stage == "segment")
        assert len(session.scalars(units).all()) == 33
        assert credits.mismatches(session) == 0
