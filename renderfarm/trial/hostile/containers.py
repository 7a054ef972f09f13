"""Containers that lie: about durations, sizes, pictures, counts, and about what is in them."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Mapping, Sequence

from renderfarm.trial.hostile.boxes import Box, box, boxes_in

#: Numbers at which programs stumble.
LIMITS = tuple(
    struct.pack(">I", value)
    for value in (0, 1, 2, 7, 8, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFE, 0xFFFF_FFFF)
)
#: Where durations, clocks and sizes are, from the start of a box's content (version 0).
_TIMES = {b"mvhd": (12, 16), b"mdhd": (12, 16), b"tkhd": (20,), b"elst": (8, 12, 16), b"stts": (8, 12)}
_COUNTS = (b"stts", b"ctts", b"stsz", b"stsc", b"stco", b"co64", b"elst", b"stss", b"dref", b"stsd", b"trun")
_TAGS = (b"avc1", b"hev1", b"av01", b"vp09", b"mp4v", b"jpeg", b"ap4h", b"raw ", b"rle ", b"cvid", b"SVQ3")
#: Deeper than any stack should go.
_DEPTH = 5000


def times(data: bytes, dice: random.Random) -> bytes:
    """Durations and clocks."""
    found = _named(data, _TIMES)
    return _at_limits(data, dice, [b.at + 8 + place for b in found for place in _TIMES[b.name]])


def sizes(data: bytes, dice: random.Random) -> bytes:
    """The sizes of boxes."""
    return _at_limits(data, dice, [b.at for b in boxes_in(data)])


def dimensions(data: bytes, dice: random.Random) -> bytes:
    """The picture's width and height, in the track and in its description."""
    spoilt = bytearray(data)
    for found in _named(data, (b"stsd", b"tkhd")):
        width, height = (dice.choice([0, 1, 2, 63, 97, 4096, 8191, 16_384, 65_535]) for _ in range(2))
        if found.name == b"stsd":
            spoilt[found.at + 48 : found.at + 52] = struct.pack(">HH", width, height)
        else:
            spoilt[found.stop - 8 : found.stop] = struct.pack(">HHHH", width, 0, height, 0)
    return bytes(spoilt)


def counts(data: bytes, dice: random.Random) -> bytes:
    """How many entries tables have."""
    found = _named(data, _COUNTS)
    return _at_limits(data, dice, [b.at + 12 + (4 if b.name == b"stsz" else 0) for b in found])


def tables(data: bytes, dice: random.Random) -> bytes:
    """What stands in tables: offsets, sizes, steps."""
    places = [
        place for b in _named(data, _COUNTS) for place in range(b.at + 16, min(b.stop, b.at + 400) - 4, 4)
    ]
    return _at_limits(data, dice, places, most=20)


def streams(data: bytes, dice: random.Random) -> bytes:
    """The sound is said to be the picture, and the picture sound."""
    swapped = data.replace(b"vide", b"####").replace(b"soun", b"vide").replace(b"####", b"soun")
    return swapped if dice.random() < 0.7 else data.replace(b"soun", dice.choice([b"vide", b"text", b"tmcd"]))


def tags(data: bytes, dice: random.Random) -> bytes:
    """Another codec than the one it is."""
    spoilt = bytearray(data)
    for found in _named(data, (b"stsd",)):
        spoilt[found.at + 20 : found.at + 24] = dice.choice(_TAGS)
    return bytes(spoilt)


def crowded(data: bytes, dice: random.Random) -> bytes:
    """The same track hundreds of times, or a thousand empty boxes."""
    tracks = list(_named(data, (b"trak",)))
    moov = next(iter(_named(data, (b"moov",))), None)
    if moov is None or not tracks:
        return data + box(b"free", b"") * 1000
    track = dice.choice(tracks)
    copies = data[track.at : track.stop] * dice.choice([3, 70, 300])
    size = struct.pack(">I", moov.stop - moov.at + len(copies))
    return data[: moov.at] + size + data[moov.at + 4 : moov.stop] + copies + data[moov.stop :]


def nested(data: bytes, dice: random.Random) -> bytes:
    """Boxes in boxes in boxes."""
    name = dice.choice([b"moov", b"trak", b"udta", b"meta", b"moof"])
    size = 8 * _DEPTH
    deep = b"".join((size - 8 * level).to_bytes(4, "big") + name for level in range(_DEPTH))
    return deep + data if dice.random() < 0.2 else data + deep


def elements(data: bytes, dice: random.Random) -> bytes:
    """Matroska's durations, clocks, sizes and codecs, whose values follow their ids."""
    ids = (
        b"\x44\x89",
        b"\x2a\xd7\xb1",
        b"\xb0",
        b"\xba",
        b"\x23\xe3\x83",
        b"\x86",
        b"\x1f\x43\xb6\x75",
        b"\xa3",
    )
    return _after(data, dice, ids, (0, 1, 2))


def riff(data: bytes, dice: random.Random) -> bytes:
    """AVI's headers, sizes and index."""
    return _after(
        data, dice, (b"avih", b"strh", b"strf", b"LIST", b"idx1", b"movi", b"00dc"), range(4, 48, 4)
    )


def _named(data: bytes, names: Sequence[bytes] | Mapping[bytes, object]) -> list[Box]:
    return [found for found in boxes_in(data) if found.name in names]


def _at_limits(data: bytes, dice: random.Random, places: Sequence[int], most: int = 4) -> bytes:
    spoilt = bytearray(data)
    for place in dice.sample(places, min(len(places), dice.randrange(1, most + 1))):
        spoilt[place : place + 4] = dice.choice([*LIMITS, dice.randbytes(4)])
    return bytes(spoilt)


def _after(data: bytes, dice: random.Random, ids: Sequence[bytes], offsets: Sequence[int]) -> bytes:
    spoilt = bytearray(data)
    for _ in range(dice.randrange(1, 5)):
        wanted = dice.choice(ids)
        place = data.find(wanted, dice.randrange(max(1, len(data) // 2)))
        if place >= 0:
            start = place + len(wanted) + dice.choice(offsets)
            spoilt[start : start + 4] = dice.choice([*LIMITS, dice.randbytes(4)])
    return bytes(spoilt)


_BOXED: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(times, sizes, dimensions, counts, tables, streams, tags, crowded, nested),
)
#: By the ends of files' names.
BY_KIND = {"mp4": _BOXED, "mov": _BOXED, "webm": (elements, elements), "avi": (riff, riff)}
