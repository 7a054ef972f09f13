"""The HTTP client against a real server that answers what it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar
from urllib.parse import parse_qsl

import pytest

from renderfarm.client import Client, ClientError, JobFailed, Unreachable, error_of
from renderfarm.local.ports import free_port


class _Answers(BaseHTTPRequestHandler):
    """Gives the prepared answers one after the other, and remembers what was asked."""

    answers: ClassVar[list[tuple[int, bytes]]] = []
    asked: ClassVar[list[tuple[str, str | None, bytes]]] = []

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append((f"{self.command} {self.path}", self.headers.get("Authorization"), body))
        status, answer = self.answers.pop(0)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("Content-Type", "text/event-stream" if answer.startswith(b"retry") else "text/plain")
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    _Answers.answers.clear()
    _Answers.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_port}"
        httpd.shutdown()
        thread.join()


def _will_answer(*answers: tuple[int, object]) -> None:
    for status, body in answers:
        _Answers.answers.append((status, body if isinstance(body, bytes) else json.dumps(body).encode()))


def test_a_render_is_sent_with_its_files_fields_and_key(server: str, tmp_path: Path) -> None:
    picture, video = tmp_path / "elf.png", tmp_path / "dance.mp4"
    picture.write_bytes(b"a picture")
    video.write_bytes(b"a video")
    _will_answer((202, {"job_id": "job_1"}))
    with Client(server, "sk-1") as client:
        assert client.submit(picture, video, {"model": "V4_Preview"}) == {"job_id": "job_1"}
    ((line, key, body),) = _Answers.asked
    assert (line, key) == ("POST /api/render", "Bearer sk-1")
    for part in (b'name="ref_image"; filename="elf.png"', b"a picture", b'name="driving_video"', b"a video"):
        assert part in body
    assert b'name="model"\r\n\r\nV4_Preview' in body


def test_a_refusal_carries_its_code_message_and_action(server: str) -> None:
    detail = {"error_code": "CS-UORC01-110", "message": "Not there.", "action": "Check the id."}
    _will_answer((404, {"detail": detail, "error_code": "CS-UORC01-110", "message": "Not there."}))
    with Client(server) as client, pytest.raises(ClientError) as refused:
        client.job("job_1")
    assert (str(refused.value), refused.value.action, refused.value.code) == (
        "Not there.",
        "Check the id.",
        "CS-UORC01-110",
    )


@pytest.mark.parametrize("body", [b"<html>Bad gateway</html>", b"[]", b"{}"])
def test_what_is_not_the_farms_own_answer_is_told_by_its_status(server: str, body: bytes) -> None:
    _will_answer((502, body))
    with Client(server) as client, pytest.raises(ClientError, match="502"):
        client.job("job_1")


def test_a_job_is_followed_to_its_end(server: str) -> None:
    statuses = ["queued", "processing", "complete"]
    _will_answer(*((200, {"status": status}) for status in statuses))
    with Client(server) as client:
        assert [job["status"] for job in client.follow("job_1")] == statuses


def test_a_download_is_whole_or_not_at_all(server: str, tmp_path: Path) -> None:
    target = tmp_path / "deep" / "out.mp4"
    target.parent.mkdir()
    _will_answer((200, b"x" * 3_000_000), (404, b""))
    sizes: list[int] = []
    with Client(server) as client:
        client.download(f"{server}/files/1", target, sizes.append)
        assert (target.stat().st_size, sum(sizes)) == (3_000_000, 3_000_000)
        target.unlink()
        with pytest.raises(ClientError):
            client.download(f"{server}/files/2", target)
    assert list(target.parent.iterdir()) == []


def test_a_result_that_cannot_be_written_is_said_to_be_there_still(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    _will_answer((200, b"a video"))
    with Client(server) as client, pytest.raises(ClientError, match="could not be fetched") as failed:
        client.download(f"{server}/files/1", tmp_path / "file" / "out.mp4")
    assert f"{server}/files/1" in failed.value.action


def test_nobody_at_the_address_is_told_with_what_to_do() -> None:
    with Client(f"http://127.0.0.1:{free_port()}") as client, pytest.raises(Unreachable) as nobody:
        client.job("job_1")
    assert "farm up" in nobody.value.action


def test_only_a_complete_job_has_no_error() -> None:
    assert error_of({"status": "complete"}) is None
    failed = error_of({"status": "failed", "error_code": "CS-UORC01-101", "error_message": "Nobody there."})
    assert failed is not None
    assert (str(failed), failed.code) == ("Nobody there.", "CS-UORC01-101")
    assert "person" in failed.action
    cancelled = error_of({"status": "cancelled"})
    assert cancelled is not None
    assert "cancelled" in str(cancelled)


def test_the_key_is_shown_to_the_farm_alone(server: str, tmp_path: Path) -> None:
    _will_answer((200, b"frames"))  # a store or a CDN, whose address needs no key
    with Client("http://farm.invalid", "sk-1") as client:
        client.download(f"{server}/out/video.mp4", tmp_path / "video.mp4")
    assert [key for _, key, _ in _Answers.asked] == [None]


def test_what_is_stored_or_lies_at_an_address_is_named_in_its_own_field(server: str, tmp_path: Path) -> None:
    video = tmp_path / "dance.mp4"
    video.write_bytes(b"a video")
    _will_answer(*((202, {"job_id": "job_1"}),) * 3)
    with Client(server, "sk-1") as client:
        client.render("char_abc", "scene_def", mapping={"person_1": "char_abc"}, fast="true")
        client.render("https://example.org/elf.png", video)
        client.preprocess_scene("the hall", "https://example.org/hall.mp4", model="V3_Preview")
    stored, mixed, scene = (body for _, _, body in _Answers.asked)
    assert dict(parse_qsl(stored.decode())) == {
        "character_id": "char_abc",
        "scene_id": "scene_def",
        "character_mapping": '{"person_1": "char_abc"}',
        "fast": "true",
    }
    assert b'name="ref_image_url"\r\n\r\nhttps://example.org/elf.png' in mixed
    assert b'name="driving_video"; filename="dance.mp4"' in mixed
    assert dict(parse_qsl(scene.decode())) == {
        "name": "the hall",
        "video_url": "https://example.org/hall.mp4",
        "model": "V3_Preview",
    }


def test_whoever_waits_gets_the_job_or_why_there_is_none(server: str) -> None:
    stream = b'retry: 1\n\n: keep-alive\n\nid: 7\nevent: job\ndata: {"status": "complete"}\n\n'
    failed_job = {"status": "failed", "error_code": "CS-UORC01-101"}
    _will_answer((200, stream), (404, b""), (200, failed_job))  # the second farm tells nothing
    with Client(server) as client:
        assert client.wait("job_1")["status"] == "complete"
        with pytest.raises(JobFailed) as failed:
            client.wait("job_1")
    assert failed.value.code == "CS-UORC01-101"


def test_events_are_told_to_the_end_over_streams_that_end_before_it(server: str) -> None:
    def event(number: int, status: str) -> bytes:
        return b'event: job\nid: %d\ndata: {"status": "%b"}\n\n' % (number, status.encode())

    _will_answer(
        (200, b"retry: 1\n\n" + event(2, "queued") + event(4, "processing")),
        (200, b"retry: 1\n\n" + event(7, "complete")),
    )
    with Client(server) as client:
        assert [job["status"] for job in client.events("job_1")] == ["queued", "processing", "complete"]
    assert [line for line, _, _ in _Answers.asked] == ["GET /api/render/job_1/events"] * 2


def test_a_farm_without_a_free_stream_says_so_at_once(server: str) -> None:
    _will_answer((429, {"message": "Full.", "error_code": "CS-UORC01-111", "detail": {}}), (200, {}))
    with Client(server) as client:
        for reason in ("Full", "no stream"):
            with pytest.raises(ClientError, match=reason):
                next(client.events("job_1"))


def test_an_estimate_asks_for_a_scene_or_a_length(server: str) -> None:
    _will_answer((200, {"credits": 3}), (200, {"credits": 6}))
    with Client(server) as client:
        assert client.estimate(duration_seconds=2.5, fps=25)["credits"] == 3
        assert client.estimate(scene_id="scene_1", fast=True)["credits"] == 6
    length, scene = (json.loads(body) for _, _, body in _Answers.asked)
    assert length == {"duration_seconds": 2.5, "fps": 25, "model": "", "fast": False}
    assert scene == {"scene_id": "scene_1", "model": "", "fast": True}


def test_a_large_file_is_sent_by_itself_in_its_parts(server: str, tmp_path: Path) -> None:
    video = tmp_path / "long.mp4"
    with video.open("wb") as file:
        file.truncate((32 << 20) + 5)
    parts = [{"url": f"{server}/part/{n}", "size": size} for n, size in ((1, 32 << 20), (2, 5))]
    _will_answer(
        (201, {"upload_id": "upl_1", "parts": parts}),
        *((200, {}) for _ in range(3)),
        (202, {"job_id": "job_1"}),
    )
    with Client(server, "sk-1") as client:
        assert client.render("char_1", video)["job_id"] == "job_1"
    begun, first, second, completed, order = _Answers.asked
    assert json.loads(begun[2]) == {"kind": "video", "size": (32 << 20) + 5, "filename": "long.mp4"}
    assert [len(part[2]) for part in (first, second)] == [32 << 20, 5]
    assert [part[:2] for part in (first, second)] == [("PUT /part/1", None), ("PUT /part/2", None)]
    assert completed[0] == "POST /api/uploads/upl_1/complete"
    assert dict(parse_qsl(order[2].decode())) == {
        "character_id": "char_1",
        "driving_video_upload_id": "upl_1",
    }
