"""A coarse mask becomes a matte that follows the edge it can see."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.perception.matte import MatteSmoother, keep_on_skeleton, refine
from pipeline.perception.tracks import JOINTS, Joint


def disc(x: int = 160, radius: int = 50) -> NDArray[np.uint8]:
    picture = np.full((180, 320, 3), 210, np.uint8)
    return np.asarray(cv2.circle(picture, (x, 90), radius, (30, 40, 90), -1), np.uint8)


def true_mask(x: int = 160, radius: int = 50) -> NDArray[np.bool_]:
    return np.asarray(disc(x, radius)[..., 0] < 100, np.bool_)


def test_a_coarse_mask_is_drawn_to_the_edge_of_the_picture() -> None:
    small = cv2.resize(true_mask().astype(np.float32), (64, 36), interpolation=cv2.INTER_AREA)
    coarse = np.asarray(cv2.resize(small, (320, 180), interpolation=cv2.INTER_LINEAR), np.float32)
    refined = refine(disc(), coarse)

    def error(matte: NDArray[np.float32]) -> float:
        return float(np.abs(matte - true_mask()).mean())

    assert error(refined) < error(coarse) / 2
    assert refined.min() == 0 and refined.max() == 1


def test_an_empty_mask_and_a_full_one_stay_so() -> None:
    for value in (0.0, 1.0):
        np.testing.assert_allclose(refine(disc(), np.full((180, 320), value, np.float32)), value, atol=1e-4)


def test_blobs_off_the_skeleton_go_and_all_on_it_stay() -> None:
    mask = np.zeros((180, 320), np.float32)
    mask[60:150, 100:140] = 1  # the body
    mask[60:80, 180:200] = 1  # a forearm beyond a gap
    mask[20:40, 280:300] = 1  # a lamp
    joints = np.zeros((JOINTS, 4), np.float32)
    for joint, x, y in (
        (Joint.LEFT_SHOULDER, 120, 70),
        (Joint.LEFT_ELBOW, 160, 70),
        (Joint.LEFT_WRIST, 190, 70),
    ):
        joints[joint] = (x, y, 0, 1)
    kept = keep_on_skeleton(mask, joints)
    assert kept[100, 120] == 1 and kept[70, 190] == 1
    assert kept[30, 290] == 0


def test_a_flickering_matte_is_quieted_where_nothing_moves() -> None:
    smooth, noise = MatteSmoother(), np.random.default_rng(7)
    raw = [np.clip(true_mask() * 0.8 + noise.normal(0, 0.1, (180, 320)), 0, 1) for _ in range(20)]
    quiet = [smooth(disc(), matte.astype(np.float32)) for matte in raw]
    assert np.std(quiet[8:], axis=0).mean() < 0.6 * np.std(raw[8:], axis=0).mean()


def test_a_moving_matte_does_not_trail() -> None:
    smooth = MatteSmoother()
    for step in range(10):
        x = 60 + 20 * step
        matte = smooth(disc(x, 20), true_mask(x, 20).astype(np.float32))
    np.testing.assert_allclose(matte[90, x - 60 : x - 30], 0, atol=0.02)
    np.testing.assert_allclose(matte[90, x - 10 : x + 10], 1, atol=0.02)
