"""The interface to stored files, and what both stores share."""

from __future__ import annotations

import hashlib
import re
import shutil
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from renderfarm.cdn import Link, Links

#: No part of a key starts with a dot: that rules out ``..`` and leaves dotted names to the store.
#: A part leaves a file system, which takes 255 bytes, room for a temporary name.
_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
_KEY = re.compile(rf"{_PART}(/{_PART})*")
#: What S3 takes.
_LONGEST = 1024
CHUNK = 1 << 20


class StorageError(Exception):
    """The store did not do what was asked; the same may succeed later."""


class NotStored(StorageError):
    """Nothing is stored under the key."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What a finished write left in the store."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Entry:
    """An object as the store lists it."""

    key: str
    size: int
    #: Seconds since 1970.
    modified: float


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A stored file with the name that its job knows it by (``segment-0003``, ``output``)."""

    name: str
    key: str
    size: int
    sha256: str


class Writer(ABC):
    """One object being written. Nothing is stored, and nothing is left, unless ``commit`` returns."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        #: Bytes written so far.
        self.size = 0
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self._open = False
            self._abort()

    def write(self, data: bytes) -> int:
        """Append ``data``; returns its length."""
        self._append(data)
        self._digest.update(data)
        self.size += len(data)
        return len(data)

    def commit(self) -> Stored:
        """Make what was written the object, replacing an older one at once and whole."""
        self._finish()
        self._open = False
        return Stored(self.size, self._digest.hexdigest())

    @abstractmethod
    def _append(self, data: bytes) -> None: ...

    @abstractmethod
    def _finish(self) -> None: ...

    @abstractmethod
    def _abort(self) -> None: ...


class Storage(ABC):
    """The one interface to stored files. Every method may raise ``StorageError``.

    Keys are slash-separated names; a key that could lead out of the store is a ``ValueError``.
    """

    @abstractmethod
    def writer(self, key: str, content_type: str = "") -> Writer:
        """Write an object as a stream: ``with store.writer(key) as out: out.write(..); out.commit()``."""

    @abstractmethod
    def fetch(self, key: str, folder: Path) -> Path:
        """A local file with the object's bytes, not to be changed; copied into ``folder`` if need be.

        Raises ``NotStored``.
        """

    @abstractmethod
    def source(self, key: str) -> str:
        """What ffprobe can open to read the object in place: a path or an address."""

    @abstractmethod
    def size(self, key: str) -> int:
        """Bytes of the object; raises ``NotStored``."""

    @abstractmethod
    def delete(self, key: str) -> None:
        """Remove the object and whatever a writer that died left of it; nothing there is no error."""

    @abstractmethod
    def entries(self, prefix: str) -> Iterator[Entry]:
        """The objects under the folder ``prefix`` (it ends in ``/``; empty: all), in order of their keys.

        However many: what is in memory at once is a page, or one folder's names.
        """

    def list(self, prefix: str) -> Iterator[str]:
        """Their keys alone."""
        return (entry.key for entry in self.entries(prefix))

    @abstractmethod
    def delete_prefix(self, prefix: str, but: Collection[str] = ()) -> None:
        """Remove everything under the folder ``prefix`` (it ends in ``/``), ``but`` these keys."""

    @property
    @abstractmethod
    def links(self) -> Links:
        """What makes the addresses under which the outside fetches objects."""

    @abstractmethod
    def check(self) -> None:
        """Raise ``StorageError`` unless the store answers."""

    @abstractmethod
    def first(self, key: str, size: int) -> bytes:
        """The object's first ``size`` bytes, fewer where it is shorter; raises ``NotStored``."""

    @abstractmethod
    def digest(self, key: str) -> Stored:
        """Size and SHA-256 of the object, read in pieces; raises ``NotStored``."""

    @abstractmethod
    def open_parts(self, key: str, parts: int, content_type: str = "") -> str:
        """Begin an object that is sent in so many parts, in any order: the store's handle for them."""

    @abstractmethod
    def part_url(self, key: str, handle: str, number: int, size: int, seconds: float) -> str | None:
        """Where part ``number`` (from 1) of ``size`` bytes is to be PUT; None: through ``part_writer``."""

    @abstractmethod
    def part_writer(self, key: str, number: int) -> Writer:
        """Write one part, where the store itself takes none from outside; replaces an older one whole."""

    @abstractmethod
    def parts(self, key: str, handle: str, part_size: int) -> dict[int, int]:
        """The size of each part that is there, by its number."""

    @abstractmethod
    def join_parts(self, key: str, handle: str, part_size: int) -> None:
        """Make the parts the object. To be called by one at a time; a call that died may be repeated."""

    def link(self, key: str) -> Link:
        """The address under which the outside fetches the object, as of now."""
        return self.links.link(checked(key))

    def url(self, key: str) -> str:
        """The same, where nobody asks for how long it is good."""
        return self.link(key).url

    def put(self, key: str, path: Path, content_type: str = "") -> Stored:
        """Store the file ``path``."""
        with path.open("rb") as file, self.writer(key, content_type) as out:
            shutil.copyfileobj(file, out, CHUNK)
            return out.commit()

    def exists(self, key: str) -> bool:
        """Whether there is an object under the key."""
        try:
            self.size(key)
        except NotStored:
            return False
        return True


def checksum(path: Path) -> Stored:
    """Size and SHA-256 of a local file, to compare with what was stored."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return Stored(file.tell(), digest.hexdigest())


def checked(key: str) -> str:
    """``key`` itself; ``ValueError`` where it could lead out of the store, or is too long."""
    if not is_key(key):
        raise ValueError(f"not a storage key: {key!r}")
    return key


def is_key(name: str) -> bool:
    """Whether the farm could have stored something under the name, and nothing but that is meant by it."""
    return len(name) <= _LONGEST and _KEY.fullmatch(name) is not None


def checked_prefix(prefix: str) -> str:
    """``prefix`` itself; ``ValueError`` where it is not a folder's key and a slash."""
    if not prefix.endswith("/"):
        raise ValueError(f"a prefix ends in a slash: {prefix!r}")
    return checked(prefix[:-1]) + "/"
