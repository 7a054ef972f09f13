"""What an MP4 of our own says of how it was encoded, read without starting a program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ToolError

#: ISO/IEC 14496-12: a box's size and name; a sample entry for video before the boxes inside of it.
_HEAD, _VIDEO_ENTRY = 8, 86
#: The way to the description of a track's samples.
_WAY = (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd")
#: Says how many bits the frames took, not how.
_BITRATE = b"btrt"


def encoding_of(path: Path) -> bytes:
    """Codec, size and decoder's header of the MP4's first track: the same where one header serves both.

    Raises ``ToolError`` where the file is no such MP4.
    """
    with path.open("rb") as file:
        start, stop = 0, file.seek(0, 2)
        for name in _WAY:
            found = next((box for box in _boxes(file, start, stop) if box[0] == name), None)
            if found is None:
                raise ToolError(f"{path.name} cannot be read: it has no {name.decode()}")
            _, start, stop = found
        # A version, a count, and the only entry.
        entry = start + 8
        parts = [_read(file, entry + 4, _VIDEO_ENTRY - 4)]
        for name, inside, end in _boxes(file, entry + _VIDEO_ENTRY, stop):
            if name != _BITRATE:
                parts.append(name + _read(file, inside, end - inside))
        return b"".join(parts)


def _boxes(file: BinaryIO, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: name, where the content begins, and where it ends."""
    while start + _HEAD <= stop:
        head = _read(file, start, 2 * _HEAD)
        size, begins = int.from_bytes(head[:4], "big"), start + _HEAD
        if size == 1:
            size, begins = int.from_bytes(head[8:16], "big"), start + 2 * _HEAD
        if size < begins - start or start + size > stop:
            return
        yield head[4:8], begins, start + size
        start += size


def _read(file: BinaryIO, start: int, count: int) -> bytes:
    file.seek(start)
    return file.read(count)
