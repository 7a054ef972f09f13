"""Pictures that lie: about their size above all, which decides how much memory a decoder takes."""

from __future__ import annotations

import random
import struct
import zlib
from functools import cache

_SIDES = (0, 1, 63, 4097, 20_000, 65_535, 0x7FFF_FFFF, 0xFFFF_FFFF)


def png_header(data: bytes, dice: random.Random) -> bytes:
    """Another size, depth or kind of colours, under a right checksum."""
    header = bytearray(data[16:29])
    struct.pack_into(">II", header, 0, dice.choice([96, *_SIDES]), dice.choice([128, *_SIDES]))
    if dice.random() < 0.5:
        header[8:13] = bytes(dice.choice([0, 1, 2, 3, 4, 6, 8, 16, 255]) for _ in range(5))
    return data[:8] + _chunk(b"IHDR", bytes(header)) + data[33:]


def png_chunks(data: bytes, dice: random.Random) -> bytes:
    """Chunks that unpack to very much, that are very many, or that nobody expects there."""
    bomb = _bomb()
    more = dice.choice(
        [
            _chunk(b"zTXt", b"a\0\0" + bomb),
            _chunk(b"iCCP", b"a\0\0" + bomb),
            _chunk(b"iTXt", b"a\0\1\0\0\0" + bomb),
            _chunk(b"tEXt", b"a\0b") * 20_000,
            _chunk(b"acTL", struct.pack(">II", 0xFFFF_FFFF, 0)),
            _chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1 << 30, 1 << 30, 0, 0, 1, 1, 0, 0)),
            _chunk(b"PLTE", bytes(769)) + _chunk(b"tRNS", bytes(257)),
            _chunk(b"eXIf", b"MM\0\x2a" + dice.randbytes(64)),
            _chunk(b"IDAT", bomb[:3000]),
        ]
    )
    return data[:33] + more + data[33:]


def jpeg_size(data: bytes, dice: random.Random) -> bytes:
    """Another size, or more components, in the frame's header."""
    spoilt = bytearray(data)
    for marker in (b"\xff\xc0", b"\xff\xc2"):
        place = data.find(marker)
        if place > 0:
            sides = (dice.choice([0, 1, 63, 4097, 65_535]) for _ in range(2))
            spoilt[place + 5 : place + 9] = struct.pack(">HH", *sides)
            spoilt[place + 9] = dice.choice([0, 1, 3, 4, 255])
    return bytes(spoilt)


def jpeg_segments(data: bytes, dice: random.Random) -> bytes:
    """Segments that are many, of a wrong length, or full of what a parser of metadata likes."""
    exif = b"Exif\0\0" + dice.choice([b"II*\0", b"MM\0*"]) + dice.randbytes(200)
    more = dice.choice(
        [
            _segment(0xE1, exif),
            _segment(0xE2, b"ICC_PROFILE\0\1\1" + dice.randbytes(300)),
            _segment(0xE2, b"MPF\0" + dice.randbytes(100)),
            _segment(0xFE, b"x" * 1000) * 2000,
            _segment(0xDB, dice.randbytes(65)) + _segment(0xC4, dice.randbytes(30)),
            b"\xff\xe1\xff\xff",
            b"\xff\xd8" * 1000,
        ]
    )
    return data[:2] + more + data[2:]


def webp_size(data: bytes, dice: random.Random) -> bytes:
    """Another size of the canvas or of the picture, and of the chunks."""
    spoilt = bytearray(data)
    for name in (b"VP8 ", b"VP8L", b"VP8X"):
        place = data.find(name)
        if place > 0:
            at = place + dice.choice([4, 8, 9, 12, 14])
            spoilt[at : at + 4] = dice.choice([b"\xff\x3f\xff\x3f", b"\xff\xff\xff\xff", dice.randbytes(4)])
    return bytes(spoilt)


def webp_canvas(data: bytes, dice: random.Random) -> bytes:
    """A canvas of 16 777 216 pixels a side, still or with frames."""
    canvas = bytes([dice.choice([0x02, 0x10, 0x3E])]) + bytes(3) + dice.choice([b"\xff" * 6, b"\0\x10\0" * 2])
    frame = b"ANMF" + struct.pack("<I", 16) + dice.randbytes(16)
    body = b"WEBPVP8X" + struct.pack("<I", 10) + canvas + frame * dice.choice([0, 1, 5000]) + data[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


@cache
def _bomb() -> bytes:
    return zlib.compress(bytes(80 << 20), 9)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


#: By the ends of files' names.
BY_KIND = {
    "png": (png_header, png_header, png_chunks),
    "jpg": (jpeg_size, jpeg_segments),
    "webp": (webp_size, webp_canvas),
}
