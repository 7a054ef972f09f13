"""Characters, scenes and templates through the door."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse, encode_multipart

from api.context import Farm
from renderfarm import assets
from renderfarm.models import Asset, Job
from tests.api.conftest import Caller, assert_untouched, error_of, part, sent


def post(caller: Caller, path: str, data: dict[str, Any], **headers: str) -> TestResponse:
    boundary, body = encode_multipart(data)
    kind = f"multipart/form-data; boundary={boundary}"
    return caller.client.post(path, data=body, content_type=kind, headers={**caller.headers, **headers})


@pytest.fixture
def character(alice: Caller, media: Path) -> dict[str, Any]:
    data = {"name": "Elf", "image": sent(media / "picture.png")}
    answered: dict[str, Any] = post(alice, "/api/characters/preprocess", data).get_json()
    return answered


@pytest.fixture
def scene(alice: Caller, media: Path) -> dict[str, Any]:
    data = {"name": "Street", "video": sent(media / "clip.mp4"), "model": "V3_Preview"}
    answered: dict[str, Any] = post(alice, "/api/scenes/preprocess", data).get_json()
    return answered


def make_ready(farm: Farm, job_id: str) -> None:
    """As its last unit leaves the job."""
    with farm.database.begin() as session:
        job = session.get_one(Job, job_id)
        job.status = "complete"
        job.facts = {**job.facts, "people": ["person_a1b2c3d4"]}
        job.outputs = {name: f"out/{job_id}/{name}.jpg" for name in ("thumbnail", "portrait-0000")}


def test_a_character_is_prepared_for_nothing(alice: Caller, farm: Farm, character: dict[str, Any]) -> None:
    assert character["status"] == "pending"
    assert character["data"] == {name: value for name, value in character.items() if name != "data"}
    shown = alice.get(f"/api/characters/{character['character_id']}").get_json()
    assert (shown["name"], shown["status"], shown["credits_used"]) == ("Elf", "pending", 0)
    assert shown["job_id"] == character["job_id"]
    credits = alice.get("/api/credits").get_json()
    assert (credits["balance"], credits["held"]) == (100, 0)
    assert credits["free"]["preprocess"]["used"] == 1
    make_ready(farm, character["job_id"])
    ready = alice.get(f"/api/characters/{character['character_id']}").get_json()["data"]
    assert ready["status"] == "ready"
    assert ready["thumbnail_url"].endswith("/thumbnail.jpg")


def test_a_scene_names_its_people_once_it_is_ready(alice: Caller, farm: Farm, scene: dict[str, Any]) -> None:
    shown = alice.get(f"/api/scenes/{scene['scene_id']}").get_json()
    assert (shown["status"], shown["model"], shown["segments"]) == ("pending", "V3_Preview", [])
    assert shown["duration_seconds"] == pytest.approx(2.4, abs=0.1)
    make_ready(farm, scene["job_id"])
    (person,) = alice.get(f"/api/scenes/{scene['scene_id']}").get_json()["segments"]
    assert (person["uuid"], person["type"]) == ("person_a1b2c3d4", "human")
    assert person["thumbnail_url"].endswith("/portrait-0000.jpg")


def test_a_deleted_asset_is_not_found_nor_listed(
    alice: Caller, character: dict[str, Any], scene: dict[str, Any]
) -> None:
    for kind, own in (("characters", character["character_id"]), ("scenes", scene["scene_id"])):
        listed = alice.get(f"/api/{kind}").get_json()
        assert [one["id"] for one in listed[kind]] == [own] == [one["id"] for one in listed["data"][kind]]
        assert alice.delete(f"/api/{kind}/{own}").get_json()["id"] == own
        assert alice.get(f"/api/{kind}").get_json()[kind] == []
        code = "CS-ORIV-008" if kind == "characters" else "CS-ORIV-009"
        assert error_of(alice.get(f"/api/{kind}/{own}"), 404) == code
        assert error_of(alice.delete(f"/api/{kind}/{own}"), 404) == code


def test_pages_follow_each_other_newest_first(alice: Caller, media: Path) -> None:
    made = [
        post(alice, "/api/characters/preprocess", {"image": sent(media / "picture.png")}).get_json()
        for _ in range(3)
    ]
    ids = [one["character_id"] for one in reversed(made)]
    first = alice.get("/api/characters?limit=2").get_json()
    second = alice.get(f"/api/characters?limit=2&cursor={first['next_cursor']}").get_json()
    assert [one["id"] for one in first["characters"] + second["characters"]] == ids
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("path", "data", "code"),
    [
        ("characters", {}, "CS-ORIV-001"),
        ("characters", {"image": part(b"GIF89a", "a.gif")}, "CS-ORIV-003"),
        ("characters", {"image": part(b"\x89PNG\r\n\x1a\n", "a.png")}, "CS-ORIV-007"),
        ("characters", {"image_url": "http://127.0.0.1/a.png"}, "CS-ORIV-014"),
        ("characters", {"name": "a\0b"}, "CS-UORC01-002"),
        ("characters", {"name": "x" * 201}, "CS-UORC01-002"),
        ("scenes", {}, "CS-ORIV-002"),
        ("scenes", {"model": "V9"}, "CS-UORC01-002"),
        ("scenes", {"background_mode": "blur"}, "CS-ORIV-011"),
        ("scenes", {"video": part(b"hello", "a.mp4")}, "CS-ORIV-003"),
    ],
)
def test_what_is_refused_leaves_nothing(
    alice: Caller, farm: Farm, path: str, data: dict[str, Any], code: str
) -> None:
    assert error_of(post(alice, f"/api/{path}/preprocess", data), 400) == code
    assert_untouched(farm, alice)


def test_a_preparation_that_is_sent_again_is_the_same(alice: Caller, media: Path) -> None:
    def ask(name: str) -> TestResponse:
        data = {"name": name, "image": sent(media / "picture.png")}
        return post(alice, "/api/characters/preprocess", data, **{"Idempotency-Key": "elf"})

    first, again = ask("Elf"), ask("Elf")
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert error_of(ask("Dwarf"), 409) == "CS-UORC01-113"


def test_an_upload_is_taken_in_place_of_the_file(alice: Caller, media: Path) -> None:
    data = (media / "picture.png").read_bytes()
    begun = alice.client.post(
        "/api/uploads", json={"kind": "image", "size": len(data)}, headers=alice.headers
    ).get_json()
    alice.client.put(begun["url"].partition("/api/")[2].join(["/api/", ""]), data=data)
    alice.client.post(f"/api/uploads/{begun['upload_id']}/complete", headers=alice.headers)
    taken = post(alice, "/api/characters/preprocess", {"upload_id": begun["upload_id"]})
    assert taken.status_code == 202
    again = post(alice, "/api/characters/preprocess", {"image": begun["upload_id"]})
    assert error_of(again, 404) == "CS-UORC01-116"


def test_a_template_is_imported_ready(alice: Caller, bob: Caller, farm: Farm, scene: dict[str, Any]) -> None:
    make_ready(farm, scene["job_id"])
    with farm.database.begin() as session:
        template = assets.publish(session, farm.settings, scene["scene_id"], "Street")
    shown = bob.get("/api/templates").get_json()["templates"]
    assert template.id in {one["template_id"] for one in shown}
    body = {"template_id": template.id, "name": "mine"}
    taken = bob.client.post("/api/scenes/import", json=body, headers=bob.headers)
    assert (taken.status_code, taken.get_json()["status"]) == (202, "ready")
    mine = bob.get(f"/api/scenes/{taken.get_json()['scene_id']}").get_json()
    assert (mine["name"], mine["status"], len(mine["segments"])) == ("mine", "ready", 1)
    assert bob.get("/api/credits").get_json()["free"]["preprocess"]["used"] == 0
    for wrong in ("template_" + "0" * 24, scene["scene_id"]):
        refused = bob.client.post("/api/scenes/import", json={"template_id": wrong}, headers=bob.headers)
        assert error_of(refused, 404) == "CS-UORC01-120"
    with farm.database.begin() as session:
        assert session.get_one(Asset, template.id).published_at is not None
