"""What is decided over the whole video: presence, smoothing, shots, ids, the camera's way."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import NoPerson
from pipeline.perception.join import join, join_pieces
from pipeline.perception.looks import PLACES
from pipeline.perception.pieces import Piece
from pipeline.perception.sides import mirrored
from pipeline.perception.tracks import JOINTS, Tracks
from pipeline.protocol import Request
from pipeline.spec import Model, RenderSpec, Stage, VideoInfo, plan_for

FRAMES = 90


def video(frames: int = FRAMES) -> VideoInfo:
    return VideoInfo(1280, 720, Fraction(30), frames, has_sound=False, codec="h264")


def standing(frames: int, x: float = 400.0, sure: float = 0.9) -> NDArray[np.float32]:
    """Somebody who stands at ``x``, all joints in a column."""
    joints = np.zeros((frames, JOINTS, 4), np.float32)
    joints[..., 0] = x
    joints[..., 1] = np.linspace(100, 600, JOINTS)
    joints[:, 11, 0], joints[:, 12, 0] = x + 60, x - 60
    joints[..., 3] = sure
    return joints


def piece(
    *people: NDArray[np.float32],
    start: int = 0,
    cuts: tuple[int, ...] = (),
    step: float = 0,
    stride: int = 1,
    colors: tuple[float, ...] = (),
) -> Piece:
    """What ``people`` leave in a piece; ``colors`` are their clothes', by default each their own."""
    frames = len(people[0])
    camera = np.tile(np.eye(3), (frames, 1, 1))
    camera[:, 0, 2] = step * np.arange(1 if start else 0, frames + (1 if start else 0))
    looked = np.arange(start, start + frames) % stride == 0
    joints = np.stack(people)
    joints[:, ~looked] = np.nan
    looks = np.ones((len(people), PLACES, 4), np.float32)
    looks[..., :3] = np.array(colors or 40 * np.arange(1, len(people) + 1))[:, None, None]
    return Piece(
        start=start,
        looked=looked,
        joints=joints,
        looks=looks,
        face=np.zeros((0, frames, 10), np.float32),
        hands=np.zeros((0, frames, 2, 21, 2), np.float32),
        cuts=np.array(cuts, np.int64),
        camera=camera,
        matte_size=(640, 360),
        light=np.zeros((frames, 9, 16, 4), np.uint8),
    )


def walking(frames: int, start: float, stop: float) -> NDArray[np.float32]:
    """Somebody who walks from x = ``start`` to x = ``stop``."""
    joints = standing(frames, x=0)
    joints[..., 0] += np.linspace(start, stop, frames)[:, None]
    return joints


def test_a_piece_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = piece(standing(4), start=9, cuts=(10,))
    made.save(tmp_path / "piece")
    back = Piece.load(tmp_path / "piece")
    assert (back.start, back.matte_size, back.cuts.tolist()) == (9, (640, 360), [10])
    np.testing.assert_array_equal(back.joints, made.joints)


def test_a_boundary_between_pieces_leaves_no_trace() -> None:
    joints = standing(FRAMES)
    joints[..., :2] += np.random.default_rng(4).normal(0, 2, (FRAMES, JOINTS, 2))
    whole = join_pieces([piece(joints)], video())
    parts = join_pieces([piece(joints[:40]), piece(joints[40:], start=40)], video())
    np.testing.assert_array_equal(whole.people[0].joints, parts.people[0].joints)
    assert whole.people[0].id == parts.people[0].id
    assert whole.people[0].id.startswith("person_") and len(whole.people[0].id) == 15


def test_smoothing_never_crosses_a_cut() -> None:
    joints = np.concatenate([standing(45, x=300), standing(45, x=900)])
    tracks = join_pieces([piece(joints, cuts=(45,))], video())
    assert tracks.cuts == (45,)
    np.testing.assert_allclose(tracks.people[0].joints[44, 0, 0], 300, atol=1e-3)
    np.testing.assert_allclose(tracks.people[0].joints[45, 0, 0], 900, atol=1e-3)


def test_nobody_is_invented() -> None:
    absent = np.full((FRAMES, JOINTS, 4), np.nan, np.float32)
    with pytest.raises(NoPerson):
        join_pieces([piece(absent)], video())
    glimpse = absent.copy()
    glimpse[10:13] = standing(3)
    with pytest.raises(NoPerson):
        join_pieces([piece(glimpse)], video())
    with pytest.raises(NoPerson):
        join_pieces([piece(standing(FRAMES, sure=0.2))], video())


def test_a_person_who_leaves_is_absent_then_and_a_missed_frame_is_bridged() -> None:
    joints = standing(FRAMES)
    joints[20:23] = np.nan
    joints[60:] = np.nan
    person = join_pieces([piece(joints)], video()).people[0]
    assert person.present[:60].all() and not person.present[60:].any()
    assert np.isfinite(person.joints[:60]).all() and np.isnan(person.joints[60:]).all()


