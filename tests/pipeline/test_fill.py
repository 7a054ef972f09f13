"""What was never seen is continued from its surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.plate.fill import fill
from tests.pipeline.scenes import psnr, wall


def hole(height: int, width: int) -> NDArray[np.bool_]:
    """A person's place in the middle."""
    mask = np.zeros((height, width), bool)
    mask[height // 3 :, 2 * width // 5 : 3 * width // 5] = True
    return mask


def floor_and_wall(height: int, width: int) -> NDArray[np.uint8]:
    """Boards above, a skirting, tiles below: each runs on to both sides."""
    picture = np.zeros((height, width, 3), np.uint8)
    rows = np.arange(height)
    picture[:] = (90 + 40 * (rows // 12 % 2))[:, None, None]
    picture[int(0.7 * height) : int(0.75 * height)] = (230, 220, 200)
    picture[int(0.75 * height) :] = (140, 80, 40)
    return picture


def test_what_runs_to_both_sides_runs_on_behind_the_person() -> None:
    truth, gap = floor_and_wall(240, 426), hole(240, 426)
    seen = truth.copy()
    seen[gap] = (255, 0, 255)
    filled = fill(seen, gap)
    np.testing.assert_array_equal(filled[~gap], truth[~gap])
    assert psnr(filled[gap], truth[gap]) > 22


def test_a_smooth_gradient_stays_smooth() -> None:
    shade = np.linspace(60, 200, 426)
    truth = np.repeat(np.repeat(shade[None, :, None], 240, axis=0), 3, axis=2).astype(np.uint8)
    gap = hole(240, 426)
    seen = truth.copy()
    seen[gap] = 0
    assert psnr(fill(seen, gap)[gap], truth[gap]) > 26


def test_what_lies_in_the_hole_does_not_matter() -> None:
    gap, picture = hole(180, 320), wall(320, 180)
    other = picture.copy()
    other[gap] = (255, 0, 0)
    np.testing.assert_array_equal(fill(picture, gap), fill(other, gap))


@pytest.mark.parametrize("size", [(2, 2), (5, 9), (180, 3), (40, 400)])
def test_small_and_narrow_pictures_are_filled_somehow(size: tuple[int, int]) -> None:
    picture = np.full((*size, 3), 77, np.uint8)
    for gap in (np.zeros(size, bool), np.eye(*size, dtype=bool), np.ones(size, bool)):
        assert fill(picture, gap).shape == picture.shape
    assert (fill(picture, np.zeros(size, bool)) == 77).all()
