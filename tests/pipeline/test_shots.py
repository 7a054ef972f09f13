"""Cuts are found by pairs of frames and judged over the whole video."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from pipeline.shots import CutFinder, join_cuts, shot_at, shots


def room(hue: int, shift: int) -> NDArray[np.uint8]:
    """A wall with stripes, in one of a few colours, seen ``shift`` pixels further right."""
    columns = (np.arange(320) + shift) // 20 % 2
    picture = np.zeros((180, 320, 3), np.uint8)
    picture[..., hue] = 90 + 100 * columns
    return picture


def test_a_cut_is_found_where_it_is_and_a_pan_is_none() -> None:
    find = CutFinder(Fraction(30))
    frames = [room(0, n) for n in range(15)] + [room(2, n) for n in range(15)]
    assert [n for n, frame in enumerate(frames) if find(frame)] == [15]


def test_a_judgement_needs_only_the_frame_before() -> None:
    """So pieces that start one frame early find the cuts that the whole has."""
    frames = [room(0, n) for n in range(9)] + [room(1, n) for n in range(9)]
    for start in range(9):
        find = CutFinder(Fraction(30))
        assert [start + n for n, frame in enumerate(frames[start:]) if find(frame)] == [9]


def test_shots_shorter_than_a_glance_are_joined() -> None:
    assert join_cuts([90, 92, 93, 150], 300, Fraction(30)) == (90, 150)
    assert join_cuts([2, 295], 300, Fraction(30)) == ()
    assert join_cuts([], 1, Fraction(30)) == ()


def test_shots_cover_the_video() -> None:
    assert shots((3, 8), 10) == ((0, 3), (3, 8), (8, 10))


def test_every_frame_is_in_one_shot() -> None:
    every = shots((3, 8), 10)
    assert [every.index(shot_at(frame, (3, 8), 10)) for frame in range(10)] == [0, 0, 0, 1, 1, 1, 1, 1, 2, 2]
    assert shot_at(4, (), 10) == (0, 10)
