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


def bricks(height: int, width: int) -> NDArray[np.uint8]:
    """Courses of 14 pixels, bricks of 38, every other course set off; no two bricks of one colour."""
    rows, columns = np.mgrid[:height, :width]
    course = rows // 14
    place = columns + 19 * (course % 2)
    shades = np.random.default_rng(3).integers(-12, 13, (height // 14 + 1, width // 38 + 2))
    level = 110 + shades[course, place // 38]
    level[(rows % 14 < 3) | (place % 38 < 3)] = 50
    return np.repeat(level[..., None], 3, axis=2).astype(np.uint8)


def test_a_wall_of_bricks_keeps_its_joints() -> None:
    truth, gap = bricks(240, 426), hole(240, 426)
    filled = fill(np.where(gap[..., None], np.uint8(0), truth), gap)
    joints = truth[..., 0] == 50
    assert (np.abs(filled[gap & joints].astype(int) - 50) < 20).mean() > 0.97
    assert (filled[gap & ~joints] > 80).mean() > 0.97


def test_a_frame_that_stands_alone_runs_on_through_the_hole() -> None:
    truth = bricks(240, 426)
    truth[20:220, 208:218] = 230
    gap = np.zeros((240, 426), bool)
    gap[90:150, 180:250] = True
    filled = fill(np.where(gap[..., None], np.uint8(0), truth), gap)
    assert (filled[90:150, 210:216] > 200).mean() > 0.95
    assert (filled[gap & (truth[..., 0] < 230)] < 200).mean() > 0.97


def test_what_no_shift_reaches_is_filled_from_what_has_been_filled() -> None:
    truth = bricks(240, 426)
    gap = np.ones((240, 426), bool)
    gap[:, :120] = False
    filled = fill(np.where(gap[..., None], np.uint8(0), truth), gap)
    # Bricks all the way: as much light and dark at the far end as at the near one.
    assert filled[:, 300:].std() > 0.7 * truth[:, :120].std()


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
