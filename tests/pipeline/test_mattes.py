"""The mattes as later stages read them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.perception.mattes import mattes
from pipeline.perception.tracks import Tracks
from pipeline.plate import Plate
from pipeline.protocol import Request
from pipeline.spec import Model, Span, plan_for
from tests.pipeline.scenes import MATTE, Frame, WalkingBlock, plate_of

MISSED = range(14, 18)


@dataclass(frozen=True)
class NowAndThenMissed(WalkingBlock):
    """A block that the detector does not see in some frames."""

    def matte(self, number: int) -> Frame:
        return np.zeros(MATTE[::-1], np.uint8) if number in MISSED else super().matte(number)


def request_for(scene: WalkingBlock, folder: Path) -> Request:
    """Pieces of 15 frames: the gap lies beside a boundary of theirs."""
    return scene.request(folder, replace(plan_for(Model.V4), piece_frames=15))


def test_where_the_detector_missed_somebody_the_mattes_around_stand_in(tmp_path: Path) -> None:
    scene = NowAndThenMissed(speed=1)
    request = request_for(scene, tmp_path)
    whole = list(mattes(request, Span(0, 0, scene.frames), scene.tracks()))
    assert len(whole) == scene.frames
    for number in MISSED:
        np.testing.assert_array_equal(whole[number], np.maximum(whole[13], whole[18]))
    for start, stop in ((0, 15), (15, 16), (16, 30)):
        part = list(mattes(request, Span(0, start, stop), scene.tracks()))
        np.testing.assert_array_equal(part, whole[start:stop])


def test_no_matte_stands_in_for_one_of_another_shot(tmp_path: Path) -> None:
    scene = NowAndThenMissed(speed=1)
    tracks = replace(scene.tracks(), cuts=(MISSED[0],))
    whole = list(mattes(request_for(scene, tmp_path), Span(0, 0, scene.frames), tracks))
    for number in MISSED:
        assert not whole[number][whole[13] > 0].any()
    np.testing.assert_array_equal(whole[18], scene.matte(18))


def test_where_nobody_is_the_matte_stays_empty(tmp_path: Path) -> None:
    scene = NowAndThenMissed(speed=1)
    (person,) = scene.tracks().people
    present = np.array([number not in MISSED for number in range(scene.frames)])
    tracks = Tracks(
        (replace(person, present=present, slot=np.where(present, 0, -1).astype(np.int16)),), (), MATTE
    )
    whole = list(mattes(request_for(scene, tmp_path), Span(0, 0, scene.frames), tracks))
    assert [number for number, matte in enumerate(whole) if not matte.any()] == list(MISSED)


@pytest.mark.parametrize("number", [MISSED[0], MISSED[-1], 29])
def test_a_missed_person_is_neither_in_the_plate_nor_in_the_frame(number: int, tmp_path: Path) -> None:
    scene = NowAndThenMissed(speed=0)
    request = request_for(scene, tmp_path)
    plate = Plate.load(plate_of(request))
    (matte,) = mattes(request, Span(0, number, number + 1), scene.tracks())
    cleaned = plate.clean(number, scene.frame(number), matte)[scene.mask(number)]
    assert (np.abs(cleaned.astype(int) - (20, 10, 40)).max(axis=1) > 24).mean() > 0.98


def test_what_is_left_of_somebody_lost_does_not_become_anothers() -> None:
    """Smoothing fades a matte out where the picture stands still; it stays its owner's until then."""
    from pipeline.perception.base import Pose
    from pipeline.perception.matte import MatteSmoother
    from pipeline.perception.video import _matte

    rgb = np.full((90, 160, 3), 90, np.uint8)
    left, right = np.zeros((2, 90, 160), np.float32)
    left[20:70, 20:50], right[20:70, 100:140] = 1, 1
    joints = np.zeros((33, 4), np.float32)
    both = {0: Pose(joints, left), 1: Pose(joints, right)}
    smooth = MatteSmoother()
    slots = np.zeros(rgb.shape[:2], np.uint8)
    for people in (both, {0: both[0]}):
        found, slots = _matte(rgb, people, slots)
        found = smooth(rgb, found)
    there = found > 0.1
    assert there[40, 120] and slots[40, 120] == 1
    assert there[40, 30] and slots[40, 30] == 0
