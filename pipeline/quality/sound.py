"""Whether two files sound at the same time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import Unreadable
from pipeline.ffmpeg.tool import guard, running

#: Samples a second at which sound is compared.
SAMPLE_RATE = 16_000
#: Seconds by which sound is looked for on both sides.
_REACH = 1.0


def samples_of(path: Path) -> NDArray[np.float64]:
    """The sound of a file from the moment at which its picture starts, mono; empty where it has none."""
    address, _ = guard(path)
    to_mono = f"aresample={SAMPLE_RATE}:async=1:first_pts=0"
    arguments = [
        *["-nostdin", "-hide_banner", "-loglevel", "error", "-i", address, "-map", "0:a:0?", "-ac", "1"],
        *["-af", to_mono, "-f", "s16le", "pipe:"],
    ]
    with running("ffmpeg", arguments, reads=[path]) as child:
        raw = b""
        while block := child.stdout.read(1 << 16):
            raw += block
        if child.process.wait() != 0 and raw:
            raise child.failure(f"reading the sound of {path.name}", Unreadable)
    return np.frombuffer(raw, "<i2").astype(np.float64)


def offset(sound: NDArray[np.float64], other: NDArray[np.float64]) -> float | None:
    """By how many milliseconds ``sound`` is later than ``other``, by the peak of their correlation.

    None where one of them is missing or silent.
    """
    if not len(sound) or not len(other) or not sound.any() or not other.any():
        return None
    size = 1 << int(np.ceil(np.log2(len(sound) + len(other))))
    product = np.fft.rfft(sound - sound.mean(), size) * np.conj(np.fft.rfft(other - other.mean(), size))
    correlation = np.fft.irfft(product, size)
    reach = min(size // 2 - 1, round(_REACH * SAMPLE_RATE))
    lags = np.arange(-reach, reach + 1)
    return 1000 * float(lags[int(np.argmax(correlation[lags]))]) / SAMPLE_RATE
