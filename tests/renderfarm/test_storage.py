"""One contract, two stores: a folder and a real S3 server."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from renderfarm.cdn import Public
from renderfarm.settings import Settings, SettingsError
from renderfarm.storage import FileStore, NotStored, S3Store, Storage, StorageError, checksum, open_storage
from renderfarm.storage.s3 import PART
from tests.services.s3 import S3Server


@pytest.fixture
def file_store(tmp_path: Path) -> FileStore:
    return FileStore(tmp_path / "store", Public("http://farm.test/files"))


@pytest.fixture
def s3_store(s3: S3Server) -> Iterator[Storage]:
    store = open_storage(s3.settings())
    yield store
    for key in list(store.list("")):
        store.delete(key)


@pytest.fixture(params=["file_store", "s3_store"])
def store(request: pytest.FixtureRequest) -> Storage:
    found: Storage = request.getfixturevalue(request.param)
    return found


def write(store: Storage, key: str, data: bytes = b"frames") -> None:
    with store.writer(key) as out:
        out.write(data)
        out.commit()


def read(store: Storage, key: str, folder: Path) -> bytes:
    return store.fetch(key, folder).read_bytes()


class TestEveryStore:
    def test_what_was_written_is_read_back(self, store: Storage, tmp_path: Path) -> None:
        with store.writer("in/acct/a") as out:
            assert out.write(b"one ") == 4
            out.write(b"two")
            stored = out.commit()
        assert stored.size == 7
        assert stored.sha256 == hashlib.sha256(b"one two").hexdigest()
        assert read(store, "in/acct/a", tmp_path / "fetched") == b"one two"
        assert store.size("in/acct/a") == 7

    def test_an_empty_object_is_an_object(self, store: Storage, tmp_path: Path) -> None:
        with store.writer("in/acct/empty") as out:
            assert out.commit().size == 0
        assert store.exists("in/acct/empty")
        assert read(store, "in/acct/empty", tmp_path / "fetched") == b""

    def test_an_object_of_several_parts_is_whole(self, store: Storage, tmp_path: Path) -> None:
        block = hashlib.sha256(b"seed").digest() * 4096
        with store.writer("in/acct/large") as out:
            while out.size <= 2 * PART:
                out.write(block)
            stored = out.commit()
        fetched = store.fetch("in/acct/large", tmp_path / "fetched")
        assert stored.size > 2 * PART
        assert checksum(fetched) == stored

    def test_a_writer_left_without_commit_leaves_nothing(self, store: Storage) -> None:
        with store.writer("in/acct/left") as out:
            out.write(b"x" * (PART + 1))
        assert not store.exists("in/acct/left")
        assert list(store.list("")) == []

    def test_a_writer_left_by_an_error_leaves_nothing(self, store: Storage) -> None:
        with pytest.raises(RuntimeError, match="connection lost"), store.writer("in/acct/left") as out:
            out.write(b"half")
            raise RuntimeError("connection lost")
        assert list(store.list("")) == []

    def test_an_unfinished_write_does_not_touch_the_older_object(
        self, store: Storage, tmp_path: Path
    ) -> None:
        write(store, "work/job/a", b"old")
        with store.writer("work/job/a") as out:
            out.write(b"new, but half")
        assert read(store, "work/job/a", tmp_path / "fetched") == b"old"

    def test_a_later_write_replaces_the_object(self, store: Storage, tmp_path: Path) -> None:
        write(store, "work/job/a", b"old and long")
        write(store, "work/job/a", b"new")
        assert read(store, "work/job/a", tmp_path / "fetched") == b"new"

    def test_a_file_is_put_with_its_checksum(self, store: Storage, tmp_path: Path) -> None:
        path = tmp_path / "clip.mp4"
        path.write_bytes(b"moov" * 1000)
        stored = store.put("out/job/clip.mp4", path, "video/mp4")
        assert stored == checksum(path)
        assert read(store, "out/job/clip.mp4", tmp_path / "fetched") == path.read_bytes()

    def test_what_is_not_there_is_not_stored(self, store: Storage, tmp_path: Path) -> None:
        write(store, "in/acct/a")
        for key in ("in/acct/b", "in/acct", "in/acct/a/b"):
            assert not store.exists(key)
            with pytest.raises(NotStored):
                store.size(key)
            with pytest.raises(NotStored):
                store.fetch(key, tmp_path / "fetched")

    def test_delete_removes_and_is_content_with_nothing(self, store: Storage) -> None:
        write(store, "in/acct/a")
        write(store, "in/acct/ab")
        store.delete("in/acct/a")
        store.delete("in/acct/a")
        store.delete("in/acct")
        assert list(store.list("")) == ["in/acct/ab"]

    def test_list_knows_folders_from_names_that_begin_alike(self, store: Storage) -> None:
        keys = ["work/job_1/plate-0/1/plate", "work/job_1/segment-0/1/a", "work/job_10/x", "in/acct/a"]
        for key in keys:
            write(store, key)
        assert list(store.list("work/job_1/")) == keys[:2]
        assert list(store.list("nothing/here/")) == []
        assert sorted(store.list("")) == sorted(keys)

    def test_delete_prefix_removes_the_folder_and_no_more(self, store: Storage) -> None:
        for key in ("work/job_1/a", "work/job_1/b/c", "work/job_10/x"):
            write(store, key)
        store.delete_prefix("work/job_1/")
        store.delete_prefix("work/job_1/")
        assert list(store.list("")) == ["work/job_10/x"]

    def test_delete_prefix_leaves_what_it_is_told_to_and_nothing_of_a_dead_writer(
        self, store: Storage
    ) -> None:
        for key in ("work/job_1/a/1/x", "work/job_1/a/2/y", "work/job_1/b/1/z", "work/job_10/x"):
            write(store, key)
        dead = store.writer("work/job_1/b/2/z")
        dead.write(b"x" * (PART + 1))
        store.delete_prefix("work/job_1/", ["work/job_1/a/2/y", "work/job_1/none"])
        assert list(store.list("")) == ["work/job_1/a/2/y", "work/job_10/x"]
        with pytest.raises(StorageError):
            dead.commit()

    def test_delete_clears_what_a_dead_writer_left(self, store: Storage, tmp_path: Path) -> None:
        writers = [store.writer("in/acct/a"), store.writer("work/job/a"), store.writer("in/acct/ab")]
        for out in writers:
            out.write(b"x" * (PART + 1))
        store.delete("in/acct/a")
        store.delete_prefix("work/job/")
        for out in writers[:2]:
            with pytest.raises(StorageError):
                out.commit()
        writers[2].commit()  # another key's writer was not disturbed
        assert list(store.list("")) == ["in/acct/ab"]
        for out in writers[:2]:
            out.__exit__(None, None, None)

    @pytest.mark.parametrize(
        "key",
        [
            "",
            "/etc/passwd",
            "../a",
            "in/../../a",
            "in//a",
            "in/.a",
            "in/a/",
            "a b",
            "in/" + "a" * 201,
            "a/" * 512 + "a",
        ],
    )
    def test_a_key_cannot_lead_out_of_the_store_or_be_too_long(
        self, store: Storage, tmp_path: Path, key: str
    ) -> None:
        for call in (store.writer, store.size, store.delete, store.source, store.url, store.exists):
            with pytest.raises(ValueError, match="not a storage key"):
                call(key)
        with pytest.raises(ValueError, match="not a storage key"):
            store.fetch(key, tmp_path)

    def test_a_prefix_ends_in_a_slash(self, store: Storage) -> None:
        with pytest.raises(ValueError, match="ends in a slash"):
            store.delete_prefix("work/job")
        with pytest.raises(ValueError, match="not a storage key"):
            store.delete_prefix("/")

    def test_the_source_can_be_opened_where_it_lies(self, store: Storage) -> None:
        write(store, "in/acct/a", b"bytes")
        source = store.source("in/acct/a")
        if source.startswith("http"):
            with urlopen(source) as answer:
                assert answer.read() == b"bytes"
        else:
            assert Path(source).read_bytes() == b"bytes"

    def test_many_threads_write_and_delete_side_by_side(self, store: Storage, tmp_path: Path) -> None:
        failures: list[BaseException] = []

        def churn(name: str) -> None:
            try:
                for turn in range(10):
                    write(store, f"work/shared/{name}", f"{name}{turn}".encode())
                    assert read(store, f"work/shared/{name}", tmp_path / name) == f"{name}{turn}".encode()
                    store.delete(f"work/shared/{name}")
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=churn, args=(f"t{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert list(store.list("")) == []

    def test_a_store_that_answers_passes_its_check(self, store: Storage) -> None:
        store.check()


class TestFileStore:
    def test_empty_folders_do_not_stay(self, file_store: FileStore, tmp_path: Path) -> None:
        write(file_store, "work/job/a/b")
        with file_store.writer("in/acct/half") as out:
            out.write(b"half")
        file_store.delete("work/job/a/b")
        assert list((tmp_path / "store").iterdir()) == []

    def test_a_disk_that_is_away_is_not_an_empty_store(self, file_store: FileStore, tmp_path: Path) -> None:
        write(file_store, "in/acct/a")
        elsewhere = (tmp_path / "store").rename(tmp_path / "elsewhere")
        (tmp_path / "store").touch()
        for ask in (file_store.size, lambda key: write(file_store, key)):
            with pytest.raises(StorageError) as refused:
                ask("in/acct/a")
            assert not isinstance(refused.value, NotStored)
        (tmp_path / "store").unlink()
        elsewhere.rename(tmp_path / "store")
        assert file_store.size("in/acct/a")

    def test_what_a_killed_writer_left_goes_with_the_next_of_the_same_object(
        self, file_store: FileStore, tmp_path: Path
    ) -> None:
        killed = file_store.writer("out/job/a")
        killed.write(b"half")
        write(file_store, "out/job/a")
        assert [path.name for path in (tmp_path / "store/out/job").iterdir()] == ["a"]
        killed.__exit__(None, None, None)
        assert file_store.size("out/job/a")

    def test_a_full_disk_is_an_error_of_the_store(self, file_store: FileStore, tmp_path: Path) -> None:
        if not Path("/dev/full").exists():
            pytest.skip("this system has no /dev/full")
        with (
            Path("/dev/full").open("wb") as full,
            pytest.raises(StorageError, match="No space left") as refused,
            file_store.writer("in/acct/a") as out,
        ):
            os.dup2(full.fileno(), out._file.fileno())
            out.write(b"x")
            out.commit()
        assert not isinstance(refused.value, NotStored)
        assert list((tmp_path / "store").iterdir()) == []

    def test_a_stored_file_and_its_name_reach_the_disk(
        self, file_store: FileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[bool] = []
        monkeypatch.setattr(os, "fsync", lambda fd: synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)))
        write(file_store, "in/acct/a")
        assert synced == [False, True]

    def test_its_address_is_the_farms_own(self, tmp_path: Path) -> None:
        settings = Settings(
            database_url="", storage_url=f"file://{tmp_path}", public_url="https://farm.test/"
        )
        assert open_storage(settings).url("out/j/a.mp4") == "https://farm.test/files/out/j/a.mp4"

    def test_a_cdn_takes_the_place_of_its_address(self, tmp_path: Path) -> None:
        settings = Settings(database_url="", storage_url=f"file://{tmp_path}", cdn_base="https://cdn.test/v/")
        assert open_storage(settings).url("out/j/a.mp4") == "https://cdn.test/v/out/j/a.mp4"


class TestS3Store:
    def test_its_address_is_signed_and_carries_the_type(self, s3_store: Storage, tmp_path: Path) -> None:
        (tmp_path / "a.mp4").write_bytes(b"0123456789")
        s3_store.put("out/j/a.mp4", tmp_path / "a.mp4", "video/mp4")
        url = s3_store.url("out/j/a.mp4")
        with urlopen(url) as answer:
            assert answer.headers["Content-Type"] == "video/mp4"
            assert answer.read() == b"0123456789"
        with pytest.raises(HTTPError) as refused:
            urlopen(url.split("?", maxsplit=1)[0])
        assert refused.value.code in {400, 401, 403}
        refused.value.close()

    def test_a_cdn_takes_the_place_of_its_address(self, s3: S3Server) -> None:
        store = open_storage(s3.settings(cdn_base="https://cdn.test"))
        assert store.url("out/j/a.mp4") == "https://cdn.test/out/j/a.mp4"

    def test_a_bucket_that_is_missing_fails_its_check(self, s3: S3Server) -> None:
        with pytest.raises(StorageError):
            open_storage(s3.settings(storage_url="s3://not-made")).check()

    def test_a_wrong_secret_is_an_error_of_the_store(self, s3: S3Server) -> None:
        store = open_storage(s3.settings(s3_secret_key="wrong"))
        with pytest.raises(StorageError) as refused:
            write(store, "in/acct/a")
        assert not isinstance(refused.value, NotStored)

    def test_no_unfinished_upload_is_left_by_a_failed_writer(self, s3_store: S3Store) -> None:
        with s3_store.writer("in/acct/half") as out:
            out.write(b"x" * (PART + 1))
        assert "Uploads" not in s3_store._client.list_multipart_uploads(Bucket="renders")


@pytest.mark.parametrize("address", ["", "file://", "file:///", "s3://", "/folder", "ftp://host/folder"])
def test_an_address_that_names_no_store_is_refused_by_its_variable(address: str) -> None:
    with pytest.raises(SettingsError, match="FARM_STORAGE_URL"):
        open_storage(Settings(database_url="", storage_url=address))
