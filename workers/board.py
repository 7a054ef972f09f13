"""What a worker's main process and its child show each other: a page of shared memory.

Celery sends SIGTERM to the main process alone, and a busy child that got it would die; so the main
process says here that it is time to stop, and the child says here what it works on.
"""

from __future__ import annotations

import mmap

_LENGTH = 512


class Board:
    """Made before the fork, shared after it. Each side writes its own part."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, _LENGTH)

    def drain(self) -> None:
        """Ask the child to hand over what it works on."""
        self._page[0] = 1

    @property
    def draining(self) -> bool:
        return self._page[0] == 1

    @property
    def unit_id(self) -> str | None:
        """The unit that the child works on."""
        length = self._page[1]
        return self._page[2 : 2 + length].decode(errors="replace") if length else None

    @unit_id.setter
    def unit_id(self, unit_id: str | None) -> None:
        text = (unit_id or "").encode()[:255]
        self._page[1] = 0  # nobody reads half a name: the length comes last
        self._page[2 : 2 + len(text)] = text
        self._page[1] = len(text)
