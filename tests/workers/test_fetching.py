"""Pictures and videos behind addresses: fetched by workers, judged, and charged when they have come."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pipeline.spec import RENDER, RenderSpec, Stage
from renderfarm import assets, credits, jobs, leases, media, pools
from renderfarm.errors import FarmError
from renderfarm.models import Garbage, JobKind, JobStatus
from renderfarm.replan import replan
from renderfarm.settings import Settings
from tests.clips import make_clip, make_picture
from tests.services.hostile import Host, Script, host
from tests.workers.farm import PLAN, Farm
from workers.process import identity
from workers.runner import Outcome

_moderated: list[object] = []


def refuses(asked: object) -> str:
    _moderated.append(asked)
    return "Not this one."


@pytest.fixture
def origin(tmp_path: Path) -> Iterator[Host]:
    """A host with a picture and a video of 2.4 s."""
    with host() as server:
        picture, video = make_picture(tmp_path / "a.png"), make_clip(tmp_path / "a.mp4", seconds=2.4)
        server.scripts["/a.png"] = gives(picture.read_bytes(), "image/png")
        server.scripts["/a.mp4"] = gives(video.read_bytes(), "video/mp4")
        yield server


@pytest.fixture
def settings(settings: Settings, origin: Host) -> Settings:
    return replace(
        settings,
        development=True,
        fetch_private=True,
        fetch_ports=f"80,443,{origin.port}",
        fetch_silence_seconds=0.3,
        retry_seconds=0.0,
        max_attempts=2,
    )


@dataclass
class Fetching:
    """Jobs whose inputs are addresses of one host."""

    farm: Farm
    origin: Host

    def submit(
        self, picture: str = "/a.png", video: str = "/a.mp4", mode: str = "full_pipeline", **more: str
    ) -> str:
        farm = self.farm
        urls = {role: self.url(path) for role, path in (("picture", picture), ("video", video)) if path}
        new = jobs.NewJob(
            spec=RenderSpec(), plan=PLAN, video=None, urls={**urls, **more}, mode=mode, credits=None
        )
        with farm.database.begin() as session:
            return jobs.submit(session, farm.settings, farm.account_id, new).id

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.origin.port}{path}"

    def fetch(self, job_id: str) -> Outcome:
        assert self.farm.admit(job_id) == [f"{job_id}:fetch:0"]
        return self.farm.run(f"{job_id}:fetch:0")

    def refused(self, job_id: str) -> tuple[str | None, str | None]:
        """The code and message of a job that ended with nothing charged and nothing of it kept."""
        job = self.farm.job(job_id)
        assert (job.status, job.urls, job.inputs) == (JobStatus.FAILED, {}, {})
        assert self.farm.balance() == (100, 0)
        with self.farm.database.begin() as session:
            assert credits.mismatches(session) == 0
        assert set(self.farm.store.list("in/")) <= self.garbage()
        return job.error_code, job.error_message

    def garbage(self) -> set[str]:
        with self.farm.database.begin() as session:
            return set(session.scalars(select(Garbage.key)))


@pytest.fixture
def fetching(farm: Farm, origin: Host) -> Fetching:
    return Fetching(farm, origin)


def test_a_job_by_addresses_is_priced_held_and_begun_once_its_files_have_come(fetching: Fetching) -> None:
    farm, job_id = fetching.farm, fetching.submit()
    assert (farm.job(job_id).credits, farm.balance()) == (None, (100, 0))
    assert farm.job(job_id).stages[0] == "fetch"
    assert fetching.fetch(job_id) is Outcome.DONE
    job = farm.job(job_id)
    assert (job.credits, farm.balance(), job.urls) == (3, (97, 3), {})
    assert job.known_video is not None and job.known_video.frames == 24
    assert farm.store.digest(job.inputs["video"]).size > 0
    assert fetching.garbage().isdisjoint(job.inputs.values())
    assert set(farm.admit(job_id)) == {f"{job_id}:reference:0", f"{job_id}:analyse:0"}
    farm.finish(job_id)
    assert (farm.job(job_id).status, farm.balance()) == (JobStatus.COMPLETE, (97, 0))


def test_a_job_whose_files_have_come_is_queued_like_any_other(fetching: Fetching) -> None:
    farm, job_id = fetching.farm, fetching.submit()
    assert fetching.fetch(job_id) is Outcome.DONE
    job = farm.job(job_id)
    assert (job.status, job.started_at, job.run_deadline) == (JobStatus.QUEUED, None, None)
    strict = replace(farm.settings, free_cancels_per_day=0)
    with farm.database.begin() as session:  # it has cost no worker of its model anything
        jobs.cancel(session, farm.account_id, job_id, strict)
    assert farm.balance() == (100, 0)


def test_a_long_look_at_a_video_is_not_taken_for_none(
    fetching: Fetching, monkeypatch: pytest.MonkeyPatch
) -> None:
    farm, judge = fetching.farm, media.judge_video
    farm.settings = replace(
        farm.settings, stall_seconds=1.0, setup_seconds=1.0, heartbeat_seconds=0.1, lease_seconds=2.0
    )

    def slowly(*given: Any) -> media.JudgedVideo:
        time.sleep(2.5)  # as ffprobe may take its time
        return judge(*given)

    monkeypatch.setattr(media, "judge_video", slowly)
    assert fetching.fetch(fetching.submit()) is Outcome.DONE


def test_a_fast_job_by_its_address_holds_twice_the_price(fetching: Fetching) -> None:
    farm = fetching.farm
    with farm.database.begin() as session:
        for name in ("one", "two"):
            pools.report_worker(session, identity(farm.settings, "v4", name), None)
    job_id = fetching.submit(mode="fast")
    assert fetching.fetch(job_id) is Outcome.DONE
    assert farm.balance() == (94, 6)
    assert set(farm.admit(job_id)) == {f"{job_id}:reference:0", f"{job_id}:analyse:0", f"{job_id}:analyse:1"}


def test_a_picture_by_its_address_beside_an_uploaded_video_is_priced_at_once(fetching: Fetching) -> None:
    farm = fetching.farm
    new = jobs.NewJob(
        spec=RenderSpec(),
        plan=PLAN,
        video=farm.job(farm.submit()).known_video,
        inputs={"video": "in/a/video"},
        urls={"picture": fetching.url("/a.png")},
        mode="full_pipeline",
        credits=5,
    )
    with farm.database.begin() as session:
        job_id = jobs.submit(session, farm.settings, farm.account_id, new).id
    held = farm.balance()
    assert fetching.fetch(job_id) is Outcome.DONE
    assert farm.balance() == held
    assert set(farm.job(job_id).inputs) == {"picture", "video"}


def test_a_video_that_costs_more_than_there_is_ends_its_job_and_nothing_is_held(fetching: Fetching) -> None:
    farm = fetching.farm
    job_id = fetching.submit()
    other = farm.submit()
    farm_credits = farm.balance()
    with farm.database.begin() as session:
        credits.hold(session, farm.account_id, other, farm_credits[0] - 2)
    assert fetching.fetch(job_id) is Outcome.REFUSED
    job = farm.job(job_id)
    assert (job.status, job.error_code, job.credits) == (JobStatus.FAILED, "CS-ORCR-001", None)
    assert farm.balance() == (2, farm_credits[1] + farm_credits[0] - 2)
    assert set(farm.store.list("in/")) - {*farm.job(other).inputs.values()} <= fetching.garbage()


HALF = b"\0\0\0\x18ftypmp42" + bytes(3000)
#: What is answered, how often it is asked for, and how that ends.
ANSWERS = {
    "missing": (lambda: says("404 Not Found", "image/png"), 1, "CS-ORIV-014"),
    "a page": (lambda: gives(b"<html>", "text/html"), 1, "CS-ORIV-014"),
    "text": (lambda: gives(b"hello " * 400, ""), 1, "CS-ORIV-003"),
    "a few bytes": (lambda: gives(b"hello", ""), 1, "CS-ORIV-003"),
    "nothing": (lambda: gives(b"", "video/mp4"), 1, "CS-ORIV-007"),
    "half a video": (lambda: gives(HALF, "video/mp4"), 1, "CS-ORIV-007"),
    "inside": (lambda: moved("http://169.254.169.254/latest"), 1, "CS-ORIV-014"),
    "a file": (lambda: moved("file:///etc/passwd"), 1, "CS-ORIV-014"),
    "packed": (lambda: says("200 OK", "video/mp4\r\nContent-Encoding: gzip"), 1, "CS-ORIV-014"),
    "busy": (lambda: says("503 Busy", ""), 2, "CS-ORIV-014"),
    "slow": (lambda: trickles, 1, "CS-ORIV-014"),
    "silent": (lambda: lambda sock: sock.recv(1), 2, "CS-ORIV-014"),
}  # fmt: skip


def test_what_cannot_be_had_ends_its_job_with_its_code_and_charges_nothing(fetching: Fetching) -> None:
    for name, (script, attempts, code) in ANSWERS.items():
        fetching.origin.scripts["/b"] = script()
        job_id = fetching.submit(video="/b")
        for _ in range(attempts):
            assert fetching.fetch(job_id) is Outcome.REFUSED, name
        assert fetching.refused(job_id)[0] == code, name


def test_an_account_has_no_more_fetched_than_it_could_pay_for(fetching: Fetching) -> None:
    farm = fetching.farm
    other = farm.submit()
    with farm.database.begin() as session:
        credits.hold(session, farm.account_id, other, farm.balance()[0] - 2)
    first, _ = fetching.submit(), fetching.submit()
    with pytest.raises(FarmError, match="CS-ORCR-001"):
        fetching.submit()
    with farm.database.begin() as session:
        jobs.cancel(session, farm.account_id, first, farm.settings)
    fetching.submit()


def test_what_arrives_after_its_job_was_cancelled_changes_nothing_and_is_swept(fetching: Fetching) -> None:
    farm, job_id = fetching.farm, fetching.submit()

    def cancels(sock: socket.socket) -> None:
        with farm.database.begin() as session:
            jobs.cancel(session, farm.account_id, job_id, farm.settings)
        gives(b"\x89PNG\r\n\x1a\n" + bytes(2000), "image/png")(sock)

    fetching.origin.scripts["/a.png"] = cancels
    assert fetching.fetch(job_id) in {Outcome.STALE, Outcome.REFUSED}
    assert (farm.job(job_id).status, farm.balance()) == (JobStatus.CANCELLED, (100, 0))
    assert set(farm.store.list("in/")) <= fetching.garbage()


def test_moderation_is_asked_of_what_has_come(fetching: Fetching) -> None:
    farm = fetching.farm
    farm.settings = replace(farm.settings, moderation=f"{__name__}:refuses")
    job_id = fetching.submit()
    _moderated.clear()
    assert fetching.fetch(job_id) is Outcome.REFUSED
    assert fetching.refused(job_id) == ("CS-UORC01-117", "Not this one.")
    [asked] = _moderated
    assert set(asked.sha256) == set(asked.keys) == {"ref_image", "driving_video"}  # type: ignore[attr-defined]  # a Request
    assert asked.fields["ref_image_url"].endswith("/a.png")  # type: ignore[attr-defined]  # a Request


@pytest.mark.parametrize(
    ("kind", "role", "path", "first"),
    [
        (JobKind.CHARACTER, "picture", "/a.png", "reference"),
        (JobKind.SCENE, "video", "/a.mp4", "analyse"),
    ],
)
def test_characters_and_scenes_are_prepared_from_addresses_for_nothing(
    fetching: Fetching, kind: JobKind, role: str, path: str, first: str
) -> None:
    farm = fetching.farm
    new = jobs.NewJob(
        spec=RenderSpec(), plan=PLAN, video=None, urls={role: fetching.url(path)}, mode="", credits=0
    )
    with farm.database.begin() as session:
        job_id = assets.prepare(session, farm.settings, farm.account_id, kind, "a", new).job_id
    assert fetching.fetch(job_id) is Outcome.DONE
    assert (set(farm.job(job_id).inputs), farm.balance()) == ({role}, (100, 0))
    assert farm.admit(job_id) == [f"{job_id}:{first}:0"]


@pytest.mark.parametrize("fetched", [False, True])
def test_a_job_that_is_planned_anew_fetches_what_it_has_not_yet(fetching: Fetching, fetched: bool) -> None:
    farm, job_id = fetching.farm, fetching.submit()
    if fetched:
        assert fetching.fetch(job_id) is Outcome.DONE
    before = farm.job(job_id)
    with farm.database.begin() as session:
        assert replan(session, job_id, replace(PLAN, segment_frames=10))
    job = farm.job(job_id)
    fetch = [] if fetched else ["fetch"]
    assert job.stages == [*fetch, *(stage.value for stage in RENDER)]
    assert (job.inputs, job.video, job.credits) == (before.inputs, before.video, before.credits)
    assert (Stage.FETCH.value in {unit.split(":")[1] for unit in farm.admit(job_id)}) is not fetched


def test_a_worker_that_was_lost_while_it_fetched_is_followed_by_another(fetching: Fetching) -> None:
    farm, job_id = fetching.farm, fetching.submit()
    [unit_id] = farm.admit(job_id)
    with farm.runner(queue="fetch") as runner, farm.database.begin() as session:
        claim = leases.claim(session, farm.settings, unit_id, runner._worker)
    assert claim is not None
    with farm.database.begin() as session:
        assert leases.hand_over(session, claim)
    assert fetching.fetch(job_id) is Outcome.DONE
    assert farm.balance() == (97, 3)


def gives(data: bytes, kind: str) -> Script:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(data)}\r\n" + (
        f"Content-Type: {kind}\r\n" if kind else ""
    )
    return lambda sock: sock.sendall(head.encode() + b"\r\n" + data)


def says(status: str, kind: str) -> Script:
    return lambda sock: sock.sendall(f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n\r\n".encode())


def moved(where: str) -> Script:
    return lambda sock: sock.sendall(f"HTTP/1.1 302 Found\r\nLocation: {where}\r\n\r\n".encode())


def trickles(sock: socket.socket) -> None:
    """Says something often enough, and too little."""
    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n\r\n")
    for _ in range(100):
        sock.sendall(b"x")
        time.sleep(0.05)
