"""Files that one unit fetched and the next may need again: all units of a fast job want its video."""

from __future__ import annotations

import shutil
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from renderfarm.storage import Storage, StorageError, Stored
from workers.transfer import Check, fetch

#: Beyond this, what was not used for longest goes; one unit's files stay whatever they take.
_MOST_BYTES = 2 << 30


@dataclass(frozen=True, slots=True)
class _Kept:
    """A file, and its state when it was as it should be: the process that draws cannot set that back."""

    path: Path
    device: int
    inode: int
    size: int
    changed: int

    @classmethod
    def of(cls, path: Path) -> _Kept:
        state = path.stat()
        return cls(path, state.st_dev, state.st_ino, state.st_size, state.st_ctime_ns)

    @property
    def unchanged(self) -> bool:
        with suppress(OSError):
            return self == _Kept.of(self.path)
        return False


class Fetched:
    """Fetches each object once and checks it once, as long as nobody touches the file.

    What is copied here lies in ``folder``, which is nobody else's. Keys are never given anew: an upload
    is the same for ever, and an artifact is known by its digest besides.
    """

    def __init__(self, storage: Storage, folder: Path, most_bytes: int = _MOST_BYTES) -> None:
        self._storage = storage
        self._folder = folder
        self._most_bytes = most_bytes
        self._kept: OrderedDict[tuple[str, Stored | None], _Kept] = OrderedDict()

    def fetch(self, key: str, check: Check, expected: Stored | None = None) -> Path:
        """A local file with the object's bytes, to be read only; raises as ``transfer.fetch`` does."""
        kept = self._kept.pop((key, expected), None)
        if kept is None or not kept.unchanged:
            path = fetch(self._storage, key, self._folder, check, expected)
            if self._is_ours(path):
                path.chmod(0o444)
            try:
                kept = _Kept.of(path)
            except OSError as error:
                raise StorageError(f"{key} went away: {error}") from error
        self._kept[key, expected] = kept
        return kept.path

    def trim(self) -> None:
        """Let go of what is too much. Only between units: what was handed out goes, too."""
        total = sum(kept.size for kept in self._kept.values())
        while total > self._most_bytes:
            _, kept = self._kept.popitem(last=False)
            total -= kept.size
            if self._is_ours(kept.path):
                kept.path.unlink(missing_ok=True)

    def clear(self) -> None:
        """Let go of everything."""
        self._kept.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _is_ours(self, path: Path) -> bool:
        return path.is_relative_to(self._folder)
