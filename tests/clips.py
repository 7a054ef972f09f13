"""Small files to send: clips and pictures that are right, and those that are wrong in one way."""

from __future__ import annotations

import io
import struct
import subprocess
import zlib
from pathlib import Path

from PIL import Image

_CODECS = {
    ".mp4": ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "45", "-pix_fmt", "yuv420p"],
    ".avi": ["-c:v", "mjpeg", "-pix_fmt", "yuvj420p"],
    ".webm": ["-c:v", "libvpx", "-deadline", "realtime"],
}


def make_clip(
    path: Path, *, seconds: float = 1, size: str = "128x96", rate: str = "10", sound: bool = True
) -> Path:
    """A test pattern, with a tone unless ``sound`` is off; the container is of the name's kind."""
    inputs = ["-f", "lavfi", "-i", f"testsrc=size={size}:rate={rate}:duration={seconds}"]
    if sound:
        inputs += ["-f", "lavfi", "-i", f"sine=frequency=440:duration={seconds}"]
    return _ffmpeg(inputs, _CODECS.get(path.suffix, []), path)


def make_tone(path: Path) -> Path:
    """An MP4 with sound only."""
    return _ffmpeg(["-f", "lavfi", "-i", "sine=frequency=440:duration=1"], [], path)


def make_picture(path: Path, width: int = 200, height: int = 300) -> Path:
    """A picture with something in it, so that it does not compress to nothing."""
    gradient = Image.linear_gradient("L").resize((width, height))
    Image.merge("RGB", (gradient, gradient.rotate(90), gradient.rotate(180))).save(path)
    return path


def png_that_claims(width: int, height: int) -> bytes:
    """A valid PNG of so many pixels, in some hundred bytes to some hundred kilobytes: all are black."""
    row = b"\0" * (1 + (width + 7) // 8)
    packer = zlib.compressobj(9)
    pixels = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    out = io.BytesIO(b"\x89PNG\r\n\x1a\n")
    out.seek(0, io.SEEK_END)
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", pixels),
        (b"IEND", b""),
    ):
        out.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))
    return out.getvalue()


def _ffmpeg(inputs: list[str], options: list[str], path: Path) -> Path:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *inputs, *options, str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path
