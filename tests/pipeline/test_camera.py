"""The camera's way, from scenes whose movement is known."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.camera import CameraTracker, scaled, shift


def scene(width: int = 900, height: int = 500) -> NDArray[np.uint8]:
    """A wall with much to hold on to."""
    random = np.random.default_rng(5)
    small = random.integers(0, 255, (height // 12, width // 12, 3), np.uint8)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def view(left: float, top: float) -> NDArray[np.uint8]:
    move = np.array([[1, 0, -left], [0, 1, -top]], np.float64)
    return np.asarray(cv2.warpAffine(scene(), move, (427, 240), flags=cv2.INTER_CUBIC), np.uint8)


def test_a_camera_that_stands_still_gives_exactly_the_identity_though_a_person_walks() -> None:
    track = CameraTracker()
    noise = np.random.default_rng(2)
    for step in range(20):
        frame = view(200, 100)
        person = np.zeros((240, 427), np.float32)
        person[40:, 20 + 15 * step : 90 + 15 * step] = 1
        frame[person > 0] = noise.integers(0, 255, 3, np.uint8)
        np.testing.assert_array_equal(track(frame, person, cut=False), np.eye(3))


def test_a_pan_is_followed_to_half_a_pixel_over_many_anchors() -> None:
    track = CameraTracker()
    for step in range(60):
        left, top = 4.3 * step, 1.5 * step
        matrix = track(view(left, top), None, cut=False)
        wanted = np.array([[1, 0, left], [0, 1, top], [0, 0, 1]])
        assert shift(matrix @ np.linalg.inv(wanted), 427, 240) < 1.0
    assert shift(matrix, 427, 240) > 200


def handheld(step: int) -> NDArray[np.float64]:
    """From a frame's pixels to the wall's: parts of a pixel, a little turn and zoom."""
    turn, zoom = 0.006 * np.sin(0.5 * step), 1 + 0.01 * np.sin(0.3 * step)
    cos, sin = zoom * np.cos(turn), zoom * np.sin(turn)
    right, down = 200 + 1.9 * np.sin(0.8 * step), 100 + 1.3 * np.sin(1.1 * step)
    return np.array([[cos, -sin, right], [sin, cos, down], [0, 0, 1]])


def held(step: int) -> NDArray[np.uint8]:
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpPerspective(scene(), handheld(step), (427, 240), flags=flags), np.uint8)


def test_a_camera_held_in_the_hand_is_followed_to_a_fifth_of_a_pixel() -> None:
    track = CameraTracker()
    home = np.linalg.inv(handheld(0))
    for step in range(24):
        matrix = track(held(step), None, cut=False)
        assert shift(matrix @ np.linalg.inv(home @ handheld(step)), 427, 240) < 0.2


def test_a_caption_that_stands_before_a_moving_scene_is_not_the_scene() -> None:
    track = CameraTracker()
    for step in range(8):
        frame = view(100 + 2.5 * step, 100)
        frame[20:110, 20:150] = scene()[:90, :130]
        matrix = track(frame, None, cut=False)
        assert abs(matrix[0, 2] - 2.5 * step) < 0.3


def test_a_screen_that_moves_before_a_still_scene_moves_no_camera() -> None:
    track = CameraTracker()
    for step in range(8):
        frame = view(100, 100)
        frame[20:170, 20:220] = scene()[30 : 30 + 150, 50 + 2 * step : 250 + 2 * step]
        np.testing.assert_array_equal(track(frame, None, cut=False), np.eye(3))


def test_a_bare_wall_says_nothing_so_the_camera_stays() -> None:
    track = CameraTracker()
    for level in (100, 101, 103):
        matrix = track(np.full((240, 427, 3), level, np.uint8), None, cut=False)
        np.testing.assert_array_equal(matrix, np.eye(3))


def test_a_new_shot_starts_where_the_old_one_stood() -> None:
    track = CameraTracker()
    track(view(0, 0), None, cut=False)
    before = track(view(8, 0), None, cut=False)
    after = track(view(300, 200), None, cut=True)
    np.testing.assert_allclose(after, before)
    moved = track(view(305, 200), None, cut=False)
    np.testing.assert_allclose((np.linalg.inv(after) @ moved)[:2, 2], [5, 0], atol=0.5)


def test_a_movement_in_small_pixels_is_as_much_larger_in_large_ones() -> None:
    moved = np.array([[1, 0, 3], [0, 1, 5], [0, 0, 1.0]])
    np.testing.assert_allclose(scaled(moved, 2, 4)[:2, 2], [6, 20])
