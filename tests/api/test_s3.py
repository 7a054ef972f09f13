"""The ingress over an S3 store: what is sent goes there, and is examined where it lies."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from api.context import Farm
from renderfarm import uploads
from renderfarm.models import Job
from renderfarm.settings import Settings
from tests.api.conftest import Caller, assert_untouched, error_of, part
from tests.services.s3 import S3Server


@pytest.fixture
def settings(settings: Settings, s3: S3Server) -> Settings:
    """As in every test, but with the store in the bucket."""
    there = s3.settings()
    return replace(
        settings,
        storage_url=there.storage_url,
        s3_endpoint=there.s3_endpoint,
        s3_access_key=there.s3_access_key,
        s3_secret_key=there.s3_secret_key,
    )


def test_a_render_is_taken_and_its_result_is_signed(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    job_id = alice.post(upload).get_json()["job_id"]
    with farm.database.begin() as session:
        job = session.get_one(Job, job_id)
        key = f"out/{job_id}/0123.mp4"
        with farm.storage.writer(key, "video/mp4") as out:
            out.write(b"finished")
            out.commit()
        job.outputs = {"output": key}
    shown = alice.client.get(f"/api/render/{job_id}").get_json()
    with urlopen(shown["cdn_url"]) as answer:
        assert answer.read() == b"finished"
    assert error_of(alice.client.get(f"/files/{key}"), 404) == "CS-UORC01-115"
    for stored in [key, *job.inputs.values()]:
        assert farm.storage.exists(stored)
        farm.storage.delete(stored)


def test_what_is_refused_leaves_nothing(alice: Caller, farm: Farm, upload: dict[str, Any]) -> None:
    upload["driving_video"] = part(b"\0\0\0\x18ftypisom" + bytes(9 << 20), "a.mp4")
    assert error_of(alice.post(upload), 400) == "CS-ORIV-007"
    assert_untouched(farm, alice)


def test_a_form_without_its_video_leaves_nothing(alice: Caller, farm: Farm, upload: dict[str, Any]) -> None:
    del upload["driving_video"]
    assert error_of(alice.post(upload), 400) == "CS-ORIV-002"
    assert_untouched(farm, alice)


def test_the_parts_of_an_upload_go_to_the_store_itself(
    alice: Caller, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "WHOLE", 6 << 20)
    monkeypatch.setattr(uploads, "PART", 5 << 20)
    data = b"\0\0\0\x18ftypisom" + bytes(6 << 20)
    asked = {"kind": "video", "size": len(data), "sha256": sha256(data).hexdigest()}
    sent = alice.client.post("/api/uploads", headers=alice.headers, json=asked).get_json()
    path = f"/api/uploads/{sent['upload_id']}"
    first, last = sent["parts"]
    with urlopen(Request(last["url"], data[first["size"] :], method="PUT")):
        pass
    assert error_of(alice.client.post(f"{path}/complete", headers=alice.headers), 409) == "CS-UORC01-123"
    assert [part["received"] for part in alice.get(path).get_json()["parts"]] == [False, True]
    with urlopen(Request(first["url"], data[: first["size"]], method="PUT")):
        pass
    whole = alice.client.post(f"{path}/complete", headers=alice.headers).get_json()
    assert whole["state"] == "complete"
    (key,) = farm.storage.list(f"in/{alice.account_id}/")
    assert farm.storage.size(key) == len(data)
    farm.storage.delete(key)


def test_a_small_upload_has_one_address(alice: Caller, farm: Farm, media: Path) -> None:
    data = (media / "picture.png").read_bytes()
    asked = {"kind": "image", "size": len(data)}
    sent = alice.client.post("/api/uploads", headers=alice.headers, json=asked).get_json()
    with urlopen(Request(sent["url"], data, method="PUT")):
        pass
    done = alice.client.post(f"/api/uploads/{sent['upload_id']}/complete", headers=alice.headers)
    assert done.get_json()["state"] == "complete"
    for key in list(farm.storage.list(f"in/{alice.account_id}/")):
        farm.storage.delete(key)
