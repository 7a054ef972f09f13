"""Files to and from the store: patient with it, checked, and interruptible."""

from __future__ import annotations

from pathlib import Path

import pytest

from renderfarm.cdn import Public
from renderfarm.storage import FileStore, StorageError, Stored, checksum
from workers import transfer
from workers.heart import Reason, Stopped
from workers.transfer import Corrupt, fetch, patiently, upload


@pytest.fixture
def store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", Public("http://files"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "segment-0000.mp4"
    path.write_bytes(b"frames" * 500_000)
    return path


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "DELAYS", (0.01, 0.01))


def go_on() -> None:
    """A check that lets everything pass."""


def test_what_was_stored_comes_back_the_same(store: FileStore, file: Path, tmp_path: Path) -> None:
    stored = upload(store, "segment-0000", "work/job_a/segment-0/1/segment-0000.mp4", file, go_on)
    assert Stored(stored.size, stored.sha256) == checksum(file)
    assert fetch(store, stored.key, tmp_path, go_on, checksum(file)).read_bytes() == file.read_bytes()


def test_a_file_that_is_not_what_its_row_says_is_refused(
    store: FileStore, file: Path, tmp_path: Path
) -> None:
    stored = upload(store, "plate", "work/job_a/plate-0/1/plate.npz", file, go_on)
    store.put(stored.key, Path(__file__))
    with pytest.raises(Corrupt):
        fetch(store, stored.key, tmp_path, go_on, checksum(file))


def test_an_upload_that_is_stopped_leaves_nothing(store: FileStore, file: Path) -> None:
    checks = iter([None, None, Stopped(Reason.LOST)])

    def check() -> None:
        if stopped := next(checks):
            raise stopped

    with pytest.raises(Stopped):
        upload(store, "output", "out/job_a/abc.mp4", file, check)
    assert list(store.list("")) == []


def test_a_store_that_fails_is_tried_again(impatient: None) -> None:
    answers = iter([StorageError("away"), StorageError("still away"), None])

    def action() -> str:
        if error := next(answers):
            raise error
        return "stored"

    assert patiently(action, go_on) == "stored"


def test_a_store_that_stays_away_is_given_up(impatient: None) -> None:
    tries = []

    def action() -> None:
        tries.append(1)
        raise StorageError("away")

    with pytest.raises(StorageError, match="away"):
        patiently(action, go_on)
    assert len(tries) == 3


def test_a_file_that_is_not_there_is_not_waited_for(store: FileStore, tmp_path: Path) -> None:
    with store.writer("work/job_a/another") as out:
        out.commit()
    with pytest.raises(Corrupt):
        fetch(store, "work/job_a/none", tmp_path, go_on)


def test_waiting_for_the_store_ends_when_the_work_has_to_stop() -> None:
    checks = iter([None, None, Stopped(Reason.LOST)])

    def check() -> None:
        if stopped := next(checks):
            raise stopped

    def action() -> None:
        raise StorageError("away")

    with pytest.raises(Stopped):
        patiently(action, check)