def test_a_video_of_one_frame_can_have_a_person() -> None:
    person = join_pieces([piece(standing(1))], video(frames=1)).people[0]
    assert person.present.tolist() == [True]


def test_the_cameras_way_is_chained_over_pieces_in_the_frames_own_pixels() -> None:
    parts = [piece(standing(40), step=2), piece(standing(50), start=40, step=2)]
    camera = join_pieces(parts, video()).camera
    assert camera is not None
    np.testing.assert_allclose(camera[:, 0, 2], 2 * np.arange(90) * 1280 / 640)


def test_a_camera_that_zooms_in_every_shot_is_as_well_known_in_the_last() -> None:
    length, shots = 15, 70
    zoom = 0.5 ** (np.arange(1, length + 1) / length)
    ways = np.tile(np.eye(3), (length, 1, 1))
    ways[:, 0, 0] = ways[:, 1, 1] = zoom
    ways[:, 0, 2] = 320 * (1 - zoom)
    starts = range(0, shots * length, length)
    pieces = [
        replace(piece(standing(length), start=start, cuts=(start,) if start else ()), camera=ways)
        for start in starts
    ]
    camera = join_pieces(pieces, video(shots * length)).camera
    assert camera is not None
    np.testing.assert_allclose(camera[-length:], camera[:length], atol=1e-6)


def test_a_camera_that_hardly_trembles_stands_still() -> None:
    assert join_pieces([piece(standing(FRAMES), step=0.005)], video()).camera is None


def test_the_stage_writes_tracks_and_tells_cuts_and_people(tmp_path: Path) -> None:
    files = {}
    for number, part in enumerate([piece(standing(45)), piece(standing(45, x=800), start=45, cuts=(45,))]):
        files[f"piece-{number:04d}"] = tmp_path / f"{number}.npz"
        part.save(files[f"piece-{number:04d}"])
    plan = plan_for(Model.V3)
    done = join(Request(Stage.JOIN, RenderSpec(), plan, tmp_path, files, video()), lambda _: None)
    tracks = Tracks.load(Path(done.files["tracks"]))
    assert done.facts == {"cuts": [45], "people": [tracks.people[0].id]}


def test_two_people_are_two_and_the_larger_leads() -> None:
    small, large = standing(FRAMES, x=300), standing(FRAMES, x=900)
    small[..., 1] = 300 + small[..., 1] / 3
    small[:, 11, 0], small[:, 12, 0] = 320, 280
    tracks = join_pieces([piece(small, large)], video())
    assert [float(person.joints[0, 0, 0]) for person in tracks.people] == [900, 300]
    assert [person.slot[0] for person in tracks.people] == [1, 0]
    assert len({person.id for person in tracks.people}) == 2


def test_who_was_lost_behind_another_comes_out_as_who_they_were() -> None:
    """The one who is hidden gets a new slot, and walks on while nobody sees them."""
    front, behind = walking(FRAMES, 200, 1000), walking(FRAMES, 1000, 200)
    before, after = behind.copy(), behind.copy()
    before[40:], after[:52] = np.nan, np.nan
    tracks = join_pieces([piece(front, before, after, colors=(40, 90, 92))], video())
    assert len(tracks.people) == 2
    hidden = next(person for person in tracks.people if person.slot[0] == 1)
    assert hidden.present.all()
    assert hidden.slot[[0, 45, 89]].tolist() == [1, -1, 2]
    np.testing.assert_allclose(hidden.joints[:, 0, 0], behind[:, 0, 0], atol=12)


def test_slots_of_another_piece_are_matched_by_place() -> None:
    left, right = standing(FRAMES, x=300), standing(FRAMES, x=900)
    parts = [piece(left[:45], right[:45]), piece(right[45:], left[45:], start=45, colors=(80, 40))]
    for person in join_pieces(parts, video()).people:
        assert person.present.all()
        assert len(np.unique(person.joints[:, 0, 0])) == 1
        assert person.slot[0] != person.slot[-1]


def test_at_a_boundary_each_frame_has_the_slots_of_its_own_pieces_mattes() -> None:
    left, right = standing(90, x=300), standing(90, x=900)
    one = piece(left[:45], right[:45], stride=4, colors=(40, 200))
    two = piece(right[45:], left[45:], start=45, stride=4, colors=(200, 40))
    for person in join_pieces([one, two], video()).people:
        at_left = person.joints[0, 0, 0] < 600
        assert set(person.slot[:45]) == {0 if at_left else 1}
        # Frames 45 to 47 are nearer to a look of the piece before, whose numbers mean nothing here.
        assert set(person.slot[45:]) == {1 if at_left else 0}


