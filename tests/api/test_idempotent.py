"""A render that is sent again under its ``Idempotency-Key``."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import case, func, select, update
from werkzeug.test import TestResponse, encode_multipart

from api import render as render_room
from api.context import Farm
from api.uploads import Uploads
from renderfarm import idempotency
from renderfarm.errors import FarmError
from renderfarm.idempotency import Hold
from renderfarm.models import Account, Garbage, IdempotencyKey, Job
from renderfarm.settings import Settings
from renderfarm.sweep import Sweeper
from tests.api.conftest import GRANT, Caller, assert_untouched, error_of, part, sent
from tests.clips import make_clip
from tests.waiting import until

PRICE = 3

Send = Callable[..., TestResponse]


@pytest.fixture
def order(media: Path) -> Send:
    """Sends the picture and the clip under a key; ``more`` changes the form."""

    def send(caller: Caller, key: str, boundary: str | None = None, **more: Any) -> TestResponse:
        files = {"ref_image": sent(media / "picture.png"), "driving_video": sent(media / "clip.mp4")}
        boundary, body = encode_multipart({**files, **more}, boundary)
        kind = f"multipart/form-data; boundary={boundary}"
        headers = {**caller.headers, "Idempotency-Key": key}
        return caller.client.post("/api/render", headers=headers, data=body, content_type=kind)

    return send


def jobs_of(farm: Farm, caller: Caller) -> list[str]:
    with farm.database.begin() as session:
        return list(session.scalars(select(Job.id).where(Job.account_id == caller.account_id)))


def money(farm: Farm, caller: Caller) -> tuple[int, int]:
    with farm.database.begin() as session:
        account = session.get_one(Account, caller.account_id)
        return account.available, account.held


def keys_of(farm: Farm, caller: Caller) -> list[IdempotencyKey]:
    with farm.database.begin() as session:
        own = IdempotencyKey.account_id == caller.account_id
        return list(session.scalars(select(IdempotencyKey).where(own)))


def assert_taken_once(farm: Farm, caller: Caller) -> None:
    assert len(jobs_of(farm, caller)) == 1
    assert money(farm, caller) == (GRANT - PRICE, PRICE)
    assert len(list(farm.storage.list(f"in/{caller.account_id}/"))) == 2
    with farm.database.begin() as session:
        own = Garbage.key.startswith(f"in/{caller.account_id}/")
        assert session.scalars(select(Garbage.key).where(own)).all() == []


def test_sent_again_it_is_answered_again_and_charged_once(alice: Caller, farm: Farm, order: Send) -> None:
    first, again = order(alice, "order-7"), order(alice, "order-7")
    assert (first.status_code, again.status_code) == (202, 202)
    assert again.data == first.data
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert_taken_once(farm, alice)


def test_the_answer_stays_what_it_was_when_the_job_goes_on(alice: Caller, farm: Farm, order: Send) -> None:
    first = order(alice, "k")
    alice.delete(f"/api/render/{first.get_json()['job_id']}")
    assert order(alice, "k").data == first.data
    assert money(farm, alice) == (GRANT, 0)


def test_how_the_form_is_packed_changes_nothing(alice: Caller, farm: Farm, order: Send, media: Path) -> None:
    first = order(alice, "k", model="V4_Preview", fast="")
    assert first.status_code == 202
    assert order(alice, "k", boundary="another").data == first.data
    files = {"driving_video": sent(media / "clip.mp4"), "ref_image": sent(media / "picture.png")}
    boundary, body = encode_multipart({"background_mode": " inpaint", **files})
    answer = alice.client.post(
        "/api/render",
        headers={**alice.headers, "Idempotency-Key": "k"},
        data=body,
        content_type=f"multipart/form-data; boundary={boundary}",
    )
    assert answer.data == first.data
    assert_taken_once(farm, alice)


@pytest.mark.parametrize("change", ["field", "picture", "video"])
def test_another_order_under_the_same_key_is_a_conflict(
    alice: Caller, farm: Farm, order: Send, media: Path, tmp_path: Path, change: str
) -> None:
    assert order(alice, "k").status_code == 202
    changed: dict[str, Any] = {
        "field": {"background_mode": "transparent"},
        "picture": {"ref_image": part((media / "picture.png").read_bytes() + b"\0", "picture.png")},
        "video": {"driving_video": sent(make_clip(tmp_path / "other.mp4", seconds=1))},
    }[change]
    response = order(alice, "k", **changed)
    assert error_of(response, 409) == "CS-UORC01-113"
    assert "Retry-After" not in response.headers
    assert_taken_once(farm, alice)


def test_two_accounts_may_use_one_key(alice: Caller, bob: Caller, farm: Farm, order: Send) -> None:
    first, second = order(alice, "k"), order(bob, "k")
    assert first.get_json()["job_id"] != second.get_json()["job_id"]
    assert_taken_once(farm, alice)
    assert_taken_once(farm, bob)


def test_a_twin_at_the_same_time_is_told_to_come_back(alice: Caller, farm: Farm, media: Path) -> None:
    boundary, whole = encode_multipart(
        {"ref_image": sent(media / "picture.png"), "driving_video": sent(media / "clip.mp4")}
    )
    body = _Held(whole)
    sending = {
        "headers": {**alice.headers, "Idempotency-Key": "k"},
        "content_type": f"multipart/form-data; boundary={boundary}",
    }
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(alice.client.post, "/api/render", input_stream=body, **sending)
        try:
            assert body.reached.wait(30)
            twin = alice.client.application.test_client().post("/api/render", data=whole, **sending)
        finally:
            body.go_on.set()
        assert first.result(30).status_code == 202
    assert error_of(twin, 409) == "CS-UORC01-113"
    assert int(twin.headers["Retry-After"]) > 0
    assert_taken_once(farm, alice)


def test_of_many_twins_at_once_one_is_taken(alice: Caller, farm: Farm, order: Send) -> None:
    def send(_: int) -> TestResponse:
        return order(replace_client(alice), "k")

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(send, range(8)))
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert len({answer.data for answer in answers if answer.status_code == 202}) == 1
    assert_taken_once(farm, alice)


def replace_client(caller: Caller) -> Caller:
    """The same caller with a client of its own, for a thread of its own."""
    return Caller(caller.client.application.test_client(), caller.account_id, caller.secret)


def test_a_request_that_was_refused_leaves_its_key_free(alice: Caller, farm: Farm, order: Send) -> None:
    refused = order(alice, "k", driving_video=part(b"no video", "a.mp4"))
    assert error_of(refused, 400) == "CS-ORIV-003"
    assert keys_of(farm, alice) == []
    assert_untouched(farm, alice)
    assert order(alice, "k").status_code == 202
    assert_taken_once(farm, alice)


def test_without_credits_a_key_is_not_used_up(pauper: Caller, farm: Farm, order: Send) -> None:
    assert error_of(order(pauper, "k"), 402) == "CS-ORCR-001"
    assert keys_of(farm, pauper) == []


def test_a_fault_of_ours_leaves_its_key_free(
    alice: Caller, farm: Farm, order: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(render_room.media, "judge_video", lambda *_: 1 / 0)
        assert error_of(order(alice, "k"), 500) == "CS-UORC01-199"
    assert_untouched(farm, alice)
    assert order(alice, "k").status_code == 202


def test_who_dies_after_the_commit_and_before_the_answer_leaves_the_job_to_the_twin(
    alice: Caller, farm: Farm, order: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(job: Job) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(render_room, "_accepted", die)
        with pytest.raises(KeyboardInterrupt):
            order(alice, "k")
    (job_id,) = jobs_of(farm, alice)
    again = order(alice, "k")
    assert again.get_json()["job_id"] == job_id
    assert again.headers["Idempotency-Replayed"] == "true"
    assert_taken_once(farm, alice)


def test_who_dies_in_the_upload_does_not_keep_the_key_for_good(
    alice: Caller, farm: Farm, order: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(render_room, "_take", _killed)
        patched.setattr("api.idempotent._free", lambda *_: None)  # a killed process frees nothing
        with pytest.raises(KeyboardInterrupt):
            order(alice, "k")
    assert error_of(order(alice, "k"), 409) == "CS-UORC01-113"
    age(farm, alice, 1)
    assert order(alice, "k").status_code == 202
    assert_taken_once(farm, alice)


def test_whose_lease_ran_out_does_not_submit_beside_the_one_that_took_the_key(
    alice: Caller, farm: Farm, order: Send, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = render_room.media.judge_video

    def stand_still(*given: Any) -> Any:
        patched.undo()
        age(farm, alice, 1)
        assert order(replace_client(alice), "k").status_code == 202
        return judge(*given)

    with monkeypatch.context() as patched:
        patched.setattr(render_room.media, "judge_video", stand_still)
        late = order(alice, "k")
    assert error_of(late, 409) == "CS-UORC01-113"
    assert_taken_once(farm, alice)


def test_a_slow_upload_keeps_its_key(settings: Settings, farm: Farm, alice: Caller) -> None:
    hasty = Farm(replace(settings, idempotency_lease_seconds=1.0), farm.database, farm.storage)

    def take() -> Hold:
        with farm.database.begin() as session:
            taken = idempotency.take(session, hasty.settings, alice.account_id, "k")
        assert isinstance(taken, Hold)
        return taken

    with Uploads(hasty, alice.account_id, take()) as uploads:
        video = uploads.open_part("a.mp4")
        later = time.monotonic() + 2.5

        def uploaded() -> bool:
            video.write(b"x")
            with pytest.raises(FarmError):
                take()
            return time.monotonic() > later

        until(uploaded)


def test_after_its_time_a_key_is_forgotten_and_may_be_used_for_another_order(
    alice: Caller, farm: Farm, order: Send
) -> None:
    assert order(alice, "k").status_code == 202
    sweeper = Sweeper(farm.settings, farm.database, farm.storage)
    age(farm, alice, 24 * 3600)
    sweeper.forget_keys()
    assert len(keys_of(farm, alice)) == 1
    age(farm, alice, 3600)
    other = order(alice, "k", background_mode="transparent")  # expired, and not swept yet
    assert other.status_code == 202
    age(farm, alice, 26 * 3600)
    sweeper.forget_keys()
    assert keys_of(farm, alice) == []
    assert len(jobs_of(farm, alice)) == 2


@pytest.mark.parametrize("key", ["", "a" * 256, "caf\u00e9", "a\tb"])
def test_a_key_that_is_none_is_refused(alice: Caller, farm: Farm, order: Send, key: str) -> None:
    response = order(alice, key)
    assert error_of(response, 400) == "CS-UORC01-002"
    assert "Idempotency-Key" in response.get_json()["message"]
    assert_untouched(farm, alice)


def test_the_longest_key_is_taken(alice: Caller, order: Send) -> None:
    assert order(alice, "~ " * 127 + "~").status_code == 202


def age(farm: Farm, caller: Caller, seconds: float) -> None:
    """Make the caller's keys older by so long; of one that is held, let the lease be over."""
    held = IdempotencyKey.job_id.is_(None)
    start = case((held, func.now()), else_=IdempotencyKey.until)
    with farm.database.begin() as session:
        session.execute(
            update(IdempotencyKey)
            .where(IdempotencyKey.account_id == caller.account_id)
            .values(until=start - func.make_interval(0, 0, 0, 0, 0, 0, seconds))
        )


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


class _Held(io.BytesIO):
    """A body that stops half way until it may go on."""

    def __init__(self, whole: bytes) -> None:
        super().__init__(whole)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > 0:
            self.reached.set()
            assert self.go_on.wait(30)
        return super().read(min(size or 0, 4096) if size and size > 0 else 4096)

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
