"""Files that are sent by themselves, over the embedded store, and used by their id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from api.context import Farm
from renderfarm import db, uploads
from renderfarm.models import Garbage, Job, Upload
from renderfarm.sweep import Sweeper
from tests.api.conftest import Caller, error_of


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of four kilobytes."""
    monkeypatch.setattr(uploads, "WHOLE", 8 << 10)
    monkeypatch.setattr(uploads, "PART", 4 << 10)


def begun(caller: Caller, kind: str, size: int, **more: Any) -> dict[str, Any]:
    asked = {"kind": kind, "size": size, **more}
    response = caller.client.post("/api/uploads", headers=caller.headers, json=asked)
    assert response.status_code == 201, response.get_data()
    body: dict[str, Any] = response.get_json()
    assert body["data"]["upload_id"] == body["upload_id"]
    return body


def send(caller: Caller, upload: dict[str, Any], data: bytes, *numbers: int) -> None:
    for part in upload["parts"]:
        if not numbers or part["number"] in numbers:
            start = (part["number"] - 1) * upload["part_size"]
            answered = caller.client.put(part["url"], data=data[start : start + part["size"]])
            assert answered.status_code == 200, answered.get_data()


def completed(caller: Caller, kind: str, data: bytes) -> str:
    upload = begun(caller, kind, len(data))
    send(caller, upload, data)
    path = f"/api/uploads/{upload['upload_id']}/complete"
    assert caller.client.post(path, headers=caller.headers).get_json()["state"] == "complete"
    return str(upload["upload_id"])


def test_parts_come_in_any_order_and_are_told(alice: Caller, farm: Farm, media: Path) -> None:
    data = (media / "clip.mp4").read_bytes()
    upload = begun(alice, "video", len(data))
    path = f"/api/uploads/{upload['upload_id']}"
    last = len(upload["parts"])
    assert last > 2
    send(alice, upload, data, last, 1)
    assert error_of(alice.client.post(f"{path}/complete", headers=alice.headers), 409) == "CS-UORC01-123"
    there = [part["number"] for part in alice.get(path).get_json()["parts"] if part["received"]]
    assert there == [1, last]
    send(alice, upload, data)
    for _ in range(2):  # once more is no error
        assert alice.client.post(f"{path}/complete", headers=alice.headers).status_code == 200
    (key,) = farm.storage.list(f"in/{alice.account_id}/")
    assert Path(farm.storage.source(key)).read_bytes() == data
    assert error_of(alice.client.put(upload["parts"][0]["url"], data=b"x"), 404) == "CS-UORC01-116"


def test_a_render_takes_uploads_by_their_ids_once(alice: Caller, farm: Farm, media: Path) -> None:
    picture = completed(alice, "image", (media / "picture.png").read_bytes())
    video = completed(alice, "video", (media / "clip.mp4").read_bytes())
    order = {"ref_image": picture, "driving_video_upload_id": video}
    alice.headers["Idempotency-Key"] = f"once {video}"
    job_id = alice.client.post("/api/render", headers=alice.headers, json=order).get_json()["job_id"]
    again = alice.client.post("/api/render", headers=alice.headers, json=order)
    assert (again.get_json()["job_id"], again.headers["Idempotency-Replayed"]) == (job_id, "true")
    del alice.headers["Idempotency-Key"]
    twice = alice.client.post("/api/render", headers=alice.headers, json=order)
    assert error_of(twice, 404) == "CS-UORC01-116"
    with farm.database.begin() as session:
        for key in session.get_one(Job, job_id).inputs.values():
            assert farm.storage.exists(key)
            assert session.get(Garbage, key) is None


def test_nobody_else_finds_an_upload(alice: Caller, bob: Caller, media: Path) -> None:
    video = completed(alice, "video", (media / "clip.mp4").read_bytes())
    path = f"/api/uploads/{video}"
    for response in (
        bob.get(path),
        bob.delete(path),
        bob.client.post(f"{path}/complete", headers=bob.headers),
        bob.client.post(
            "/api/render", headers=bob.headers, json={"ref_image": video, "driving_video": video}
        ),
        bob.client.put(f"{path}/parts/1?signature=00", data=b"x"),
    ):
        assert error_of(response, 404) == "CS-UORC01-116"
    assert error_of(alice.client.get(path), 401) == "CS-ORAU-001"


@pytest.mark.parametrize(
    ("asked", "status", "code"),
    [
        ({"kind": "sound", "size": 5}, 400, "CS-UORC01-002"),
        ({"kind": "video"}, 400, "CS-UORC01-002"),
        ({"kind": "video", "size": 0}, 400, "CS-UORC01-002"),
        ({"kind": "video", "size": 5, "sha256": "no"}, 400, "CS-UORC01-002"),
        ({"kind": "video", "size": (500 << 20) + 1}, 413, "CS-ORIV-005"),
    ],
)
def test_what_cannot_be_sent_is_refused(alice: Caller, asked: dict[str, Any], status: int, code: str) -> None:
    response = alice.client.post("/api/uploads", headers=alice.headers, json=asked)
    assert error_of(response, status) == code


def test_a_part_has_its_size_and_the_file_its_digest(alice: Caller) -> None:
    upload = begun(alice, "image", 100, sha256="0" * 64)
    for wrong in (bytes(99), bytes(101)):
        assert error_of(alice.client.put(upload["url"], data=wrong), 400) == "CS-UORC01-002"
    send(alice, upload, bytes(100))
    done = alice.client.post(f"/api/uploads/{upload['upload_id']}/complete", headers=alice.headers)
    assert error_of(done, 400) == "CS-UORC01-002"
    assert error_of(alice.get(f"/api/uploads/{upload['upload_id']}"), 404) == "CS-UORC01-116"  # for good


def test_an_account_has_so_many_uploads_at_once(alice: Caller, farm: Farm) -> None:
    ids = [begun(alice, "image", 10)["upload_id"] for _ in range(farm.settings.account_uploads)]
    asked = {"kind": "image", "size": 10}
    refused = alice.client.post("/api/uploads", headers=alice.headers, json=asked)
    assert error_of(refused, 429) == "CS-UORC01-111"
    assert alice.delete(f"/api/uploads/{ids[0]}").status_code == 204
    begun(alice, "image", 10)


def test_nothing_stays_of_what_was_never_finished(alice: Caller, farm: Farm) -> None:
    upload = begun(alice, "video", 10 << 10)
    send(alice, upload, bytes(10 << 10), 2)
    with farm.database.begin() as session:
        mine = Garbage.key.startswith(f"in/{alice.account_id}/")
        session.execute(update(Garbage).where(mine).values(after=db.after(-1)))
        session.execute(
            update(Upload).where(Upload.id == upload["upload_id"]).values(expires_at=db.after(-1))
        )
    sweeper = Sweeper(farm.settings, farm.database, farm.storage)
    sweeper.forget_uploads()
    sweeper.collect_garbage()
    assert error_of(alice.get(f"/api/uploads/{upload['upload_id']}"), 404) == "CS-UORC01-116"
    root = Path(farm.settings.storage_url.removeprefix("file://"))
    assert not (root / "in" / alice.account_id).exists()
