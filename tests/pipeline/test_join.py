"""What is decided over the whole video: presence, smoothing, shots, ids, the camera's way."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.errors import NoPerson
from pipeline.perception.join import join, join_pieces
from pipeline.perception.pieces import Piece
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


def piece(joints: NDArray[np.float32], start: int = 0, cuts: tuple[int, ...] = (), step: float = 0) -> Piece:
    camera = np.tile(np.eye(3), (len(joints), 1, 1))
    camera[:, 0, 2] = step * np.arange(1 if start else 0, len(joints) + (1 if start else 0))
    light = np.zeros((len(joints), 9, 16, 4), np.uint8)
    return Piece(start, joints, np.array(cuts, np.int64), camera, (853, 480), light)


def test_a_piece_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = piece(standing(4), start=9, cuts=(10,))
    made.save(tmp_path / "piece")
    back = Piece.load(tmp_path / "piece")
    assert (back.start, back.matte_size, back.cuts.tolist()) == (9, (853, 480), [10])
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
    np.testing.assert_allclose(camera[:, 0, 2], 2 * np.arange(90) * 1280 / 853)


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
