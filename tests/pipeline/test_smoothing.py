"""Joints are quieted without lag, and never over a gap or a cut."""

from __future__ import annotations

import numpy as np

from pipeline.perception.smoothing import close_gaps, one_euro, runs
from pipeline.perception.tracks import JOINTS


def test_noise_on_a_joint_at_rest_is_halved_at_least() -> None:
    noise = np.random.default_rng(1).normal(0, 1.5, (120, 2))
    smooth = one_euro(100 + noise, rate=30, size=300)
    assert smooth.std() < noise.std() / 2
    assert abs(smooth.mean() - 100) < 0.5


def test_a_steady_movement_is_followed_without_lag() -> None:
    line = np.arange(90.0)[:, None] * 6
    smooth = one_euro(line, rate=30, size=300)
    assert np.abs(smooth - line)[20:-20].max() < 0.5


def test_a_fast_wave_keeps_its_height() -> None:
    """A hand that waves three times a second over half a body is not pressed flat."""
    wave = 75 * np.sin(2 * np.pi * 3 * np.arange(60) / 30)[:, None]
    smooth = one_euro(wave, rate=30, size=300)
    assert np.abs(smooth[10:-10]).max() > 0.8 * 75


def test_a_single_frame_stays_as_it_is() -> None:
    np.testing.assert_array_equal(one_euro(np.full((1, 3), 7.0), 30, 100), np.full((1, 3), 7.0))


def test_runs_are_the_stretches_of_presence() -> None:
    assert runs(np.array([True, True, False, True, False, False, True])) == [(0, 2), (3, 4), (6, 7)]
    assert runs(np.zeros(4, bool)) == []


def test_a_short_gap_is_bridged_in_a_straight_line_and_a_long_one_is_not() -> None:
    joints = np.zeros((12, JOINTS, 4), np.float32)
    joints[:, :, 0] = np.arange(12)[:, None]
    present = np.ones(12, bool)
    present[[3, 4, 7, 8, 9, 10]] = False
    joints[~present] = np.nan
    bridged, there = close_gaps(joints, present, longest=2)
    assert there[3:5].all() and not there[7:11].any()
    np.testing.assert_allclose(bridged[3:5, 0, 0], [3, 4])
    assert np.isnan(bridged[7:11]).all()
