"""Open a finished video and judge it, with tools of its own: not with the rooms that made it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]


@dataclass(frozen=True)
class Facts:
    """What a player would find in the file."""

    width: int
    height: int
    rate: Fraction
    frames: int
    seconds: float
    pixel_format: str
    sound_seconds: float | None


def facts(path: Path) -> Facts:
    """Decode the whole file and count."""
    command = ["ffprobe", "-v", "error", "-count_frames", "-show_streams", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["streams"]
    video = next(s for s in streams if s["codec_type"] == "video")
    sound = next((s for s in streams if s["codec_type"] == "audio"), None)
    return Facts(
        video["width"],
        video["height"],
        Fraction(video["avg_frame_rate"]),
        int(video["nb_read_frames"]),
        float(video["duration"]),
        video["pix_fmt"],
        float(sound["duration"]) if sound else None,
    )


def frames(path: Path, every: int = 1) -> Iterator[Frame]:
    """Every ``every``-th frame as (H, W, 3) RGB."""
    shape = facts(path)
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path)]
    command += ["-vf", f"select=not(mod(n\\,{every}))", "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    size = shape.width * shape.height * 3
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        while len(data := process.stdout.read(size)) == size:
            yield np.frombuffer(data, np.uint8).reshape(shape.height, shape.width, 3)


def sound(path: Path, rate: int = 16000) -> NDArray[np.float64]:
    """The sound as the player starts it with the first frame: mono samples at ``rate``."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-i", str(path), "-map", "0:a:0"]
    command += ["-af", "aresample=async=1:first_pts=0", "-f", "s16le", "-ac", "1", "-ar", str(rate), "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, np.int16).astype(np.float64)


def sound_offset(made: Path, driver: Path, rate: int = 16000) -> float:
    """Seconds by which the made video's sound comes late (negative: early)."""
    a, b = sound(made, rate), sound(driver, rate)
    size = 1 << int(np.ceil(np.log2(len(a) + len(b))))
    correlation = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)))
    lag = int(np.argmax(correlation))
    return (lag - size if lag > size // 2 else lag) / rate


def psnr(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    """Peak signal to noise in dB over all values given."""
    error = float(np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2))
    return 99.0 if error == 0 else 10 * np.log10(255**2 / error)
