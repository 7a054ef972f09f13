"""What only V4's puppet does: faces that act, limbs as rigid as possible, hands, motion blur."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.character import Character, make_character
from pipeline.character.skeleton import Point
from pipeline.engines import engine_for
from pipeline.engines.base import Scene
from pipeline.engines.puppet.acting import Acting, Expression
from pipeline.engines.puppet.blur import mean_of, shutter
from pipeline.engines.puppet.draw import Puppet
from pipeline.engines.puppet.hands import opening, with_hands
from pipeline.engines.puppet.skin import Pose
from pipeline.perception.tracks import Face, Joint, Person
from pipeline.spec import ENGINES, Model, Span

SAMPLE = Path(__file__).parents[2] / "samples" / "character.png"
SCENE = Scene(size=(640, 480), rate=24.0)
FRAMES = 24
#: A face at rest, in the order of ``Face``.
REST = (0, 0, 0, 0.0, 0.38, 0.0, 0.06, 0.06, 0.13, 0.13)


@pytest.fixture(scope="module")
def character() -> Character:
    return make_character(SAMPLE)


def standing(character: Character, frames: int = FRAMES, scale: float = 0.4) -> Person:
    joints = np.tile(character.joints, (frames, 1, 1)).astype(np.float32)
    joints[..., :3] *= scale
    joints[..., :2] += (180, 20)
    joints[..., 3] = 1
    present = np.ones(frames, bool)
    return Person("person_00000001", joints, present, np.zeros(frames, np.int16))


def with_face(person: Person, **acted: np.ndarray) -> Person:
    face = np.tile(np.array(REST, np.float32), (len(person.present), 1))
    for name, values in acted.items():
        face[:, Face[name]] = values
    return replace(person, face=face)


def draw(character: Character, person: Person, span: Span, model: Model = Model.V4) -> list[np.ndarray]:
    return list(engine_for(ENGINES[model]).perform(character, person, span, SCENE))


def rest_pose(puppet: Puppet, turn: complex = 1 + 0j, shift: complex = 0j) -> Pose:
    """The character's own pose, turned, scaled by ``abs(turn)`` and moved."""
    angle = float(np.angle(turn))
    return Pose(puppet.rest * turn + shift, abs(turn), angle, angle, angle, 1.0)


@given(angle=st.floats(-3, 3), scale=st.floats(0.2, 3), x=st.floats(-500, 500), y=st.floats(-500, 500))
@settings(max_examples=15, deadline=None)
def test_a_rigid_move_stays_rigid(
    character: Character, angle: float, scale: float, x: float, y: float
) -> None:
    puppet = Puppet(character, 0.5, "cpu", relaxed=True)
    turn = scale * np.exp(1j * angle)
    places = puppet.places(rest_pose(puppet, complex(turn), complex(x, y)))
    for name, sprite in puppet.sprites.items():
        np.testing.assert_allclose(places[name], sprite.skin.at * turn + complex(x, y), atol=1e-4)


def test_a_bent_limb_is_less_distorted_than_its_skin_and_its_bones_stay(character: Character) -> None:
    skinned, relaxed = Puppet(character, 0.5, "cpu"), Puppet(character, 0.5, "cpu", relaxed=True)
    pose = rest_pose(skinned)
    points = pose.points.copy()
    elbow = points[Point.LEFT_ELBOW]
    hand = [Point.LEFT_WRIST, Point.LEFT_HAND]
    points[hand] = elbow + (points[hand] - elbow) * np.exp(-2.0j)
    bent = replace(pose, points=points)
    stretch = {}
    for kind, puppet in (("skinned", skinned), ("relaxed", relaxed)):
        sides = []
        for name in ("left_upper_arm", "left_forearm"):
            sprite, places = puppet.sprites[name], puppet.places(bent)[name]
            a, b = sprite.mesh.triangles[:, 0], sprite.mesh.triangles[:, 1]
            sides.append(np.abs(places[a] - places[b]) / np.abs(sprite.skin.at[a] - sprite.skin.at[b]))
        stretch[kind] = np.log(np.concatenate(sides)).std()
    assert stretch["relaxed"] < 0.75 * stretch["skinned"]
    for name in ("left_upper_arm", "left_forearm"):
        skin = relaxed.sprites[name].skin
        core = skin.from_bones < 0.3 * skin.reach
        moved = np.abs(relaxed.places(bent)[name] - skinned.places(bent)[name])[core]
        assert moved.mean() < 0.04 * relaxed.unit


