"""Which frames a plate is made of, and what is believed of them."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.plate.light import gains
from pipeline.plate.removal import COVERED, closeness
from pipeline.plate.samples import chosen, median
from pipeline.plate.views import View

STILL = View(100, 400, (64, 36))


def test_samples_are_spread_over_the_view() -> None:
    numbers = chosen(STILL, np.ones(300, bool))
    assert numbers[0] == 100 and numbers[-1] == 399
    assert len(numbers) == 40 and max(np.diff(numbers)) < 10


def test_frames_in_which_somebody_was_missed_are_no_samples_where_there_are_others() -> None:
    known = np.ones(300, bool)
    known[::2] = False
    assert all(number % 2 for number in chosen(STILL, known))
    assert len(chosen(STILL, np.zeros(300, bool))) == 40


def test_a_large_canvas_has_fewer_samples_and_a_short_view_what_it_has() -> None:
    assert len(chosen(View(0, 300, (3840, 2160)), np.ones(300, bool))) == 8
    assert chosen(View(7, 9, (64, 36)), np.ones(2, bool)) == [7, 8]


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 13, 40])
def test_the_median_is_the_median_of_what_was_seen(count: int) -> None:
    random = np.random.default_rng(count)
    colors = random.integers(0, 256, (count, 37, 23, 3), np.uint8)
    near = np.where(random.random((count, 37, 23)) < 0.5, 255, 0).astype(np.uint8)
    canvas, doubtful = median(colors, near)
    for row, column in random.integers(0, (37, 23), (60, 2)):
        seen = colors[near[:, row, column] == 0, row, column]
        if len(seen) >= max(1, round(0.06 * count)):
            np.testing.assert_array_equal(canvas[row, column], np.sort(seen, axis=0)[(len(seen) - 1) // 2])
        else:
            assert doubtful[row, column]


def test_beside_a_person_is_believed_only_where_nobody_ever_stood_away() -> None:
    colors = np.full((10, 9, 9, 3), 50, np.uint8)
    near = np.full((10, 9, 9), COVERED, np.uint8)
    colors[:3], near[:3, :, :4] = 90, 0
    near[:, :, 8] = 255
    canvas, doubtful = median(colors, near)
    assert (canvas[:, :4] == 90).all()
    assert (canvas[:, 4:8] == 50).all()
    assert doubtful[:, 8].all() and not doubtful[:, :6].any()


def test_beside_a_person_one_sample_is_no_witness() -> None:
    colors = np.full((20, 9, 9, 3), 50, np.uint8)
    near = np.full((20, 9, 9), 255, np.uint8)
    near[0, :, :3], near[:2, :, 3:6], near[0, :, 6:] = COVERED, COVERED, 0
    _, doubtful = median(colors, near)
    assert doubtful[:, :3].all() and not doubtful[:, 3:].any()


def test_closeness_falls_from_the_person_to_nothing() -> None:
    matte = np.zeros((240, 320), np.uint8)
    assert not closeness(matte).any()
    matte[100:140, 100:140] = 255
    row = closeness(matte)[120]
    assert (row[100:140] == 255).all() and row[140] > COVERED > row[143] > 0 == row[150]
    assert (np.diff(row[140:155].astype(int)) <= 0).all()


def test_one_frame_that_tells_nothing_has_the_light_of_the_one_before() -> None:
    grids = np.full((3, 9, 16, 4), 100, np.uint8)
    grids[..., 3] = 0
    grids[1:, ..., :3] = 120
    grids[2, ..., 3] = 255
    result = gains(grids, [np.full((9, 16, 3), 100, np.uint8)] * 3)
    np.testing.assert_allclose(result, [[1] * 3, [1.2] * 3, [1.2] * 3], rtol=1e-5)
