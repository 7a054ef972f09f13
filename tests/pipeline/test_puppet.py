"""The puppets do what the driver does, on their own bones."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.character import Character, make_character
from pipeline.character.skeleton import ARM, LEG, SIDE, Point, points_of
from pipeline.engines import engine_for
from pipeline.engines.base import Scene
from pipeline.engines.puppet.performance import Performance
from pipeline.engines.puppet.retarget import LONGEST, SHORTEST, retarget
from pipeline.engines.puppet.sample import sample, sample_on
from pipeline.errors import EngineError
from pipeline.perception.tracks import Joint, Person
from pipeline.spec import ENGINES, EngineId, Model, Span

SAMPLE = Path(__file__).parents[2] / "samples" / "character.png"
FRAMES = 24
#: The driver is the character itself, half as large, so many pixels from the frame's corner.
SCALE, OFFSET = 0.5, (220.0, 60.0)
SCENE = Scene(size=(800, 640), rate=24.0)
LEFT_ARM = (Joint.LEFT_ELBOW, Joint.LEFT_WRIST, Joint.LEFT_INDEX, Joint.LEFT_PINKY, Joint.LEFT_THUMB)


@pytest.fixture(scope="module")
def character() -> Character:
    return make_character(SAMPLE)


def standing(character: Character, frames: int = FRAMES) -> np.ndarray:
    """A driver who stands as the character does, (T, 33, 4), everything seen."""
    joints = np.tile(character.joints, (frames, 1, 1)).astype(np.float32)
    joints[..., :3] *= SCALE
    joints[..., :2] += OFFSET
    joints[..., 3] = 1
    return joints


def turn_arm(joints: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """The left arm turned about its shoulder, stiffly, by so much in each frame (radians)."""
    turned = joints.copy()
    pivot = joints[:, Joint.LEFT_SHOULDER, None, :2]
    arm = joints[:, list(LEFT_ARM), :2] - pivot
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    x, y = arm[..., 0].copy(), arm[..., 1].copy()
    turned[:, list(LEFT_ARM), :2] = np.stack([cos * x - sin * y, sin * x + cos * y], -1) + pivot
    return turned


def person(joints: np.ndarray, present: np.ndarray | None = None) -> Person:
    present = np.ones(len(joints), bool) if present is None else present
    return Person("person_00000001", joints, present, np.where(present, 0, -1).astype(np.int16))


def bones(performance: Performance, chain: tuple[int, ...]) -> np.ndarray:
    return np.diff(performance.points[:, list(chain)], axis=1)


def draw(character: Character, driver: Person, span: Span, model: Model = Model.V3) -> list[np.ndarray]:
    return list(engine_for(ENGINES[model]).perform(character, driver, span, SCENE))


def test_who_stands_like_the_character_gets_the_character(character: Character) -> None:
    (frame,) = draw(character, person(standing(character, 1)), Span(0, 0, 1))
    rows, columns = np.flatnonzero(frame[..., 3].any(1)), np.flatnonzero(frame[..., 3].any(0))
    width, height = character.size
    assert abs((rows[-1] - rows[0]) - SCALE * (height - 16)) < 8
    assert abs((columns[-1] - columns[0]) - SCALE * (width - 16)) < 8
    assert abs(rows[0] - (OFFSET[1] + SCALE * 8)) < 6
    assert abs(columns[0] - (OFFSET[0] + SCALE * 8)) < 6


def test_a_turning_limb_keeps_its_length_and_follows_the_angle(character: Character) -> None:
    angles = np.linspace(0, -1.6, FRAMES)
    performance = retarget(character, person(turn_arm(standing(character), angles)), SCENE)
    upper = bones(performance, ARM)[:, 0]
    lengths = np.linalg.norm(upper, axis=1)
    np.testing.assert_allclose(lengths, lengths[0], rtol=0.03)
    turned = np.unwrap(np.arctan2(upper[:, 1], upper[:, 0]))
    np.testing.assert_allclose(turned - turned[0], angles, atol=np.radians(3))


@given(seed=st.integers(0, 2**32 - 1), spread=st.floats(0, 60))
@settings(max_examples=60, deadline=None)
def test_whatever_a_facing_driver_does_bones_keep_their_length_within_what_foreshortening_may_take(
    character: Character, seed: int, spread: float
) -> None:
    joints = standing(character, 8)
    noise = np.random.default_rng(seed).normal(0, spread, joints[..., :2].shape)
    # Who turns their back is read the other way round, and while they turn, both ways are mixed.
    noise[:, [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]] = 0
    joints[..., :2] += noise
    performance = retarget(character, person(joints), SCENE)
    own = points_of(character.joints)[:, :2]
    for chain in (ARM, LEG):
        for a, b in itertools.pairwise(chain[:3]):
            lengths = [float(np.linalg.norm(own[b + side] - own[a + side])) for side in (0, SIDE)]
            for side in (0, SIDE):
                step = performance.points[:, b + side] - performance.points[:, a + side]
                drawn = np.linalg.norm(step, axis=1) / performance.scale
                # Of a pair the longer counts, as far as the shorter allows.
                assert (drawn >= SHORTEST * min(lengths) - 1e-3).all()
                assert (drawn <= LONGEST * max(lengths) + 1e-3).all()


@pytest.mark.parametrize(("found", "drawn"), [(0.95, 0.975), (1.0, 1.0), (1.05, 1.025), (1.5, 1.04)])
def test_arms_found_a_little_too_long_are_half_believed_and_far_longer_ones_are_the_drivers_own(
    character: Character, found: float, drawn: float
) -> None:
    joints = standing(character)
    shoulder, wrist = Joint.LEFT_SHOULDER, Joint.LEFT_WRIST
    own = np.linalg.norm(joints[0, wrist, :2] - joints[0, shoulder, :2])
    for side in (0, 1):
        pivot = joints[:, shoulder + side, None, :2]
        arm = [joint + side for joint in LEFT_ARM]
        joints[:, arm, :2] = pivot + found * (joints[:, arm, :2] - pivot)
    points = retarget(character, person(joints), SCENE).points[0]
    assert np.linalg.norm(points[ARM[2]] - points[ARM[0]]) / own == pytest.approx(drawn, abs=0.01)


def test_all_other_bones_stay_where_they_are_while_an_arm_turns(character: Character) -> None:
    driver = person(turn_arm(standing(character), np.linspace(0, -1.6, FRAMES)))
    points = retarget(character, driver, SCENE).points
    still = [p for p in Point if p not in ARM[1:]]
    assert np.ptp(points[:, still], axis=0).max() < 2.0


def test_feet_stay_on_the_ground_while_the_body_sways(character: Character) -> None:
    joints = standing(character)
    sway = 12 * np.sin(np.linspace(0, 2 * np.pi, FRAMES))
    upper = [j for j in range(33) if j < Joint.LEFT_KNEE]
    joints[:, upper, 0] += sway[:, None]
    points = retarget(character, person(joints), SCENE).points
    for foot in (Point.LEFT_ANKLE, Point.RIGHT_ANKLE):
        assert np.ptp(points[:, foot, 1]) < 3.0
        assert np.ptp(points[:, foot, 0]) < 6.0
    assert np.ptp(points[:, Point.NECK, 0]) > 15


def test_a_joint_nobody_sees_does_not_make_a_limb_fly(character: Character) -> None:
    joints = standing(character)
    joints[10:14, list(LEFT_ARM), :2] = 5.0
    joints[10:14, list(LEFT_ARM), 3] = 0.02
    upper = bones(retarget(character, person(joints), SCENE), ARM)[:, 0]
    angles = np.unwrap(np.arctan2(upper[:, 1], upper[:, 0]))
    assert np.ptp(angles) < np.radians(10)


def test_a_driver_seen_from_behind_drives_the_arm_on_the_same_side_of_the_picture(
    character: Character,
) -> None:
    front = retarget(character, person(standing(character)), SCENE)
    joints = standing(character)
    back = joints.copy()
    for left, right in ((11, 12), (13, 14), (15, 16), (17, 18), (19, 20), (23, 24), (25, 26), (27, 28)):
        back[:, [left, right]] = joints[:, [right, left]]
    behind = retarget(character, person(back), SCENE)
    for point in (Point.LEFT_WRIST, Point.LEFT_WRIST + SIDE):
        np.testing.assert_allclose(behind.points[:, point], front.points[:, point], atol=6)


def test_who_turns_round_is_never_a_sliver_and_keeps_the_arms(character: Character) -> None:
    yaw = np.pi * np.clip(np.linspace(-0.5, 2.5, 2 * FRAMES), 0, 1) + np.pi * np.clip(
        np.linspace(-1.5, 1.5, 2 * FRAMES), 0, 1
    )
    raised = turn_arm(standing(character, len(yaw)), np.full(len(yaw), -1.6))
    middle = raised[:, [Joint.LEFT_HIP, Joint.RIGHT_HIP], 0].mean(axis=1, keepdims=True)
    # A flat body that turns about its own height: in the middle of the turn it is a line.
    raised[..., 0] = middle + (raised[..., 0] - middle) * np.cos(yaw)[:, None]
    points = retarget(character, person(raised), SCENE).points
    wide = points[:, Point.LEFT_SHOULDER, 0] - points[:, Point.RIGHT_SHOULDER, 0]
    assert wide.min() > 0.55 * wide.max()
    for side in (0, SIDE):
        for a, b in itertools.pairwise(ARM[:3]):
            length = np.linalg.norm(points[:, b + side] - points[:, a + side], axis=1)
            assert length.min() > 0.42 * length.max()
    # Seen from behind, the raised arm is at the other side of the picture.
    hands = points[:, [Point.LEFT_WRIST, Point.RIGHT_WRIST], 1]
    assert hands[0].argmin() == hands[-1].argmin() == 0
    assert hands[FRAMES].argmin() == 1


@pytest.mark.parametrize("model", list(Model))
def test_frames_are_the_same_bytes_again_and_wherever_a_segment_starts(
    character: Character, model: Model
) -> None:
    driver = person(turn_arm(standing(character), np.linspace(0, -2.0, FRAMES)))
    whole = draw(character, driver, Span(0, 0, FRAMES), model)
    part = draw(character, driver, Span(1, 15, 18), model)
    for number, frame in enumerate(part, 15):
        np.testing.assert_array_equal(frame, whole[number])


@pytest.mark.parametrize("model", list(Model))
def test_colours_are_premultiplied_and_the_edge_is_soft(character: Character, model: Model) -> None:
    (frame,) = draw(character, person(standing(character, 1)), Span(0, 0, 1), model)
    assert frame.dtype == np.uint8
    # Rounding of a bilinear sample may put a colour one step over its alpha.
    assert (frame[..., :3].astype(int) - frame[..., 3:]).max() <= 2
    edge = (frame[..., 3] > 0) & (frame[..., 3] < 255)
    assert edge.sum() > 500


def test_a_raised_arm_drags_no_sheet_of_clothes_along(character: Character) -> None:
    down, up = draw(
        character,
        person(turn_arm(standing(character, 2), np.array([0.0, -1.9]))),
        Span(0, 0, 2),
    )
    areas = [int((frame[..., 3] > 127).sum()) for frame in (down, up)]
    assert areas[1] < 1.08 * areas[0]
    assert areas[1] > 0.9 * areas[0]


def test_there_are_no_holes_in_a_moved_body(character: Character) -> None:
    import cv2

    for frame in draw(
        character, person(turn_arm(standing(character, 3), np.array([0.0, -0.8, -1.9]))), Span(0, 0, 3)
    ):
        solid = np.asarray(frame[..., 3] > 127, np.uint8)
        closed = cv2.morphologyEx(solid, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8))
        assert ((closed - solid) > 0).sum() < 0.01 * solid.sum()


def test_nobody_is_drawn_where_nobody_is(character: Character) -> None:
    joints = standing(character)
    present = np.ones(FRAMES, bool)
    joints[8:], present[8:] = np.nan, False
    frames = draw(character, person(joints, present), Span(0, 6, 10))
    assert [bool(frame.any()) for frame in frames] == [True, True, False, False]


def test_a_body_cut_at_the_waist_reaches_the_frames_lower_edge(tmp_path: Path, character: Character) -> None:
    from PIL import Image

    picture = Image.open(SAMPLE)
    picture.crop((0, 0, picture.width, round(0.45 * picture.height))).save(tmp_path / "waist.png")
    bust = make_character(tmp_path / "waist.png")
    for frame in draw(bust, person(standing(character)), Span(0, 0, 2)):
        assert (frame[-1, :, 3] > 200).sum() > 20


def test_a_head_that_is_larger_than_the_drivers_stays_in_the_frame_unless_feet_stand_in_it(
    character: Character,
) -> None:
    joints = standing(character, 4)
    head, neck = (points_of(joints)[0, point, 1] for point in (Point.HEAD, Point.NECK))
    # The driver's own crown is just in the frame; the character's hair is higher than that.
    joints[..., 1] -= head - 0.85 * (neck - head)
    standing_there = draw(character, person(joints.copy()), Span(0, 0, 1))[0]
    joints[:, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 3] = 0
    cut_off = draw(character, person(joints), Span(0, 0, 1))[0]
    assert (standing_there[0, :, 3] > 127).any()
    assert not (cut_off[0, :, 3] > 127).any()


def test_v4_turns_the_head_and_v3_does_not(character: Character) -> None:
    joints = standing(character)
    joints[12:, Joint.NOSE, 0] += 9
    driver = person(joints)
    changed = {}
    for model in Model:
        before, after = (draw(character, driver, Span(0, n, n + 1), model)[0] for n in (2, 20))
        changed[model] = np.abs(before.astype(int) - after).max(axis=2).sum()
    assert changed[Model.V4] > 4 * changed[Model.V3]


def test_an_engine_of_another_name_or_version_is_refused() -> None:
    with pytest.raises(EngineError):
        engine_for(EngineId("puppet_v3", "0"))
    with pytest.raises(EngineError):
        engine_for(EngineId("nobody", "1"))
    assert engine_for(ENGINES[Model.V3]) is engine_for(ENGINES[Model.V3])


def test_torch_takes_a_texture_as_opencv_does() -> None:
    """What a GPU would draw, drawn by the same code on the CPU."""
    rows, columns = np.mgrid[0:60, 0:80].astype(np.float32)
    texture = np.stack([columns * 3, rows * 4, 120 + 60 * np.sin(columns / 9), rows * 0 + 255], axis=2)
    turned = np.stack([columns * 0.9 + rows * 0.3 - 7.3, rows * 0.9 - columns * 0.3 + 11.6], axis=2)
    by_opencv = sample(texture.astype(np.uint8), turned.astype(np.float32), "cpu")
    by_torch = sample_on(texture.astype(np.uint8), turned.astype(np.float32), "cpu")
    off = np.abs(by_opencv.astype(int) - by_torch)
    assert (by_torch[..., 3] == 0).any() and (by_torch[..., 3] == 255).any(), "the map leaves the texture"
    assert np.percentile(off, 99) <= 2
    assert off.max() <= 10, "only at the border, where a 32nd of a pixel is eight levels"


def test_who_comes_in_after_a_cut_has_nothing_of_the_shot_before(character: Character) -> None:
    joints = standing(character, 48)
    joints[:20, :, :2] += 0.8 * (joints[:20, :, :2] - OFFSET)  # a closer shot
    present = np.ones(48, bool)
    present[20:32] = False
    joints[~present] = np.nan
    scene = replace(SCENE, cuts=(20,))
    scale = retarget(character, person(joints, present), scene).scale
    np.testing.assert_allclose(scale[32:], scale[-1], rtol=1e-3)
