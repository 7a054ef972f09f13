"""A folder as a store: the embedded default, served by the API itself."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from renderfarm.storage.base import (
    NotStored,
    Part,
    Storage,
    StorageError,
    Writer,
    checked,
    checked_prefix,
)

#: Where an object lies that comes in parts, in the folder where it lies while it is written: its bytes,
#: each where it belongs, and a mark with its size for each part that is there.
_SENT, _DATA = "sent", "data"


class FileStore(Storage):
    """Objects as files under ``root``; ``base`` is the address that serves them.

    A file being written lies in a dotted folder beside its final place, one for each object: a rename
    finishes it, and what a killed process left is found without looking at all the other files.
    """

    def __init__(self, root: Path, base: str) -> None:
        self._root = root.resolve()
        self._base = base.rstrip("/")

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

    def list(self, prefix: str) -> Iterator[str]:
        top = self._root / checked_prefix(prefix) if prefix else self._root
        files = (path.relative_to(self._root) for path in top.rglob("*") if path.is_file())
        yield from sorted(file.as_posix() for file in files if not any(n.startswith(".") for n in file.parts))

    def delete_prefix(self, prefix: str) -> None:
        top = self._root / checked_prefix(prefix)
        with _disk(self._root, prefix):
            while top.exists():
                with suppress(FileNotFoundError):  # somebody else removes the same: look again
                    shutil.rmtree(top)
        self._prune(top.parent)

    def url(self, key: str) -> str:
        return f"{self._base}/{quote(checked(key))}"

    def begin(self, key: str, content_type: str = "") -> str:
        with _disk(self._root, key):
            self._sent(key).mkdir(parents=True, exist_ok=True)
            (self._sent(key) / _DATA).touch()
        return _SENT

    def part_url(self, key: str, session: str, part: Part, seconds: float) -> str:
        return ""

    def part_writer(self, key: str, number: int, offset: int) -> Writer:
        """Writes one part of an object that was begun where it belongs; sent again, it replaces itself.

        Raises ``NotStored`` for an object that was not begun, or has been assembled.
        """
        return _PartWriter(self._root, self._sent(key), number, offset)

    def parts(self, key: str, session: str) -> list[Part]:
        with _disk(self._root, key):
            marks = sorted(path for path in self._sent(key).iterdir() if path.name.isdigit())
            return [Part(int(path.name), int(path.read_text())) for path in marks]

    def assemble(self, key: str, session: str) -> None:
        sent, path = self._sent(key), self.path(key)
        if not sent.is_dir():
            self.size(key)  # assembled before, or never begun
            return
        with _disk(self._root, key):
            (sent / _DATA).replace(path)
            _sync(path.parent)
            shutil.rmtree(_parts_of(path), ignore_errors=True)

    def _sent(self, key: str) -> Path:
        return _parts_of(self.path(key)) / _SENT

    def check(self) -> None:
        with _disk(self._root, "the root folder"):
            self._root.mkdir(parents=True, exist_ok=True)
            if not os.access(self._root, os.W_OK):
                raise StorageError(f"{self._root} cannot be written to")

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


class _PartWriter(Writer):
    """Lays a part where it belongs in the object's one file: nothing is copied when all are there."""

    def __init__(self, root: Path, sent: Path, number: int, offset: int) -> None:
        super().__init__()
        self._root = root
        self._mark = sent / f"{number:05}"
        with _disk(root, str(sent)):
            self._mark.unlink(missing_ok=True)
            self._file = (sent / _DATA).open("r+b")
            self._file.seek(offset)

    def _append(self, data: bytes) -> None:
        with _disk(self._root, str(self._mark)):
            self._file.write(data)

    def _finish(self) -> None:
        with _disk(self._root, str(self._mark)):
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._mark.write_text(str(self.size))

    def _abort(self) -> None:
        with suppress(OSError):  # on a full disk closing fails as it flushes
            self._file.close()


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