def test_a_newcomer_is_not_taken_for_who_had_their_number_in_the_piece_before() -> None:
    left, right = standing(90, x=300), standing(90, x=900)
    one = piece(left[:47], stride=4, colors=(40,))
    two = piece(right[47:], left[47:], start=47, stride=4, colors=(200, 40))
    people = join_pieces([one, two], video()).people
    newcomer = next(person for person in people if person.joints[80, 0, 0] > 600)
    assert set(newcomer.slot[:47]) == {-1} and set(newcomer.slot[48:]) == {0}


def test_the_highest_slots_of_a_piece_are_kept() -> None:
    nobody = np.full((FRAMES, JOINTS, 4), np.nan, np.float32)
    (person,) = join_pieces([piece(*[nobody] * 200, standing(FRAMES))], video()).people
    assert set(person.slot) == {200}


def test_across_a_cut_people_are_known_by_their_clothes() -> None:
    first, second = standing(FRAMES, x=300), standing(FRAMES, x=900)
    first[45:], second[45:] = np.nan, np.nan
    third, fourth = standing(FRAMES, x=320), standing(FRAMES, x=880)
    third[:45], fourth[:45] = np.nan, np.nan
    made = piece(first, second, third, fourth, cuts=(45,), colors=(40, 120, 121, 41))
    people = join_pieces([made], video()).people
    assert sorted((int(person.slot[0]), int(person.slot[-1])) for person in people) == [(0, 3), (1, 2)]


def test_the_lead_of_many_short_shots_is_in_all_of_them() -> None:
    shots, length = 60, 15
    frames = shots * length
    people = [np.full((frames, JOINTS, 4), np.nan, np.float32) for _ in range(shots)]
    for shot, joints in enumerate(people):
        own = slice(shot * length, (shot + 1) * length)
        joints[own] = standing(length, x=300 + 400 * (shot % 3))
    cuts = tuple(range(length, frames, length))
    (person,) = join_pieces([piece(*people, cuts=cuts, colors=(90,) * shots)], video(frames)).people
    assert person.present.all()


def test_strangers_on_two_sides_of_a_cut_stay_strangers() -> None:
    first, second = standing(FRAMES, x=300), standing(FRAMES, x=320)
    first[45:], second[:45] = np.nan, np.nan
    people = join_pieces([piece(first, second, cuts=(45,), colors=(40, 160))], video()).people
    assert [person.present.sum() for person in people] == [45, 45]


def test_between_two_looks_joints_lie_on_a_smooth_curve() -> None:
    joints = standing(FRAMES)
    joints[..., 0] += (30 * np.sin(np.arange(FRAMES) / 5))[:, None]
    every = join_pieces([piece(joints)], video()).people[0]
    second = join_pieces([piece(joints, stride=2)], video()).people[0]
    assert second.present.all() and (second.slot == 0).all()
    # Nobody looked at the last frame: there the joints stay where they were.
    assert np.abs(every.joints[:-3, :, 0] - second.joints[:-3, :, 0]).max() < 1.0


@pytest.mark.parametrize("rate", [30, 240])
def test_between_two_looks_a_face_is_known_at_any_rate(rate: int) -> None:
    stride = rate // 15
    one = piece(standing(4 * stride + 1), stride=stride)
    face = np.full((1, len(one.looked), 10), np.nan, np.float32)
    face[0, one.looked] = np.arange(5)[:, None]
    info = replace(video(len(one.looked)), rate=Fraction(rate))
    (person,) = join_pieces([replace(one, face=face)], info).people
    assert person.face is not None
    np.testing.assert_allclose(person.face[:, 0], np.arange(len(one.looked)) / stride, atol=1e-5)


def test_sides_that_jump_over_and_back_are_a_mistake_and_are_mended() -> None:
    joints = standing(FRAMES)
    joints[:, 13:33:2, 0] += 90
    joints[:, 14:33:2, 0] -= 90
    swapped = joints.copy()
    swapped[40:49] = mirrored(joints[40:49])
    mended = join_pieces([piece(swapped)], video()).people[0]
    np.testing.assert_array_equal(mended.joints, join_pieces([piece(joints)], video()).people[0].joints)


def test_somebody_who_turns_round_keeps_their_sides() -> None:
    joints = standing(FRAMES)
    turn = np.cos(np.linspace(0, np.pi, FRAMES))
    joints[:, 11:33:2, 0] = 400 + 80 * turn[:, None]
    joints[:, 12:33:2, 0] = 400 - 80 * turn[:, None]
    person = join_pieces([piece(joints)], video()).people[0]
    assert person.joints[0, 11, 0] > person.joints[0, 12, 0] + 100
    assert person.joints[-1, 11, 0] < person.joints[-1, 12, 0] - 100


def test_a_piece_may_have_two_hundred_finds() -> None:
    nobody = np.full((FRAMES, JOINTS, 4), np.nan, np.float32)
    (person,) = join_pieces([piece(*[nobody] * 200, standing(FRAMES))], video()).people
    assert (person.slot == 200).all()
