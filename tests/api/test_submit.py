"""A render that is taken: what is stored, held, queued and answered."""

from __future__ import annotations

import hashlib
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select

from api.context import Farm
from api.uploads import Uploads
from pipeline.spec import RenderSpec
from renderfarm.models import Account, Garbage, Job, Unit
from renderfarm.settings import Settings
from renderfarm.sweep import Sweeper
from tests.api.conftest import GRANT, Caller, sent
from tests.clips import make_clip
from tests.waiting import until


def job_of(farm: Farm, job_id: str) -> Job:
    with farm.database.begin() as session:
        return session.get_one(Job, job_id)


def test_a_picture_and_a_video_become_a_queued_job(alice: Caller, upload: dict[str, Any]) -> None:
    response = alice.post(upload)
    assert response.status_code == 202
    body = response.get_json()
    assert set(body) == {"job_id", "status", "mode", "enqueued_at"}
    assert re.fullmatch(r"job_[a-z0-9]{24}", body["job_id"])
    assert (body["status"], body["mode"]) == ("queued", "full_pipeline")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", body["enqueued_at"])


def test_the_address_that_is_to_be_told_is_kept_with_the_job_and_shown_to_nobody(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    url = "https://studio.example/hooks?token=private"
    job_id = alice.post(upload | {"webhook_url": url}).get_json()["job_id"]
    assert job_of(farm, job_id).webhook_url == url
    assert "studio.example" not in alice.get(f"/api/render/{job_id}").text


def test_a_job_of_a_development_farm_is_pinned_to_the_engine_that_was_chosen_there(
    alice: Caller, app: Flask, farm: Farm, upload: dict[str, Any]
) -> None:
    chosen = replace(farm.settings, development=True, engine_v4="fixed:ms=20,mark=b")
    app.extensions["farm"] = replace(farm, settings=chosen)
    job_id = alice.post(upload).get_json()["job_id"]
    assert job_of(farm, job_id).plan["engine"] == {"name": "fixed", "version": "1+ms=20,mark=b"}
    with farm.database.begin() as session:
        pins = set(session.scalars(select(Unit.pins).where(Unit.job_id == job_id)))
    assert all(each.startswith("fixed/1+ms=20,mark=b ") for each in pins)


def test_the_files_are_stored_as_they_were_sent(
    alice: Caller, farm: Farm, upload: dict[str, Any], media: Path, tmp_path: Path
) -> None:
    job = job_of(farm, alice.post(upload).get_json()["job_id"])
    for name, original in (("picture", "picture.png"), ("video", "clip.mp4")):
        key = job.inputs[name]
        assert key.startswith(f"in/{alice.account_id}/")
        stored = farm.storage.fetch(key, tmp_path).read_bytes()
        assert hashlib.sha256(stored).digest() == hashlib.sha256((media / original).read_bytes()).digest()
    assert sorted(farm.storage.list("")) == sorted(job.inputs.values())


def test_its_price_is_held_and_its_files_are_nobodys_garbage(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    job = job_of(farm, alice.post(upload).get_json()["job_id"])
    assert job.credits == 3  # 2.4 s
    with farm.database.begin() as session:
        account = session.get_one(Account, alice.account_id)
        assert (account.available, account.held) == (GRANT - 3, 3)
        assert session.scalars(select(Garbage).where(Garbage.key.in_(job.inputs.values()))).all() == []
        stages = set(session.scalars(select(Unit.stage).where(Unit.job_id == job.id)))
    assert stages == {"reference", "analyse"}


def test_without_options_the_defaults_hold(alice: Caller, farm: Farm, upload: dict[str, Any]) -> None:
    job = job_of(farm, alice.post(upload).get_json()["job_id"])
    assert job.spec == RenderSpec().to_json()
    assert job.spec["model"] == "V4_Preview" and job.spec["background"] == "original"


@pytest.mark.parametrize(
    ("fields", "spec"),
    [
        ({"model": "V3_Preview"}, {"model": "V3_Preview"}),
        ({"background_mode": "inpaint"}, {"background": "original"}),
        ({"background_mode": "transparent"}, {"background": "transparent"}),
        ({"background_mode": "solid"}, {"background": "solid", "bg_color": [0, 255, 0]}),
        ({"background_mode": "solid", "bg_color": " 1, 20,255 "}, {"bg_color": [1, 20, 255]}),
        ({"bg_color": "red"}, {"background": "original", "bg_color": [0, 255, 0]}),
        ({"model": "", "background_mode": " ", "scene_id": "", "fast": ""}, {"model": "V4_Preview"}),
        ({"fast": "false", "character_mapping": "{}"}, {"model": "V4_Preview"}),
        ({"a_field_of_tomorrow": "yes"}, {"model": "V4_Preview"}),
    ],
)
def test_options_are_understood(
    alice: Caller, farm: Farm, upload: dict[str, Any], fields: dict[str, str], spec: dict[str, Any]
) -> None:
    response = alice.post(upload | fields)
    assert response.status_code == 202
    assert job_of(farm, response.get_json()["job_id"]).spec.items() >= spec.items()


def test_fields_may_follow_the_files(alice: Caller, farm: Farm, upload: dict[str, Any]) -> None:
    fields = {**upload, "background_mode": "solid"}
    assert list(fields)[-1] == "background_mode"
    job = job_of(farm, alice.post(fields).get_json()["job_id"])
    assert job.spec["background"] == "solid"


def test_a_form_that_leaves_a_file_input_empty_is_as_if_it_were_not_there(
    alice: Caller, upload: dict[str, Any], media: Path
) -> None:
    raw = (
        b'--x\r\nContent-Disposition: form-data; name="ref_image"; filename=""\r\n\r\n\r\n'
        b'--x\r\nContent-Disposition: form-data; name="ref_image"; filename="a.png"\r\n\r\n'
        + (media / "picture.png").read_bytes()
        + b'\r\n--x\r\nContent-Disposition: form-data; name="driving_video"; filename="a.mp4"\r\n\r\n'
        + (media / "clip.mp4").read_bytes()
        + b"\r\n--x--\r\n"
    )
    response = alice.client.post(
        "/api/render", headers=alice.headers, data=raw, content_type="multipart/form-data; boundary=x"
    )
    assert response.status_code == 202


def test_a_video_with_an_odd_side_says_what_it_loses(
    alice: Caller, upload: dict[str, Any], tmp_path: Path
) -> None:
    upload["driving_video"] = sent(make_clip(tmp_path / "odd.webm", size="129x96"))
    job_id = alice.post(upload).get_json()["job_id"]
    notes = alice.client.get(f"/api/render/{job_id}").get_json()["notes"]
    assert notes == ["The last column was left out: a width of 129 pixels is odd."]


def test_the_last_credits_may_be_spent_and_no_more(
    alice: Caller, farm: Farm, upload: dict[str, Any], media: Path
) -> None:
    with farm.database.begin() as session:
        session.get_one(Account, alice.account_id).available = 3
    assert alice.post(upload).status_code == 202
    again = {name: sent(media / str(file.filename)) for name, file in upload.items()}
    assert alice.post(again).status_code == 402


def test_an_upload_over_a_slow_line_is_nobodys_garbage_while_it_lasts(settings: Settings, farm: Farm) -> None:
    hasty = Farm(replace(settings, garbage_seconds=1.0), farm.database, farm.storage)
    sweeper = Sweeper(hasty.settings, farm.database, farm.storage)
    with Uploads(hasty, "slow") as uploads:
        picture, video = uploads.open_part("a.png"), uploads.open_part("a.mp4")
        picture.write(b"a picture")
        until_later = time.monotonic() + 2.5

        def uploaded() -> bool:
            video.write(b"x")
            sweeper.collect_garbage()
            return time.monotonic() > until_later

        until(uploaded)
        uploads.commit(*uploads._uploads)
        assert len(list(farm.storage.list("in/slow/"))) == 2
    assert list(farm.storage.list("in/slow/")) == []
