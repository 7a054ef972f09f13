"""What the ingress refuses: each with its code and status, nothing charged and nothing left behind."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import select

from api import create_app
from api.context import Farm
from renderfarm import accounts, jobs
from renderfarm.db import Database
from renderfarm.models import Account, ApiKey, Garbage
from renderfarm.settings import Settings
from renderfarm.storage import FileStore, StorageError
from tests.api.conftest import Caller, assert_untouched, caller_of, error_of, part, sent
from tests.clips import make_clip, make_picture, make_tone, png_that_claims


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


VIDEOS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a text file named .mp4": (lambda d: write(d / "a.mp4", b"Not a video at all.\n" * 9), "CS-ORIV-003"),
    "a matroska": (lambda d: make_clip(d / "a.mkv"), "CS-ORIV-003"),
    "an empty file": (lambda d: write(d / "a.mp4", b""), "CS-ORIV-007"),
    "a truncated mp4": (
        lambda d: write(d / "b.mp4", make_clip(d / "a.mp4", seconds=2).read_bytes()[:5000]),
        "CS-ORIV-007",
    ),
    "sound alone": (lambda d: make_tone(d / "a.mp4"), "CS-ORIV-007"),
    "20 ms": (lambda d: make_clip(d / "a.mp4", seconds=0.02, rate="50"), "CS-ORIV-006"),
    "6 minutes": (lambda d: make_clip(d / "a.mp4", seconds=360, rate="1", sound=False), "CS-ORIV-004"),
    "5000x100": (lambda d: make_clip(d / "a.mp4", size="5000x100", rate="2"), "CS-ORIV-006"),
}

PICTURES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "an empty file": (lambda d: write(d / "a.png", b""), "CS-ORIV-007"),
    "30000x30000": (lambda d: write(d / "a.png", png_that_claims(30_000, 30_000)), "CS-ORIV-006"),
    "63 pixels wide": (lambda d: make_picture(d / "a.png", 63, 100), "CS-ORIV-006"),
    "a gif": (lambda d: make_picture(d / "a.gif"), "CS-ORIV-003"),
    "a truncated png": (
        lambda d: write(d / "b.png", make_picture(d / "a.png").read_bytes()[:500]),
        "CS-ORIV-007",
    ),
}

FIELDS: list[tuple[dict[str, str], int, str]] = [
    ({"model": "V5_Preview"}, 400, "CS-UORC01-002"),
    ({"model": "v4_preview"}, 400, "CS-UORC01-002"),
    ({"background_mode": "blur"}, 400, "CS-ORIV-011"),
    ({"background_mode": "solid", "bg_color": "300,0,0"}, 400, "CS-ORIV-011"),
    ({"background_mode": "solid", "bg_color": "red"}, 400, "CS-ORIV-011"),
    ({"background_mode": "solid", "bg_color": "0,0"}, 400, "CS-ORIV-011"),
    ({"background_mode": "solid", "bg_color": "-1,0,0"}, 400, "CS-ORIV-011"),
    ({"background_mode": "solid", "bg_color": "\u0663,0,0"}, 400, "CS-ORIV-011"),
    ({"fast": "perhaps"}, 400, "CS-UORC01-002"),
    ({"fast": "true"}, 400, "CS-UORC01-001"),
    ({"webhook_url": "ftp://example.com/hook"}, 400, "CS-ORIV-014"),
    ({"webhook_url": "http://169.254.169.254/latest"}, 400, "CS-ORIV-014"),
    ({"webhook_url": "http://user@example.com/hook"}, 400, "CS-ORIV-014"),
    ({"character_id": "char_alice"}, 400, "CS-UORC01-002"),
    ({"scene_id": "scene_1"}, 400, "CS-UORC01-002"),
    ({"ref_image_url": "https://example.com/a.png"}, 400, "CS-UORC01-002"),
    ({"driving_video_url": "https://example.com/a.mp4"}, 400, "CS-UORC01-002"),
    ({"character_mapping": "not json"}, 400, "CS-ORIV-012"),
    ({"character_mapping": "[1]"}, 400, "CS-ORIV-012"),
    ({"character_mapping": "[" * 50_000}, 400, "CS-ORIV-012"),
    ({"character_mapping": '{"person_a1b2c3d4": "char_alice"}'}, 400, "CS-ORIV-012"),
]


@pytest.mark.parametrize("what", VIDEOS)
def test_a_bad_video_is_refused_with_its_code(
    alice: Caller, farm: Farm, upload: dict[str, Any], tmp_path: Path, what: str
) -> None:
    make, code = VIDEOS[what]
    upload["driving_video"] = sent(make(tmp_path))
    assert error_of(alice.post(upload), 400) == code
    assert_untouched(farm, alice)


@pytest.mark.parametrize("what", PICTURES)
def test_a_bad_picture_is_refused_with_its_code(
    alice: Caller, farm: Farm, upload: dict[str, Any], tmp_path: Path, what: str
) -> None:
    make, code = PICTURES[what]
    upload["ref_image"] = sent(make(tmp_path))
    assert error_of(alice.post(upload), 400) == code
    assert_untouched(farm, alice)


@pytest.mark.parametrize(("fields", "status", "code"), FIELDS, ids=str)
def test_a_bad_field_is_refused_with_its_code_and_name(
    alice: Caller, farm: Farm, upload: dict[str, Any], fields: dict[str, str], status: int, code: str
) -> None:
    response = alice.post(upload | fields)
    assert error_of(response, status) == code
    if code == "CS-UORC01-002":
        assert list(fields)[-1] in response.get_json()["message"]
    assert_untouched(farm, alice)


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({}, 400, "CS-ORIV-001"),
        ({"ref_image": "text, not a file"}, 400, "CS-ORIV-001"),
        ({"character_id": "char_nobody"}, 404, "CS-ORIV-008"),
        ({"scene_id": "scene_nowhere"}, 404, "CS-ORIV-009"),
        ({"ref_image_url": "http://169.254.169.254/"}, 400, "CS-ORIV-014"),
        ({"driving_video_url": "file:///etc/passwd"}, 400, "CS-ORIV-014"),
        ({"character_id": "char_a", "ref_image_url": "http://x/"}, 400, "CS-UORC01-002"),
        ({"model": "V9"}, 400, "CS-UORC01-002"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", ["multipart", "urlencoded", "json"])
def test_a_form_without_files_is_told_what_it_lacks(
    alice: Caller, farm: Farm, kind: str, fields: dict[str, str], status: int, code: str
) -> None:
    if kind == "json":
        response = alice.post(json=fields)
    else:
        mimetype = {"multipart": "multipart/form-data", "urlencoded": "application/x-www-form-urlencoded"}
        response = alice.post(fields, content_type=mimetype[kind])
    assert error_of(response, status) == code
    assert_untouched(farm, alice)


def test_a_picture_without_a_video_and_the_other_way_round(
    alice: Caller, farm: Farm, upload: dict[str, Any], media: Path
) -> None:
    video = upload.pop("driving_video")
    assert error_of(alice.post(upload), 400) == "CS-ORIV-002"
    assert error_of(alice.post({"driving_video": video}), 400) == "CS-ORIV-001"
    assert_untouched(farm, alice)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({}, "CS-ORAU-001"),
        ({"Authorization": ""}, "CS-ORAU-001"),
        ({"Authorization": "Bearer "}, "CS-ORAU-001"),
        ({"Authorization": "Basic c2stYTpi"}, "CS-ORAU-001"),
        ({"Authorization": "Bearer sk-wrong"}, "CS-ORAU-002"),
        ({"Authorization": "Bearer sk-\u00e9"}, "CS-ORAU-002"),
    ],
)
def test_without_a_good_key_nothing_is_read(
    client: FlaskClient, farm: Farm, headers: dict[str, str], code: str
) -> None:
    body = _Untouchable(1000)
    response = client.post(
        "/api/render",
        headers=headers,
        input_stream=body,
        content_type="multipart/form-data; boundary=x",
    )
    assert error_of(response, 401) == code
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert not body.was_read
    assert_untouched(farm)


def test_a_revoked_key_is_an_unknown_one(alice: Caller, database: Database, upload: dict[str, Any]) -> None:
    with database.begin() as session:
        (key,) = session.query(ApiKey).filter_by(account_id=alice.account_id)
        accounts.revoke_key(session, key.id)
    assert error_of(alice.post(upload), 401) == "CS-ORAU-002"


def test_without_any_credit_the_body_is_not_read(pauper: Caller, farm: Farm) -> None:
    body = _Untouchable(1000)
    response = pauper.client.post(
        "/api/render",
        headers=pauper.headers,
        input_stream=body,
        content_type="multipart/form-data; boundary=x",
    )
    assert error_of(response, 402) == "CS-ORCR-001"
    assert not body.was_read
    assert_untouched(farm, pauper, granted=0)


def test_with_too_few_credits_the_files_are_not_kept(
    client: FlaskClient, database: Database, farm: Farm, upload: dict[str, Any]
) -> None:
    poor = caller_of(client, database, "poor", grant=2)
    assert error_of(poor.post(upload), 402) == "CS-ORCR-001"  # 2.4 s cost 3
    assert_untouched(farm, poor, granted=2)


def test_a_file_over_the_limit_is_cut_off(settings: Settings, database: Database, media: Path) -> None:
    app = create_app(replace(settings, max_upload_mb=1))
    farm: Farm = app.extensions["farm"]
    alice = caller_of(app.test_client(), database, "alice")
    files = {"ref_image": part(b"\x89PNG\r\n\x1a\n" + bytes(1 << 20), "a.png")}
    response = alice.post(files)
    assert error_of(response, 413) == "CS-ORIV-005"
    assert "1 MB" in response.get_json()["message"]
    assert_untouched(farm, alice)
    farm.database.close()


def test_a_body_that_is_too_long_by_its_own_word_is_not_read(alice: Caller, farm: Farm) -> None:
    body = _Untouchable(5 << 30)
    response = alice.client.post(
        "/api/render",
        headers=alice.headers,
        input_stream=body,
        content_type="multipart/form-data; boundary=x",
    )
    assert error_of(response, 413) == "CS-ORIV-005"
    assert not body.was_read
    assert_untouched(farm, alice)


@pytest.mark.parametrize("end", [0, 1, 40, 200, 900])
def test_a_body_that_ends_too_soon_leaves_nothing(alice: Caller, farm: Farm, media: Path, end: int) -> None:
    whole = (
        b'--x\r\nContent-Disposition: form-data; name="ref_image"; filename="a.png"\r\n\r\n'
        + (media / "picture.png").read_bytes()
        + b"\r\n--x--\r\n"
    )
    response = alice.client.post(
        "/api/render",
        headers=alice.headers,
        data=whole[:end],
        content_type="multipart/form-data; boundary=x",
    )
    assert response.status_code == 400
    assert error_of(response) in {"CS-UORC01-002", "CS-ORIV-001"}
    assert_untouched(farm, alice)


def test_more_files_than_a_render_has_are_refused(alice: Caller, farm: Farm, upload: dict[str, Any]) -> None:
    upload["extra"] = part(b"more", "more.bin")
    assert error_of(alice.post(upload), 400) == "CS-UORC01-002"
    assert_untouched(farm, alice)


def test_a_file_under_another_name_is_not_kept(alice: Caller, farm: Farm) -> None:
    assert error_of(alice.post({"picture": part(b"x", "a.png")}), 400) == "CS-ORIV-001"
    assert_untouched(farm, alice)


def test_the_same_name_twice_is_refused(alice: Caller, farm: Farm, media: Path) -> None:
    files = [sent(media / "picture.png") for _ in range(2)]
    response = alice.post({"ref_image": files})
    assert error_of(response, 400) == "CS-UORC01-002"
    assert "ref_image" in response.get_json()["message"]
    assert error_of(alice.post({"model": ["V3_Preview", "V4_Preview"]}), 400) == "CS-UORC01-002"
    assert_untouched(farm, alice)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"no boundary", "multipart/form-data"),
        (b"\xff\xfe", "application/json"),
        (b"[1, 2]", "application/json"),
        (b"[" * 100_000, "application/json"),
        (b"a=\xff", "application/x-www-form-urlencoded"),
        (b"&".join(b"a=1" for _ in range(100)), "application/x-www-form-urlencoded"),
        (b"a" * (2 << 20), "application/x-www-form-urlencoded"),
        (b'--x\r\nContent-Disposition: form-data; name="ref_image"\r\n\r\n' + b"a" * (2 << 20) + b"\r\n--x--",
         "multipart/form-data; boundary=x"),
        (b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n' * 99 + b"--x--",
         "multipart/form-data; boundary=x"),
    ],
)  # fmt: skip
def test_a_body_that_is_not_what_it_says_is_refused(
    alice: Caller, farm: Farm, body: bytes, kind: str
) -> None:
    response = alice.client.post("/api/render", headers=alice.headers, data=body, content_type=kind)
    assert error_of(response, 400) == "CS-UORC01-002"
    assert_untouched(farm, alice)


def test_a_store_that_fails_is_our_fault_charges_nothing_and_may_be_asked_again(
    alice: Caller, farm: Farm, upload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr("renderfarm.storage.files._FileWriter._finish", fail)
    response = alice.post(upload)
    assert error_of(response, 503) == "CS-UORC01-199"
    assert int(response.headers["Retry-After"]) > 0
    assert "disk" not in response.text
    assert_untouched(farm, alice)


def test_files_that_cannot_be_deleted_now_are_left_to_the_sweeper(
    alice: Caller, farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise StorageError("the store is away")

    monkeypatch.setattr(FileStore, "delete", fail)
    assert error_of(alice.post({"ref_image": part(b"x", "a.png")}), 400) == "CS-ORIV-002"
    with farm.database.begin() as session:
        left = Garbage.key.startswith(f"in/{alice.account_id}/")
        assert (
            len(session.scalars(select(Garbage).where(left)).all()) == 2
        )  # a place for each file there may be


def test_when_a_commit_breaks_its_files_stay_for_whoever_owns_them(
    alice: Caller, farm: Farm, upload: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def submit_and_break(*_: object) -> None:
        raise ConnectionError("the answer to COMMIT never came")

    monkeypatch.setattr(jobs, "submit_at_once", submit_and_break)
    assert error_of(alice.post(upload), 500) == "CS-UORC01-199"
    with farm.database.begin() as session:
        own = Garbage.key.startswith(f"in/{alice.account_id}/")
        garbage = set(session.scalars(select(Garbage.key).where(own)))
        assert session.get_one(Account, alice.account_id).held == 0
    assert garbage == set(farm.storage.list(""))  # the rows decide: the sweeper deletes what none owns
    assert len(garbage) == 2


class _Untouchable(io.BytesIO):
    """A body of so many bytes that remembers whether anyone has read from it."""

    was_read = False

    def __init__(self, length: int) -> None:
        super().__init__()
        self._length = length
        self._place = 0

    def seek(self, offset: int, whence: int = 0, /) -> int:
        self._place = offset + (self._length if whence == io.SEEK_END else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int | None = -1, /) -> bytes:
        self.was_read = True
        return b""

    def readinto(self, buffer: Any, /) -> int:
        self.was_read = True
        return 0


def test_parts_without_a_name_are_refused(alice: Caller, farm: Farm) -> None:
    part = b"--x\r\nContent-Disposition: form-data\r\n\r\n%d\r\n"
    body = part % 1 + part % 2 + b"--x--\r\n"
    answer = alice.client.post(
        "/api/render", data=body, content_type="multipart/form-data; boundary=x", headers=alice.headers
    )
    assert error_of(answer, 400) == "CS-UORC01-002"
    assert_untouched(farm, alice)
