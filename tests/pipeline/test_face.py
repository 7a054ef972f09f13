"""A face's signals say what it does, wherever and however large it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.perception.face import (
    LOWER_LIDS,
    MOUTH_LEFT,
    MOUTH_RIGHT,
    POINTS,
    FaceFinder,
    _has_mouth,
    head_box,
    signals_of,
)
from pipeline.perception.tracks import Face

SAMPLE = Path(__file__).parents[2] / "samples" / "character_scene.png"


@pytest.fixture(scope="module")
def mesh() -> np.ndarray:
    with Image.open(SAMPLE) as picture, FaceFinder() as finder:
        rgb = np.array(picture.convert("RGB").crop((120, 40, 420, 340)))
        found = finder.find(rgb)
        again = finder.find(rgb)
        assert finder.find(np.full_like(rgb, 128)) is None
    assert found is not None and found.shape == (POINTS, 3)
    np.testing.assert_array_equal(found, again)
    return found


def test_a_face_that_looks_ahead_with_open_eyes_and_mouth_says_so(mesh: np.ndarray) -> None:
    signals = signals_of(mesh)
    assert abs(signals[Face.YAW]) < 0.1 and abs(signals[Face.ROLL]) < 0.1
    assert 0.05 < signals[Face.JAW] < 0.15
    assert (signals[[Face.LEFT_EYE, Face.RIGHT_EYE]] > 0.06).all()


@given(scale=st.floats(0.1, 9), turn=st.floats(-0.8, 0.8), x=st.floats(-900, 900), y=st.floats(-900, 900))
def test_size_and_place_change_no_signal_and_a_tilt_only_its_own(
    mesh: np.ndarray, scale: float, turn: float, x: float, y: float
) -> None:
    cos, sin = np.cos(turn), np.sin(turn)
    turned = mesh @ np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]]).T * scale + (x, y, 0)
    expected = signals_of(mesh)
    expected[Face.ROLL] += turn
    # Yaw and pitch are told in the picture, not in the head.
    inner = slice(Face.ROLL, None)
    np.testing.assert_allclose(signals_of(turned.astype(np.float32))[inner], expected[inner], atol=4e-3)


@given(yaw=st.floats(-0.7, 0.7))
def test_a_turn_of_the_head_is_its_yaw_and_closes_no_eye(mesh: np.ndarray, yaw: float) -> None:
    cos, sin = np.cos(yaw), np.sin(yaw)
    # A smaller z is nearer: looking to the right of the picture brings z towards x.
    turned = mesh @ np.array([[cos, 0, -sin], [0, 1, 0], [sin, 0, cos]]).T
    before, after = signals_of(mesh), signals_of(turned.astype(np.float32))
    assert after[Face.YAW] - before[Face.YAW] == pytest.approx(yaw, abs=0.05)
    np.testing.assert_allclose(after[Face.JAW :], before[Face.JAW :], atol=1e-3)


def test_a_lid_that_falls_closes_its_own_eye_only(mesh: np.ndarray) -> None:
    closed = mesh.copy()
    closed[[386, 385, 387]] = mesh[[374, 380, 373]]
    assert {386, 385, 387} & set(LOWER_LIDS[0]) == set()
    before, after = signals_of(mesh), signals_of(closed)
    assert after[Face.LEFT_EYE] < 0.2 * before[Face.LEFT_EYE]
    assert after[Face.RIGHT_EYE] == before[Face.RIGHT_EYE]


def test_a_head_outside_too_small_or_unknown_gives_no_crop() -> None:
    joints = np.zeros((33, 4), np.float32)
    joints[:11, :2] = np.random.default_rng(3).uniform(40, 44, (11, 2))
    assert head_box(joints * 0.1, (640, 360)) is None
    joints[11:13, :2] = (42, 140)
    left, top, right, bottom = head_box(joints, (640, 360)) or (0, 0, 0, 0)
    assert left == top == 0 and 42 < right <= 640 and 42 < bottom <= 360
    joints[0] = np.nan
    assert head_box(joints, (640, 360)) is None


def test_a_mouth_where_the_picture_has_none_is_no_mouth(mesh: np.ndarray) -> None:
    """Drawn mouths may be small and high; a mesh that puts its own on the bare chin is not believed."""
    with Image.open(SAMPLE) as picture:
        rgb = np.array(picture.convert("RGB").crop((120, 40, 420, 340)))
    face = np.ascontiguousarray(mesh[:, :2])
    assert _has_mouth(rgb, face)
    bare = rgb.copy()
    low, high = face[[MOUTH_LEFT, MOUTH_RIGHT]].min(axis=0), face[[MOUTH_LEFT, MOUTH_RIGHT]].max(axis=0)
    left, right = int(low[0]) - 14, int(high[0]) + 14
    bare[int(low[1]) - 24 : int(high[1]) + 24, left:right] = np.median(
        rgb[int(low[1]), left : left + 8], axis=0
    )
    assert not _has_mouth(bare, face)
