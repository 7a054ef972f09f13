"""A little music, in time with the dance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.samples.pose import BEATS_PER_SECOND

SAMPLE_RATE = 48_000
#: Chords of the bars in semitones from A: minor sixth, fourth, fifth; one bar each.
_CHORDS = ((0, 3, 7, 12), (-4, 0, 3, 8), (-2, 2, 5, 10))
_MELODY = (12, 15, 19, 15, 20, 19, 15, 12, 17, 14, 10, 14)


def music(seconds: float) -> NDArray[np.int16]:
    """Stereo samples ``(count, 2)``; a click with the drum tells every beat to a millisecond."""
    count = round(seconds * SAMPLE_RATE)
    left, right = np.zeros(count), np.zeros(count)
    for beat in range(int(np.ceil(seconds * BEATS_PER_SECOND))):
        start = round(beat / BEATS_PER_SECOND * SAMPLE_RATE)
        half = start + round(SAMPLE_RATE / BEATS_PER_SECOND / 2)
        chord = _CHORDS[beat // 4 % len(_CHORDS)]
        for side, pan in ((left, 0.9), (right, 1.1)):
            _add(side, start, 0.55 * _drum())
            _add(side, start, 0.22 * _noise(0.004, seed=7))  # the click
            if beat % 2:
                _add(side, start, 0.22 * _noise(0.09, seed=11))
            _add(side, half, 0.07 * pan * _noise(0.03, seed=13))
            _add(side, start, 0.2 * _tone(chord[0] - 24, 0.4, overtones=2))
            _add(side, half, 0.13 * _tone(chord[0] - 12, 0.2, overtones=2))
            _add(side, half, 0.14 / pan * _tone(_MELODY[beat % len(_MELODY)], 0.45, overtones=4))
            for index, note in enumerate(chord[1:]):
                _add(side, half + index * 900, 0.05 * pan * _tone(note, 0.3, overtones=3))
    both = np.tanh(np.stack([left, right], 1) * 1.2) * 0.8
    return np.asarray(np.round(both * 32767), np.int16)


def _add(track: NDArray[np.float64], start: int, sound: NDArray[np.float64]) -> None:
    part = track[start : start + len(sound)]
    part += sound[: len(part)]


def _drum() -> NDArray[np.float64]:
    t = np.arange(round(0.22 * SAMPLE_RATE)) / SAMPLE_RATE
    sweep = 2 * np.pi * (48 * t + 90 * 0.035 * (1 - np.exp(-t / 0.035)))
    return np.asarray(np.cos(sweep) * np.exp(-t / 0.07))


def _noise(seconds: float, *, seed: int) -> NDArray[np.float64]:
    count = round(seconds * SAMPLE_RATE)
    bright = np.diff(np.random.default_rng(seed).standard_normal(count + 1))
    return np.asarray(bright * np.exp(-np.arange(count) / count * 5))


def _tone(semitones: float, seconds: float, *, overtones: int) -> NDArray[np.float64]:
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 2 * np.pi * 220 * 2 ** (semitones / 12) * t
    wave = sum(np.sin(pitch * k) / k**1.6 * np.exp(-t * 3 * k) for k in range(1, overtones + 1))
    return np.asarray(wave * np.clip(t / 0.004, 0, 1) * np.clip((seconds - t) / 0.03, 0, 1))
