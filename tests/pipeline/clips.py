"""Clips whose every frame carries its number, so that a test can tell which frames it was given."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
WIDTH, HEIGHT = 160, 96
SAMPLE_RATE = 48_000
_BITS = 10


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> Frame:
    """A frame with ``number`` as ten upright bars, black for 0 and white for 1, on RGB."""
    bits = np.array([number >> bit & 1 for bit in range(_BITS)], np.uint8) * 200 + 20
    bars = bits[np.minimum(np.arange(width) * _BITS // width, _BITS - 1)]
    return np.ascontiguousarray(np.broadcast_to(bars[None, :, None], (height, width, 3)))


def number_of(frame: NDArray[np.uint8]) -> int:
    """Which frame this is."""
    row = frame[frame.shape[0] // 2].mean(-1)
    bits = [row[int((bit + 0.5) * len(row) / _BITS)] > 120 for bit in range(_BITS)]
    return sum(1 << bit for bit, on in enumerate(bits) if on)


def numbers(frames: Iterable[Frame]) -> list[int]:
    return [number_of(frame) for frame in frames]


def ffmpeg(*arguments: str | Path, data: bytes = b"") -> None:
    command = ["ffmpeg", "-v", "error", "-y", *map(str, arguments)]
    subprocess.run(command, input=data, check=True, timeout=60)


def write_numbered(
    path: Path, count: int, *options: str, rate: str = "30", size: tuple[int, int] = (WIDTH, HEIGHT)
) -> Path:
    """A clip of the frames 0 to ``count``, encoded with ``options``."""
    data = b"".join(numbered(number, *size).tobytes() for number in range(count))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", rate, "-i", "pipe:0"]
    ffmpeg(*raw, *options, path, data=data)
    return path


def write_clicks(path: Path, seconds: float, *clicks: float) -> Path:
    """A WAV that is silent but for a click of 2 ms at each of the given seconds."""
    samples = np.zeros(round(seconds * SAMPLE_RATE), np.int16)
    for click in clicks:
        start = round(click * SAMPLE_RATE)
        samples[start : start + SAMPLE_RATE // 500] = 24_000
    ffmpeg("-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "-i", "pipe:0", path, data=samples.tobytes())
    return path


def clicks_in(path: Path) -> list[float]:
    """The seconds, counted from the first frame, at which the file's clicks are heard."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-i",
        str(path),
        "-map",
        "0:a:0",
        "-af",
        "aresample=async=1:first_pts=0",
    ]
    command += ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "1", "pipe:1"]
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    level = np.abs(np.frombuffer(data, np.int16).astype(int))
    loud = np.flatnonzero(level > level.max() * 0.4)
    starts = loud[np.flatnonzero(np.diff(loud, prepend=-SAMPLE_RATE) > SAMPLE_RATE // 20)]
    return [start / SAMPLE_RATE for start in starts]


def packets(path: Path, stream: str = "v:0") -> list[tuple[int, int]]:
    """(pts, duration) of each packet, in the ticks of its stream."""
    command = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", "packet=pts,duration"]
    text = subprocess.run([*command, "-of", "csv=p=0", str(path)], capture_output=True, check=True, text=True)
    rows = (line.split(",") for line in text.stdout.split())
    return [(int(row[0]), int(row[1])) for row in rows]


def stream_field(path: Path, stream: str, field: str) -> str:
    command = ["ffprobe", "-v", "error", "-select_streams", stream, "-show_entries", f"stream={field}"]
    text = subprocess.run([*command, "-of", "csv=p=0", str(path)], capture_output=True, check=True, text=True)
    return text.stdout.strip()
