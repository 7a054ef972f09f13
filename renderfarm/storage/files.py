"""A folder as a store: the embedded default, served by the API itself."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from renderfarm.cdn import Links
from renderfarm.storage.base import (
    CHUNK,
    Entry,
    NotStored,
    Storage,
    StorageError,
    Stored,
    Writer,
    checked,
    checked_prefix,
    checksum,
)

#: What an object's parts are joined in, beside those that are still to come.
_JOINED = "joined"


class FileStore(Storage):
    """Objects as files under ``root``; ``links`` makes the addresses that serve them.

    A file being written lies in a dotted folder beside its final place, one for each object: a rename
    finishes it, and what a killed process left is found without looking at all the other files.
    """

    def __init__(self, root: Path, links: Links) -> None:
        self._root = root.resolve()
        self._links = links

    @property
    def links(self) -> Links:
        return self._links

    def path(self, key: str) -> Path:
        """Where the object is or would be."""
        return self._root / checked(key)

    def writer(self, key: str, content_type: str = "") -> Writer:
        return _FileWriter(self._root, self.path(key), self._prune)

    def fetch(self, key: str, folder: Path) -> Path:
        self.size(key)
        return self.path(key)

    def source(self, key: str) -> str:
        return str(self.path(key))

    def size(self, key: str) -> int:
        path = self.path(key)
        with _disk(self._root, key):
            if path.is_dir():
                raise NotStored(key)
            return path.stat().st_size

    def delete(self, key: str) -> None:
        path = self.path(key)
        # Another thread may prune the folder at any moment: then nothing is there any more.
        with _disk(self._root, key), suppress(FileNotFoundError):
            if path.is_dir():
                return  # a key is never a folder
            path.unlink(missing_ok=True)
            shutil.rmtree(_parts_of(path))
        self._prune(path.parent)

    def entries(self, prefix: str) -> Iterator[Entry]:
        yield from self._under(checked_prefix(prefix) if prefix else "")

    def _under(self, prefix: str) -> Iterator[Entry]:
        try:
            with os.scandir(self._root / prefix) as found:
                # A folder's keys come where its name and a slash would.
                names = sorted(f"{each.name}/" if each.is_dir() else each.name for each in found)
        except (FileNotFoundError, NotADirectoryError):
            return  # somebody pruned it
        for name in names:
            if name.startswith("."):
                continue
            if name.endswith("/"):
                yield from self._under(f"{prefix}{name}")
                continue
            with suppress(FileNotFoundError):
                seen = (self._root / prefix / name).stat()
                yield Entry(f"{prefix}{name}", seen.st_size, seen.st_mtime)

    def delete_prefix(self, prefix: str, but: Collection[str] = ()) -> None:
        top = self._root / checked_prefix(prefix)
        if but:
            self._delete_others(top, but)
            return
        with _disk(self._root, prefix):
            while top.exists():
                with suppress(FileNotFoundError):  # somebody else removes the same: look again
                    shutil.rmtree(top)
        self._prune(top.parent)

    def _delete_others(self, top: Path, kept: Collection[str]) -> None:
        """Also what writers that died have left there, which no key names."""
        with _disk(self._root, str(top)):
            for path in sorted(top.rglob("*"), reverse=True):
                if path.relative_to(self._root).as_posix() not in kept and not path.is_dir():
                    path.unlink(missing_ok=True)
                    self._prune(path.parent)

    def check(self) -> None:
        with _disk(self._root, "the root folder"):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK):
                raise StorageError(f"{self._root} cannot be written to")

    def first(self, key: str, size: int) -> bytes:
        with _disk(self._root, key), self.path(key).open("rb") as file:
            return file.read(size)

    def digest(self, key: str) -> Stored:
        with _disk(self._root, key):
            return checksum(self.path(key))

    def open_parts(self, key: str, parts: int, content_type: str = "") -> str:
        self.path(key)
        return ""

    def part_url(self, key: str, handle: str, number: int, size: int, seconds: float) -> str | None:
        return None

    def part_writer(self, key: str, number: int) -> Writer:
        return _FileWriter(self._root, _parts_of(self.path(key)) / f"{number:05}", self._prune)

    def parts(self, key: str, handle: str, part_size: int) -> dict[int, int]:
        folder = _parts_of(self.path(key))
        joined = _size_of(folder / _JOINED)
        found = {number: part_size for number in range(1, joined // part_size + 1)}
        with _disk(self._root, key), suppress(FileNotFoundError):
            for file in folder.iterdir():
                if file.name.isdecimal():
                    found[int(file.name)] = _size_of(file)
        return found

    def join_parts(self, key: str, handle: str, part_size: int) -> None:
        """Put part after part in its place, so that no more than one of them is there twice.

        After a call that died, those that have theirs are gone, unless they were sent once more.
        """
        path = self.path(key)
        folder = _parts_of(path)
        with _disk(self._root, key):
            numbers = sorted(int(file.name) for file in folder.iterdir() if file.name.isdecimal())
            (folder / _JOINED).touch()
            with (folder / _JOINED).open("r+b") as out:
                for number in numbers:
                    out.seek((number - 1) * part_size)
                    with (folder / f"{number:05}").open("rb") as part:
                        shutil.copyfileobj(part, out, CHUNK)
                    out.flush()
                    if number != numbers[-1]:
                        (folder / f"{number:05}").unlink()
                os.fsync(out.fileno())
            (folder / _JOINED).replace(path)
            _sync(path.parent)
            shutil.rmtree(folder, ignore_errors=True)

    def _prune(self, folder: Path) -> None:
        """Remove folders that have become empty, up to the root."""
        while folder != self._root and folder.is_relative_to(self._root):
            try:
                folder.rmdir()
            except FileNotFoundError:
                pass  # somebody else pruned it; its parent may be empty still
            except OSError:
                return
            folder = folder.parent


class _FileWriter(Writer):
    def __init__(self, root: Path, path: Path, prune: Callable[[Path], None]) -> None:
        super().__init__()
        self._root = root
        self._prune = prune
        self._path = path
        self._part = _parts_of(path) / secrets.token_hex(8)
        with _disk(root, str(path)):
            self._file = self._create()

    def _create(self) -> BinaryIO:
        # A delete elsewhere may prune the folder while it is made, or before the file is in it.
        for _ in range(100):
            with suppress(FileNotFoundError, FileExistsError):
                self._part.parent.mkdir(parents=True, exist_ok=True)
                return self._part.open("xb")
        raise StorageError(f"{self._part.parent} cannot be made")

    def _append(self, data: bytes) -> None:
        with _disk(self._root, str(self._path)):
            self._file.write(data)

    def _finish(self) -> None:
        with _disk(self._root, str(self._path)):
            self._file.flush()
            os.fsync(self._file.fileno())  # a row will name this file: it has to outlive a power cut
            self._file.close()
            self._part.replace(self._path)
            _sync(self._path.parent)  # the name, too
            # With what writers of the same object left that were killed: nobody deletes it any more.
            shutil.rmtree(self._part.parent, ignore_errors=True)

    def _abort(self) -> None:
        with suppress(OSError):  # on a full disk closing fails as it flushes; the file goes either way
            self._file.close()
        with suppress(OSError):  # the disk may be away
            self._part.unlink(missing_ok=True)
        self._prune(self._part.parent)


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _parts_of(path: Path) -> Path:
    """Where an object lies while it is written."""
    return path.with_name(f".{path.name}.part")


def _sync(folder: Path) -> None:
    entries = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)


@contextmanager
def _disk(root: Path, what: str) -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, NotADirectoryError) as error:
        if not root.is_dir():  # the disk is away, with all that is stored
            raise StorageError(f"{root} is not there: {error}") from error
        raise NotStored(what) from error
    except OSError as error:
        raise StorageError(f"{what}: {error}") from error
