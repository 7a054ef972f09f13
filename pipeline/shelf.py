"""What one request has read and the next may need again: a job's segments come one by one, too."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class Shelf:
    """Keeps the ``most`` last used of what was loaded from files.

    A thing is known by its file's bytes: the next job's file may have the same path, and the next
    attempt's file of the same job another one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[object, bytes], Any] = OrderedDict()

    def take(self, load: Callable[[Path], T], path: Path) -> T:
        """``load(path)``, or what it gave for the same bytes; nobody may change it."""
        with path.open("rb") as file:
            key = load, hashlib.file_digest(file, "sha256").digest()
        thing: T = self._kept[key] if key in self._kept else load(path)
        self._kept[key] = thing
        self._kept.move_to_end(key)
        while len(self._kept) > self._most:
            self._kept.popitem(last=False)
        return thing