def test_the_mouth_opens_with_the_drivers_and_only_the_face_changes(character: Character) -> None:
    jaw = np.where(np.arange(FRAMES) < 12, 0.0, 0.2)
    person = with_face(standing(character), JAW=jaw)
    shut, again, opened = (draw(character, person, Span(0, n, n + 1))[0].astype(int) for n in (2, 5, 20))
    np.testing.assert_array_equal(shut, again)
    changed = np.abs(opened - shut).max(axis=2) > 8
    rows = np.flatnonzero(changed.any(axis=1))
    nose, mouth = (person.joints[0, joint, 1] for joint in (Joint.NOSE, Joint.MOUTH_LEFT))
    assert changed.sum() > 30
    assert rows[0] > nose - 3 and rows[-1] < mouth + 3 * (mouth - nose)


def test_a_face_nobody_saw_stays_as_it_is(character: Character) -> None:
    plain = standing(character)
    blind = replace(plain, face=np.full((FRAMES, len(Face)), np.nan, np.float32))
    for one, other in zip(*(draw(character, p, Span(0, 0, 3)) for p in (plain, blind)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_face_lost_for_some_frames_comes_to_rest_without_a_jump(character: Character) -> None:
    jaw = np.full(FRAMES, 0.15)
    jaw[:4] = 0
    person = with_face(standing(character), JAW=jaw)
    assert person.face is not None
    person.face[12:] = np.nan
    acting = Acting(person, SCENE)
    acted = [acting.expression(n) or Expression() for n in range(FRAMES)]
    gaps = np.array([one.jaw * one.sure for one in acted])
    assert acting.expression(FRAMES - 1) is None
    assert gaps[8] > 0.1 and gaps[-1] == 0
    assert np.abs(np.diff(gaps[6:])).max() < 0.05


def test_who_blinks_shuts_the_eyes_and_who_squints_a_little_does_not(character: Character) -> None:
    eyes = np.full(FRAMES, 0.06)
    eyes[8:11], eyes[16:20] = 0.005, 0.053
    acting = Acting(with_face(standing(character), LEFT_EYE=eyes, RIGHT_EYE=eyes), SCENE)
    blink, squint = acting.expression(9), acting.expression(18)
    assert blink is not None and blink.eyes[0] < 0.1
    assert squint is not None and squint.eyes[0] > 0.95


def test_an_expression_at_rest_is_the_picture(character: Character) -> None:
    visage = Puppet(character, 1.0, "cpu").sprites["head"].visage
    assert visage is not None and visage.able
    own = Puppet(character, 1.0, "cpu").sprites["head"].texture
    at_rest = visage.acting(Expression(jaw=visage.own_gap))
    assert np.abs(at_rest.astype(int) - own).max() <= 2


def test_a_character_without_a_face_and_one_of_four_pixels_are_drawn(character: Character) -> None:
    faceless = replace(character, face=None)
    tiny = with_face(standing(character, 6, 0.004), JAW=np.linspace(0, 0.2, 6))
    for who in (faceless, character):
        frames = draw(who, tiny, Span(0, 0, 6))
        assert all(frame.shape == (480, 640, 4) for frame in frames)
        assert all(0 < np.count_nonzero(frame[..., 3]) < 2000 for frame in frames)


@pytest.mark.parametrize("model", list(Model))
def test_a_video_of_one_frame_and_a_person_who_is_never_there(character: Character, model: Model) -> None:
    (frame,) = draw(character, with_face(standing(character, 1)), Span(0, 0, 1), model)
    assert frame.any()
    nobody = replace(standing(character, 3), present=np.zeros(3, bool))
    nobody = replace(nobody, joints=np.full_like(nobody.joints, np.nan))
    empty = with_face(nobody, JAW=np.full(3, np.nan))
    assert not any(frame.any() for frame in draw(character, empty, Span(0, 0, 3), model))


def test_frames_are_the_same_bytes_in_any_segment_with_face_hands_and_blur(character: Character) -> None:
    n = np.arange(FRAMES)
    person = with_face(
        standing(character),
        JAW=0.1 + 0.1 * np.sin(n),
        LEFT_EYE=0.04 + 0.03 * np.cos(n),
        YAW=0.3 * np.sin(n / 4),
    )
    assert person.face is not None
    person.face[7:9] = np.nan
    person.joints[:, [Joint.LEFT_WRIST, Joint.LEFT_INDEX, Joint.LEFT_PINKY], 1] -= (n * 4)[:, None]
    hands = np.stack([np.stack([hand(k / FRAMES)] * 2) + np.float32((300, 200)) for k in n])
    hands[3] = np.nan
    person = replace(person, hands=hands)
    whole = draw(character, person, Span(0, 0, FRAMES))
    for start, stop in ((0, 1), (6, 10), (FRAMES - 1, FRAMES)):
        for number, frame in enumerate(draw(character, person, Span(2, start, stop)), start):
            np.testing.assert_array_equal(frame, whole[number])


def hand(closed: float) -> np.ndarray:
    """Twenty-one points of a hand that points down; 0 is flat, 1 a fist."""
    points = np.zeros((21, 2), np.float32)
    for finger in range(5):
        x = 4.0 * (finger - 2)
        for joint in range(4):
            flat = 20 + 7 * joint if finger else 6 + 5 * joint
            points[1 + 4 * finger + joint] = (x, flat - closed * 7 * joint)
    return points


def test_a_closing_hand_closes_and_one_not_seen_stays_open(character: Character) -> None:
    person = standing(character)
    hands = np.full((FRAMES, 2, 21, 2), np.nan, np.float32)
    for n in range(FRAMES):
        hands[n, 0] = hand(float(n >= 12)) + np.float32((400, 200))
    person = replace(person, hands=hands)
    opened = opening(person, SCENE)
    assert opened[4, 0] > 0.95 and opened[20, 0] < 0.05
    assert (opened[:, 1] == 1).all()
    joints = with_hands(person).joints
    np.testing.assert_allclose(joints[3, Joint.LEFT_INDEX, :2], hands[3, 0, 5])
    np.testing.assert_array_equal(joints[:, Joint.RIGHT_INDEX], person.joints[:, Joint.RIGHT_INDEX])


def test_a_closed_hand_is_shorter_and_the_arm_is_not(character: Character) -> None:
    puppet = Puppet(character, 1.0, "cpu", relaxed=True)
    pose = rest_pose(puppet)
    skin = puppet.sprites["left_forearm"].skin
    hand_only = skin.weights[2] > 0.9
    spread, fist = (puppet.places(replace(pose, opening=(v, 1.0)))["left_forearm"] for v in (1.0, 0.0))
    wrist = puppet.rest[Point.LEFT_WRIST]
    on_arm = skin.weights[2] == 0
    assert np.abs(fist - wrist)[hand_only].max() < 0.9 * np.abs(spread - wrist)[hand_only].max()
    assert np.abs(fist - spread)[on_arm].max() < 0.02 * puppet.unit


def test_what_stands_still_is_not_blurred_and_what_is_quick_is(character: Character) -> None:
    still = np.array([0j, 10 + 5j])
    assert [stop.tolist() for stop in shutter(still, [still, still + 0.5], 480)] == [still.tolist()]
    stops = shutter(still, [still - 12, still + 12], 480)
    assert len(stops) > 2
    np.testing.assert_allclose(np.mean(stops, axis=0), still)
    plain, blurred = standing(character), standing(character)
    x = 40 * np.sin(np.arange(FRAMES) / 3.0)
    blurred.joints[..., 0] += x[:, None]
    frame = int(np.abs(np.gradient(x)).argmax())
    edges = [
        np.count_nonzero((f[..., 3] > 0) & (f[..., 3] < 255))
        for f in (draw(character, p, Span(0, frame, frame + 1))[0] for p in (plain, blurred))
    ]
    assert edges[1] > 1.5 * edges[0]


def test_the_mean_of_equal_pictures_is_the_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 256, (20, 30, 4), np.uint8)
    np.testing.assert_array_equal(mean_of([picture] * 5, 1.0), picture)
