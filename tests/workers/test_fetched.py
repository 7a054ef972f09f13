"""What was fetched once is not fetched again, unless somebody has touched it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from renderfarm.cdn import Public
from renderfarm.storage import FileStore, Stored
from workers.fetched import Fetched
from workers.transfer import Corrupt


class Remote(FileStore):
    """A store that has to be copied from, as a bucket has; it counts."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "http://files")
        self.copies = 0

    def fetch(self, key: str, folder: Path) -> Path:
        self.copies += 1
        target = folder / key
        target.parent.mkdir(parents=True, exist_ok=True)
        part = target.with_name(f".{target.name}.part")
        shutil.copyfile(super().fetch(key, folder), part)
        return part.replace(target)


@pytest.fixture
def store(tmp_path: Path) -> Remote:
    return Remote(tmp_path / "store")


def write(store: Remote, key: str, data: bytes) -> Stored:
    with store.writer(key) as out:
        out.write(data)
        return out.commit()


def go_on() -> None:
    """A check that lets everything pass."""


def test_an_object_is_fetched_once_for_many_units(store: Remote, tmp_path: Path) -> None:
    fetched = Fetched(store, tmp_path / "fetched")
    expected = write(store, "work/job_a/plate", b"plate")
    for _ in range(3):
        assert fetched.fetch("work/job_a/plate", go_on, expected).read_bytes() == b"plate"
        fetched.trim()
    assert store.copies == 1


def test_a_file_that_was_touched_is_fetched_and_checked_anew(store: Remote, tmp_path: Path) -> None:
    fetched = Fetched(store, tmp_path / "fetched")
    expected = write(store, "work/job_a/plate", b"plate")
    path = fetched.fetch("work/job_a/plate", go_on, expected)
    path.chmod(0o644)
    path.write_bytes(b"PLATE")
    assert fetched.fetch("work/job_a/plate", go_on, expected).read_bytes() == b"plate"
    path.unlink()
    assert fetched.fetch("work/job_a/plate", go_on, expected).read_bytes() == b"plate"
    assert store.copies == 3


def test_what_another_attempt_stored_under_the_key_is_not_taken_for_it(store: Remote, tmp_path: Path) -> None:
    fetched = Fetched(store, tmp_path / "fetched")
    fetched.fetch("work/job_a/plate", go_on, write(store, "work/job_a/plate", b"one"))
    other = write(store, "work/job_a/plate", b"two")
    assert fetched.fetch("work/job_a/plate", go_on, other).read_bytes() == b"two"


def test_a_damaged_object_is_refused_and_not_kept(store: Remote, tmp_path: Path) -> None:
    fetched = Fetched(store, tmp_path / "fetched")
    expected = write(store, "work/job_a/plate", b"plate")
    write(store, "work/job_a/plate", b"damaged")
    for _ in range(2):
        with pytest.raises(Corrupt):
            fetched.fetch("work/job_a/plate", go_on, expected)


def test_the_oldest_goes_where_there_is_too_much(store: Remote, tmp_path: Path) -> None:
    fetched = Fetched(store, tmp_path / "fetched", most_bytes=20)
    paths = {}
    for name in "abc":
        write(store, f"in/{name}", b"10 bytes..")
        paths[name] = fetched.fetch(f"in/{name}", go_on)
    assert all(path.exists() for path in paths.values()), "one unit's files all stay"
    fetched.fetch("in/a", go_on)
    fetched.trim()
    assert [name for name, path in paths.items() if path.exists()] == ["a", "c"]
    fetched.clear()
    assert not (tmp_path / "fetched").exists()


def test_files_of_a_store_on_the_same_disk_stay_where_and_as_they_are(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "store", Public("http://files"))
    with store.writer("in/video") as out:
        out.write(b"video")
        out.commit()
    fetched = Fetched(store, tmp_path / "fetched", most_bytes=0)
    mode = store.path("in/video").stat().st_mode
    path = fetched.fetch("in/video", go_on)
    fetched.trim()
    fetched.clear()
    assert path == store.path("in/video")
    assert (path.read_bytes(), path.stat().st_mode) == (b"video", mode)
