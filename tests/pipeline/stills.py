"""Stills of four colours, and the ways in which a video of them may be coded, turned and mirrored."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.pipeline.clips import Frame, ffmpeg

_QUIET = "log-level=error"
#: Four corners, so that every turn and mirror is another picture: red, green, blue, grey.
COLORS = np.array([[[200, 40, 40], [40, 170, 60]], [[50, 60, 210], [128, 128, 128]]], np.uint8)


def quarters(width: int = 96, height: int = 64) -> Frame:
    return np.ascontiguousarray(np.repeat(np.repeat(COLORS, height // 2, 0), width // 2, 1))


def corners(frame: Frame) -> Frame:
    """The colours in the middle of the four quarters."""
    height, width = frame.shape[:2]
    return frame[np.ix_([height // 4, height * 3 // 4], [width // 4, width * 3 // 4])]


def write(path: Path, frame: Frame, *options: str, count: int = 3) -> Path:
    """A clip of a still."""
    size = f"{frame.shape[1]}x{frame.shape[0]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "30", "-i", "pipe:0"]
    ffmpeg(*raw, *options, path, data=frame.tobytes() * count)
    return path


def coded(pixels: str, matrix: str = "bt709", scale: str = "tv") -> list[str]:
    """Options that convert to YUV, and say so."""
    convert = f"scale=out_color_matrix={matrix}:out_range={scale}:flags=accurate_rnd+full_chroma_inp"
    tags = f"setparams=colorspace={matrix}:range={scale}"
    return ["-vf", f"{convert},format={pixels},{tags}", "-colorspace", matrix, "-color_range", scale]


X264 = ["-c:v", "libx264", "-crf", "3"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "3", "-x265-params", _QUIET]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "4", "-b:v", "0"]

#: ffmpeg's display matrices, and what they do to the picture as numpy says it.
TURNS = {
    "0": ([65536, 0, 0, 65536], lambda x: x),
    "90": ([0, 65536, -65536, 0], lambda x: np.rot90(x, -1)),
    "180": ([-65536, 0, 0, -65536], lambda x: np.rot90(x, 2)),
    "270": ([0, -65536, 65536, 0], lambda x: np.rot90(x, 1)),
    "mirrored": ([-65536, 0, 0, 65536], np.fliplr),
    "upside down": ([65536, 0, 0, -65536], np.flipud),
    "mirrored and 90": ([0, 65536, 65536, 0], lambda x: x.transpose(1, 0, 2)),
    "mirrored and 270": ([0, -65536, -65536, 0], lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
}


def turned(path: Path, matrix: list[int]) -> None:
    """Write ``matrix`` into the header of an MP4's first track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)
