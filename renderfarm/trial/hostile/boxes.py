"""The boxes of an MP4 or MOV, found to be spoilt: nothing is believed, and nothing is checked twice."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

#: Deeper than any file's, so that one that was spoilt already is no trap for us.
_DEEPEST = 12
_HOLDERS = frozenset(
    (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta", b"moof", b"traf", b"mvex")
)


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies: its size and name begin at ``at``, its content eight bytes later."""

    name: bytes
    at: int
    stop: int


def boxes_in(data: bytes, start: int = 0, stop: int | None = None, depth: int = 0) -> Iterator[Box]:
    """Every box, those that hold others before what they hold."""
    stop = len(data) if stop is None else stop
    while start + 8 <= stop:
        size = int.from_bytes(data[start : start + 4], "big")
        if size < 8 or start + size > stop:
            return
        box = Box(data[start + 4 : start + 8], start, start + size)
        yield box
        if box.name in _HOLDERS and depth < _DEEPEST:
            yield from boxes_in(data, start + 8, box.stop, depth + 1)
        start += size


def box(name: bytes, content: bytes) -> bytes:
    """A box."""
    return (8 + len(content)).to_bytes(4, "big") + name + content
