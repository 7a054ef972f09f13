"""Made scenes with several people and moving cameras, and the doubles that perform them, are true."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from pipeline.quality.scenes import STOCKY
from pipeline.samples.actor import CHARACTER_BODY, DANCER_BODY, Actor, Figure
from pipeline.samples.double import Double
from pipeline.samples.looks import FRIEND
from pipeline.samples.play import Camera, Play, look
from pipeline.samples.pose import JOINTS, Body, skeleton
from pipeline.samples.walk import stroll, walk

RATE = Fraction(5)
ALONE = Play(320, 180, 1.0, RATE, (Actor(),))
BOTH = replace(ALONE, actors=(Actor(FRIEND, tall=0.66, feet=(0.47, 0.86)), Actor(tall=0.7, feet=(0.53, 0.9))))
#: Bones as pairs of joints.
BONES = [
    (f"{side}_{a}", f"{side}_{b}")
    for side in ("left", "right")
    for a, b in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle"))
]


def figure(body: Body = DANCER_BODY, second: float = 1.3) -> Figure:
    return replace(Actor(body=body).figure(second, 1280, 720))


@pytest.mark.parametrize(
    "camera", [Camera(), Camera(swing=0.1), Camera(shake=0.01)], ids=["still", "swing", "shake"]
)
def test_what_nobody_covers_is_the_background_to_the_bit(camera: Camera) -> None:
    play = replace(ALONE, camera=camera)
    world, backgrounds = play.world(), []
    for moment in play.moments(world):
        clear = moment.cover == 0
        np.testing.assert_array_equal(moment.picture[clear], moment.background[clear])
        assert np.abs(moment.picture.astype(int) - moment.background)[moment.masks[0] == 255].mean() > 30
        backgrounds.append(moment.background)
    moved = [np.abs(a.astype(int) - backgrounds[0]).mean() for a in backgrounds[1:]]
    assert (max(moved) > 3) == (camera != Camera())


def test_the_joints_go_where_the_camera_shows_them() -> None:
    play = replace(ALONE, camera=Camera(swing=0.1, shake=0.02))
    room = replace(ALONE)
    margin = np.array(play.camera.margin(play.width))
    for index, view in enumerate(play.views()):
        there = room.figures(index)[0].pixels() + margin
        seen = play.figures(index)[0].pixels()
        np.testing.assert_allclose(seen, there @ view[:2, :2].T + view[:2, 2], atol=1e-6)


def test_a_shaken_camera_moves_by_parts_of_pixels_and_stays_inside_its_room() -> None:
    play = replace(ALONE, camera=Camera(shake=0.004), seconds=6.0)
    views = play.views()
    assert np.abs(views[:, :2, 2] - np.round(views[:, :2, 2])).max() > 0.2
    white = np.full(play.world().shape[:2], 255, np.uint8)
    assert all(look(white, view, (play.width, play.height)).min() == 255 for view in views)


def test_who_stands_in_front_hides_who_stands_behind() -> None:
    for moment in BOTH.moments(BOTH.world()):
        back, front = (mask.astype(int) for mask in moment.masks)
        assert (back + front).max() <= 256  # two soft edges may be rounded up
        assert not (back[front == 255]).any()
        alone = next(replace(BOTH, actors=BOTH.actors[:1]).moments(BOTH.world())).masks[0]
        assert back.sum() < alone.sum()


def test_a_body_that_plays_itself_is_itself() -> None:
    driver = figure()
    double = Double(body=DANCER_BODY).of(driver)
    np.testing.assert_allclose(double.pixels(), driver.pixels(), atol=1e-6)


@pytest.mark.parametrize("body", [CHARACTER_BODY, STOCKY], ids=["usual", "stocky"])
@pytest.mark.parametrize("whole", [True, False])
def test_a_double_has_its_own_lengths_and_the_drivers_directions(body: Body, whole: bool) -> None:
    driver = figure()
    double = Double(body=body, whole=whole).of(driver)
    for start, stop in BONES:
        own, there = (each.joints[stop] - each.joints[start] for each in (double, driver))
        np.testing.assert_allclose(np.cross(own, there), 0, atol=1e-9)
        assert own @ there > 0
    for name, length in (("elbow", body.upper_arm), ("knee", body.thigh)):
        start = {"elbow": "shoulder", "knee": "hip"}[name]
        bone = double.joints[f"left_{name}"] - double.joints[f"left_{start}"]
        assert np.linalg.norm(bone) == pytest.approx(length, rel=0.01)


def test_a_double_that_is_seen_whole_stands_where_the_driver_stands_and_is_as_tall() -> None:
    standing = Actor(move=lambda _: stroll(0)).figure(0, 1280, 720)
    driver = standing.pixels()
    double = Double(body=STOCKY).of(standing).pixels()
    feet = [JOINTS.index("left_ankle"), JOINTS.index("right_ankle")]
    nose = JOINTS.index("nose")
    np.testing.assert_allclose(double[feet].mean(axis=0), driver[feet].mean(axis=0), atol=2)
    assert double[nose, 1] == pytest.approx(driver[nose, 1], abs=0.03 * 720)


def test_a_double_that_is_cut_off_has_the_drivers_shoulders() -> None:
    driver = figure()
    shoulders = [JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")]
    double = Double(body=STOCKY, whole=False).of(driver)
    np.testing.assert_allclose(
        double.pixels()[shoulders].mean(axis=0), driver.pixels()[shoulders].mean(axis=0), atol=1e-6
    )


@pytest.mark.parametrize("stop", [0.8, -0.8])
def test_who_walks_gets_there_on_feet_that_do_not_slide(stop: float) -> None:
    move = walk(0.0, stop, 2.0, stroll)
    poses = [skeleton(DANCER_BODY, move(second)) for second in np.linspace(0, 2, 81)]
    assert (poses[0]["left_hip"] + poses[0]["right_hip"])[0] / 2 == pytest.approx(0, abs=1e-6)
    assert (poses[-1]["left_hip"] + poses[-1]["right_hip"])[0] / 2 == pytest.approx(stop, abs=1e-6)
    for side in ("left", "right"):
        ankles = np.array([pose[f"{side}_ankle"] for pose in poses])
        on_ground = ankles[:, 1] <= DANCER_BODY.ankle + 1e-6
        slid = np.abs(np.diff(ankles[:, 0]))[on_ground[1:] & on_ground[:-1]]
        assert on_ground.mean() > 0.3
        assert slid.max() < 1e-6
