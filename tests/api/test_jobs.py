"""Jobs seen, listed and cancelled through the API."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import func, update

from api import create_app
from api.context import Farm
from renderfarm.models import Account, Job
from renderfarm.settings import Settings
from tests.api.conftest import GRANT, Caller, error_of, sent
from tests.waiting import until

FIELDS = {
    "job_id", "status", "mode", "model", "checkpoint", "progress_pct", "queue_position", "cdn_url",
    "mask_cdn_url", "thumbnail_url", "error", "error_code", "error_message", "progress", "result_url",
    "chunks", "notes", "credits", "created_at", "started_at", "completed_at",
    "cdn_url_expires_at", "files_deleted_at",
}  # fmt: skip


@pytest.fixture
def submit(alice: Caller, media: Path) -> Any:
    def send(caller: Caller = alice) -> str:
        files = {"ref_image": sent(media / "picture.png"), "driving_video": sent(media / "clip.mp4")}
        job_id: str = caller.post(files).get_json()["job_id"]
        return job_id

    return send


def set_job(farm: Farm, job_id: str, **values: Any) -> None:
    with farm.database.begin() as session:
        session.execute(update(Job).where(Job.id == job_id).values(**values))


def test_a_queued_job_is_shown_to_anyone_who_knows_its_id(client: FlaskClient, submit: Any) -> None:
    job_id = submit()
    response = client.get(f"/api/render/{job_id}")
    assert response.status_code == 200
    assert response.headers["Cache-Control"] == "no-store"
    job = response.get_json()
    assert set(job) == FIELDS
    assert job["job_id"] == job_id
    assert (job["status"], job["mode"], job["model"]) == ("queued", "full_pipeline", "V4_Preview")
    assert (job["progress_pct"], job["credits"]) == (0, 3)
    assert job["queue_position"] >= 1
    assert set(job["progress"]) == {"stage", "done", "total", "pct", "eta_seconds"}
    assert job["chunks"] == []
    assert job["created_at"].endswith("Z")
    assert job["started_at"] is job["completed_at"] is job["cdn_url"] is job["error"] is None


def test_what_it_shows_is_nothing_private(client: FlaskClient, alice: Caller, submit: Any) -> None:
    shown = client.get(f"/api/render/{submit()}").text
    assert alice.account_id not in shown
    assert "in/" not in shown


def test_a_complete_job_has_its_addresses_built_anew(client: FlaskClient, farm: Farm, submit: Any) -> None:
    job_id = submit()
    outputs = {name: f"out/{job_id}/{name}.bin" for name in ("output", "mask", "thumbnail")}
    set_job(farm, job_id, status="complete", outputs=outputs, completed_at=func.now())
    job = client.get(f"/api/render/{job_id}").get_json()
    base = f"http://127.0.0.1:8080/files/out/{job_id}"
    assert job["cdn_url"] == job["result_url"] == f"{base}/output.bin"
    assert job["mask_cdn_url"] == f"{base}/mask.bin"
    assert job["thumbnail_url"] == f"{base}/thumbnail.bin"
    assert job["progress_pct"] == 100


def test_a_signed_address_is_a_new_one_at_each_read(
    settings: Settings, farm: Farm, client: FlaskClient, submit: Any
) -> None:
    job_id = submit()
    outputs = {name: f"out/{job_id}/{name}.bin" for name in ("output", "thumbnail")}
    set_job(farm, job_id, status="complete", outputs=outputs, completed_at=func.now())
    assert client.get(f"/api/render/{job_id}").get_json()["cdn_url_expires_at"] is None
    signed = {"cdn_style": "secure-link", "cdn_base": "https://cdn.test", "cdn_secret": "0123456789abcdef"}
    signing = create_app(replace(settings, storage_url="s3://renders", cdn_seconds=2, **signed))
    with closing(signing.extensions["farm"].database):
        first = signing.test_client().get(f"/api/render/{job_id}").get_json()
        assert first["cdn_url"].startswith(f"https://cdn.test/out/{job_id}/output.bin?expires=")
        assert first["thumbnail_url"].startswith(f"https://cdn.test/out/{job_id}/thumbnail.bin?expires=")

        def later() -> Any:
            return signing.test_client().get(f"/api/render/{job_id}").get_json()

        until(lambda: later()["cdn_url"] != first["cdn_url"])
        assert later()["cdn_url_expires_at"] > first["cdn_url_expires_at"]


def test_a_job_whose_files_were_deleted_says_since_when(
    client: FlaskClient, alice: Caller, farm: Farm, submit: Any
) -> None:
    job_id = submit()
    outputs = {"output": f"out/{job_id}/a.mp4"}
    set_job(farm, job_id, status="complete", outputs=outputs, completed_at=func.now())
    assert client.get(f"/api/render/{job_id}").get_json()["files_deleted_at"] is None
    deleted = alice.delete(f"/api/render/{job_id}/files").get_json()
    assert (deleted["status"], deleted["cdn_url"], deleted["result_url"]) == ("complete", None, None)
    assert deleted["files_deleted_at"].endswith("Z")
    again = alice.delete(f"/api/render/{job_id}/files").get_json()
    assert again["files_deleted_at"] == deleted["files_deleted_at"]


def test_a_failed_job_says_why(client: FlaskClient, farm: Farm, submit: Any) -> None:
    job_id = submit()
    set_job(farm, job_id, status="failed", error_code="CS-UORC01-101", error_message="Nobody was found.")
    job = client.get(f"/api/render/{job_id}").get_json()
    assert (job["error_code"], job["error"], job["error_message"]) == (
        "CS-UORC01-101",
        "Nobody was found.",
        "Nobody was found.",
    )


@pytest.mark.parametrize("job_id", ["job_" + "0" * 24, "nonsense", "job_", "%00", "job_" + "0" * 3000])
def test_a_job_that_is_not_there_is_not_found(client: FlaskClient, alice: Caller, job_id: str) -> None:
    assert error_of(client.get(f"/api/render/{job_id}"), 404) == "CS-UORC01-110"
    assert error_of(alice.delete(f"/api/render/{job_id}"), 404) == "CS-UORC01-110"


def test_the_list_is_the_accounts_own_newest_first_by_pages(alice: Caller, bob: Caller, submit: Any) -> None:
    submit(bob)
    sent = [submit() for _ in range(5)]
    seen: list[str] = []
    cursor = ""
    for size in (2, 2, 1):
        page = alice.get(f"/api/render?limit=2&cursor={cursor}").get_json()
        assert len(page["jobs"]) == size
        seen += [job["job_id"] for job in page["jobs"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == sent[::-1]
    assert set(page["jobs"][0]) == FIELDS


def test_the_list_is_filtered_by_status(alice: Caller, farm: Farm, submit: Any) -> None:
    failed, queued = submit(), submit()
    set_job(farm, failed, status="failed")
    for status, expected in (("failed", [failed]), ("queued", [queued]), ("complete", [])):
        page = alice.get(f"/api/render?status={status}").get_json()
        assert [job["job_id"] for job in page["jobs"]] == expected


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=-1", "status=done", "cursor=job_1", "cursor=%00"]
)
def test_a_list_asked_for_wrongly_is_refused(alice: Caller, query: str) -> None:
    assert error_of(alice.get(f"/api/render?{query}"), 400) == "CS-UORC01-002"


def test_cancelling_gives_the_credits_back_and_answers_the_job(
    alice: Caller, farm: Farm, submit: Any
) -> None:
    job_id = submit()
    response = alice.delete(f"/api/render/{job_id}")
    assert response.status_code == 200
    job = response.get_json()
    assert set(job) == FIELDS
    assert (job["status"], job["error_code"]) == ("cancelled", "CS-UORC01-105")
    assert job["completed_at"] is not None
    with farm.database.begin() as session:
        account = session.get_one(Account, alice.account_id)
        assert (account.available, account.held) == (GRANT, 0)


def test_a_job_that_has_ended_cannot_be_cancelled(alice: Caller, submit: Any) -> None:
    job_id = submit()
    alice.delete(f"/api/render/{job_id}")
    assert error_of(alice.delete(f"/api/render/{job_id}"), 409) == "CS-UORC01-112"


def test_another_accounts_job_is_not_found(alice: Caller, bob: Caller, submit: Any) -> None:
    job_id = submit()
    assert error_of(bob.delete(f"/api/render/{job_id}"), 404) == "CS-UORC01-110"
    assert bob.get(f"/api/render?cursor={job_id}").get_json()["jobs"] == []
    assert alice.get(f"/api/render/{job_id}").get_json()["status"] == "queued"


@pytest.mark.parametrize("path", ["/api/render", "/api/credits"])
def test_lists_need_a_key(client: FlaskClient, path: str) -> None:
    assert error_of(client.get(path), 401) == "CS-ORAU-001"


def test_cancelling_needs_a_key(client: FlaskClient, submit: Any) -> None:
    assert error_of(client.delete(f"/api/render/{submit()}"), 401) == "CS-ORAU-001"


def test_credits_show_the_balance_and_every_movement_by_pages(alice: Caller, submit: Any) -> None:
    job_id = submit()
    alice.delete(f"/api/render/{job_id}")
    kept = submit()
    body = alice.get("/api/credits?limit=3").get_json()
    assert (body["balance"], body["held"]) == (GRANT - 3, 3)
    assert [entry["kind"] for entry in body["entries"]] == ["hold", "release", "hold"]
    assert body["entries"][0]["job_id"] == kept
    assert body["data"] == {name: value for name, value in body.items() if name != "data"}
    last = alice.get(f"/api/credits?limit=3&cursor={body['next_cursor']}").get_json()
    assert [entry["kind"] for entry in last["entries"]] == ["grant"]
    assert last["next_cursor"] is None
    movements = body["entries"] + last["entries"]
    assert sum(entry["available_delta"] for entry in movements) == body["balance"]
    assert sum(entry["held_delta"] for entry in movements) == body["held"]


@pytest.mark.parametrize("cursor", ["x", "-1", "9" * 19, "%C2%B2"])
def test_a_cursor_of_credits_that_is_none_is_refused(alice: Caller, cursor: str) -> None:
    assert error_of(alice.get(f"/api/credits?cursor={cursor}"), 400) == "CS-UORC01-002"


def test_another_accounts_job_is_no_cursor(bob: Caller, submit: Any) -> None:
    submit(bob)
    mine = submit()
    assert len(bob.get("/api/render").get_json()["jobs"]) == 1
    assert bob.get(f"/api/render?cursor={mine}").get_json()["jobs"] == []
