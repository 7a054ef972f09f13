"""The samples are ours, small, always the same, and their truth is true."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.ffmpeg import probe, read_frames, read_gray
from pipeline.samples import JOINTS, Scene, make_character, make_driver
from pipeline.spec import Span
from tests.pipeline.clips import clicks_in

COMMITTED = Path(__file__).resolve().parents[2] / "samples"
SMALL = Scene(width=480, height=270, seconds=2.0, rate=Fraction(10))
#: Joints that lie well inside the body's outline.
INNER = [JOINTS.index(f"{side}_{joint}") for side in ("left", "right") for joint in ("hip", "knee", "elbow")]


def test_the_committed_samples_are_small_and_what_they_should_be() -> None:
    files = [COMMITTED / name for name in ("character.png", "character_scene.png", "driver.mp4")]
    assert sum(path.stat().st_size for path in files) < 1_500_000
    with Image.open(files[0]) as character, Image.open(files[1]) as scene:
        alpha = np.asarray(character)[..., 3]
        assert (character.mode, scene.mode) == ("RGBA", "RGB")
        assert alpha[0, 0] == alpha[-1, -1] == 0
        assert 0.2 < (alpha == 255).mean() < 0.6
    driver = probe(files[2])
    assert (driver.width, driver.height, driver.rate, driver.frames) == (1280, 720, 30, 180)
    assert driver.has_sound


def test_the_music_keeps_the_beat_of_the_dance() -> None:
    beats = clicks_in(COMMITTED / "driver.mp4")
    on_the_beat = [beat for beat in np.arange(0, 6, 0.5) if min(abs(beat - click) for click in beats) < 0.005]
    assert len(on_the_beat) == 12


def test_the_detector_finds_the_dancer_where_the_truth_says(tmp_path: Path) -> None:
    from pipeline.perception.still import find_person

    truth = make_driver(tmp_path / "driver.mp4", Scene(seconds=6.0, rate=Fraction(5, 2), sound=False))
    frames = read_frames(tmp_path / "driver.mp4", probe(tmp_path / "driver.mp4"))
    body = [
        JOINTS.index(f"{side}_{j}")
        for side in ("left", "right")
        for j in ("shoulder", "elbow", "wrist", "hip", "knee")
    ]
    errors = []
    for frame, joints in zip(frames, truth.joints, strict=True):
        found = find_person(frame)
        assert found is not None
        torso = float(np.linalg.norm(joints[[11, 12]].mean(0) - joints[[23, 24]].mean(0)))
        errors.append(np.linalg.norm(found.joints[body, :2] - joints[body], axis=1) / torso)
    assert np.mean(errors) < 0.08


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    make_driver(folder / "driver.mp4", SMALL, mask=folder / "mask.mkv").save(folder / "truth.npz")
    return folder


def test_a_made_driver_is_as_long_and_large_as_asked(small: Path) -> None:
    info = probe(small / "driver.mp4")
    assert (info.width, info.height, info.rate, info.frames) == (480, 270, 10, 20)
    assert info.has_sound
    assert sorted(path.name for path in small.iterdir()) == ["driver.mp4", "mask.mkv", "truth.npz"]


def test_the_truth_fits_the_frames(small: Path) -> None:
    truth = np.load(small / "truth.npz", allow_pickle=False)
    frames = list(read_frames(small / "driver.mp4", probe(small / "driver.mp4")))
    masks = list(read_gray(small / "mask.mkv", 480, 270))

    assert truth["joints"].shape == (20, len(JOINTS), 2)
    assert tuple(truth["names"]) == JOINTS
    assert len(frames) == len(masks) == 20
    above = slice(0, 190)  # the floor has the dancer's shadow
    for frame, mask, joints in zip(frames, masks, truth["joints"], strict=True):
        gap = np.abs(frame.astype(int) - truth["background"]).mean(-1)
        assert gap[above][mask[above] == 0].mean() < 5
        assert gap[mask == 255].mean() > 40
        assert all(mask[round(float(y)), round(float(x))] > 127 for x, y in joints[INNER])


def test_the_dance_moves_but_planted_feet_stay(small: Path) -> None:
    joints = np.load(small / "truth.npz")["joints"] / (0.72 * 270)
    travel = np.ptp(joints, axis=0).max(-1)
    assert min(travel[JOINTS.index("left_wrist")], travel[JOINTS.index("right_wrist")]) > 0.25
    toes = joints[:, [JOINTS.index("left_foot_index"), JOINTS.index("right_foot_index")], 1]
    assert toes.max() - np.median(toes) < 0.01  # nobody sinks into the floor


def test_a_swinging_camera_is_part_of_the_truth(tmp_path: Path) -> None:
    scene = Scene(width=320, height=180, seconds=1.5, rate=Fraction(4), sound=False, swing=0.1)
    truth = make_driver(tmp_path / "driver.mp4", scene)
    info = probe(tmp_path / "driver.mp4")
    last = next(read_frames(tmp_path / "driver.mp4", info, Span(0, 5, 6)))

    moved = int(truth.shifts[-1])
    assert moved > 20
    assert not info.has_sound
    corner = last[:80, : 100 - moved].astype(int)
    assert np.abs(corner - truth.background[:80, moved:100]).mean() < 8


def test_a_character_is_drawn_the_same_every_time(tmp_path: Path) -> None:
    joints = make_character(tmp_path / "one.png", width=140, height=220)
    make_character(tmp_path / "two.png", width=140, height=220)
    make_character(tmp_path / "scene.png", width=140, height=220, scenery=True)
    with Image.open(tmp_path / "one.png") as picture, Image.open(tmp_path / "scene.png") as scene:
        alpha = np.asarray(picture)[..., 3]
        assert (picture.size, scene.size, scene.mode) == ((140, 220), (140, 220), "RGB")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert all(alpha[round(float(y)), round(float(x))] == 255 for x, y in joints[INNER])


def test_the_committed_pictures_are_what_the_maker_makes(tmp_path: Path) -> None:
    make_character(tmp_path / "character.png")
    with Image.open(tmp_path / "character.png") as made, Image.open(COMMITTED / "character.png") as kept:
        gap = np.abs(np.asarray(made).astype(int) - np.asarray(kept))
    assert gap.max() <= 2
