"""Orders that name their files by addresses: what is taken, and what is refused at the door."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from sqlalchemy import select

from api.context import Farm
from renderfarm.models import Job
from tests.api.conftest import Caller, assert_untouched, caller_of, error_of
from tests.renderfarm.test_fetch_refused import FORBIDDEN, SPELLINGS, urls_of

PICTURE, VIDEO = "https://example.com/a.png", "https://example.com/a.mp4?sig=x"
ORDER = {"ref_image_url": PICTURE, "driving_video_url": VIDEO}


def test_an_order_by_addresses_is_taken_without_asking_for_them(alice: Caller, farm: Farm) -> None:
    taken = alice.client.post("/api/render", data=ORDER, headers=alice.headers)  # urlencoded
    assert taken.status_code == 202, taken.get_json()
    shown = alice.get(f"/api/render/{taken.get_json()['job_id']}").get_json()
    assert (shown["status"], shown["credits"], shown["progress"]["stage"]) == ("queued", None, "fetch")
    assert alice.get("/api/credits").get_json()["held"] == 0
    with farm.database.begin() as session:
        [job] = session.scalars(select(Job).where(Job.account_id == alice.account_id))
        assert job.urls == {"picture": PICTURE, "video": VIDEO}
    assert "example.com" not in str(shown)


def test_an_uploaded_picture_goes_with_the_address_of_a_video(
    alice: Caller, farm: Farm, upload: dict[str, Any]
) -> None:
    del upload["driving_video"]
    taken = alice.post({**upload, "driving_video_url": VIDEO})
    assert taken.status_code == 202
    with farm.database.begin() as session:
        job = session.get_one(Job, taken.get_json()["job_id"])
        assert (set(job.inputs), set(job.urls)) == ({"picture"}, {"video"})


def test_the_same_order_by_addresses_is_answered_again_under_its_key(alice: Caller) -> None:
    headers = {**alice.headers, "Idempotency-Key": "once"}
    first, second = (alice.client.post("/api/render", data=ORDER, headers=headers) for _ in range(2))
    assert first.get_json()["job_id"] == second.get_json()["job_id"]
    other = alice.client.post("/api/render", data={**ORDER, "ref_image_url": PICTURE + "x"}, headers=headers)
    assert error_of(other, 409) == "CS-UORC01-113"


def test_one_credit_has_one_file_fetched_at_a_time(client: Any, database: Any) -> None:
    poor = caller_of(client, database, "poor", grant=1)
    taken = poor.post(ORDER)
    assert taken.status_code == 202
    assert error_of(poor.post(ORDER), 402) == "CS-ORCR-001"
    poor.delete(f"/api/render/{taken.get_json()['job_id']}")
    assert poor.post(ORDER).status_code == 202


@pytest.mark.parametrize(("path", "field"), [("characters", "image_url"), ("scenes", "video_url")])
def test_assets_are_prepared_from_addresses(alice: Caller, path: str, field: str) -> None:
    taken = alice.post({"name": "a", field: VIDEO}, path=f"/api/{path}/preprocess")
    assert taken.status_code == 202, taken.get_json()
    asset_id = taken.get_json()["data"][f"{path[:-1]}_id"]
    shown = alice.get(f"/api/{path}/{asset_id}").get_json()
    assert (shown["status"], shown.get("duration_seconds")) == ("pending", None)


def test_addresses_that_lead_inside_are_refused_at_the_door_and_charge_nothing(
    alice: Caller, farm: Farm
) -> None:
    """A sample of the table, which ``test_fetch_refused`` walks whole; ``ADDRESSES=300`` takes more."""
    urls = [*urls_of(FORBIDDEN, 80), *(f"http://{spelling}/" for spelling in SPELLINGS)]
    for url in random.Random(5).sample(urls, min(len(urls), int(os.environ.get("ADDRESSES", "24")))):
        for field in ORDER:
            answer = alice.post({**ORDER, field: url})
            assert error_of(answer, 400) == "CS-ORIV-014", url
    assert_untouched(farm, alice)
