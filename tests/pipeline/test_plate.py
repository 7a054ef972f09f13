"""The plate, beside the true background of made scenes."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.errors import ToolError
from pipeline.plate import Plate
from pipeline.plate.artifact import save_plate
from pipeline.plate.views import View
from pipeline.protocol import Item, Progress, Request
from pipeline.spec import Model, plan_for
from tests.pipeline.scenes import HEIGHT, MATTE, WIDTH, Flickering, Handheld, WalkingBlock, plate_of, psnr


def made(request: Request) -> Plate:
    reports: list[Progress | Item] = []
    path = plate_of(request, reports.append)
    assert all(isinstance(event, Progress) for event in reports)
    assert isinstance(reports[-1], Progress) and reports[-1].done == reports[-1].total
    return Plate.load(path)


@pytest.mark.parametrize(
    "scene",
    [WalkingBlock(), WalkingBlock(pan=2.5, speed=5), WalkingBlock(brighter=0.006), Handheld(), Flickering()],
    ids=["still camera", "pan", "light that rises", "from the hand", "light that flickers"],
)
def test_what_was_seen_uncovered_is_the_true_background(scene: WalkingBlock, tmp_path: Path) -> None:
    plate = made(scene.request(tmp_path))
    for number in (0, scene.frames // 2, scene.frames - 1):
        assert psnr(plate.frame(number), scene.background(number)) > 34


def test_no_ghost_of_the_person_is_left(tmp_path: Path) -> None:
    scene = WalkingBlock()
    plate = made(scene.request(tmp_path))
    for number in range(0, scene.frames, 5):
        frame, truth = scene.frame(number).astype(int), scene.background(number).astype(int)
        cleaned = plate.clean(number, scene.frame(number), scene.matte(number)).astype(int)
        error = np.abs(cleaned - truth).max(axis=2)
        ghost = (error > 24) & (np.abs(frame - cleaned).max(axis=2) < error) & scene.mask(number)
        assert ghost.sum() / scene.mask(number).sum() < 0.005


def test_pixels_away_from_the_person_stay_to_the_bit(tmp_path: Path) -> None:
    scene = WalkingBlock()
    plate = made(scene.request(tmp_path))
    frame = scene.frame(10)
    frame[20:40, 280:300] = 255  # something else that moves: a lamp, far from the person
    cleaned = plate.clean(10, frame, scene.matte(10))
    away = np.ones((HEIGHT, WIDTH), bool)
    away[40:, :200] = False
    np.testing.assert_array_equal(cleaned[away], frame[away])


def test_what_the_person_carries_goes_with_them(tmp_path: Path) -> None:
    scene = WalkingBlock()
    plate = made(scene.request(tmp_path))
    frame = scene.frame(10)
    frame[70:80, 105:135] = (250, 240, 0)  # a hat on the block, not in its matte
    cleaned = plate.clean(10, frame, scene.matte(10))
    assert psnr(cleaned[70:80, 105:135], scene.background(10)[70:80, 105:135]) > 30


@pytest.mark.parametrize("left", [100, 118, 146, 190], ids=["behind", "overlapping", "touching", "apart"])
def test_people_who_keep_their_looks_stay_to_the_bit_beside_who_is_taken_out(
    left: int, tmp_path: Path
) -> None:
    scene = WalkingBlock()
    plate = made(scene.request(tmp_path))
    frame, matte, keep = scene.frame(10), scene.matte(10), np.zeros((HEIGHT, WIDTH), np.uint8)
    keep[70:, left : left + 36] = 255
    frame[keep > 0] = (230, 60, 30)
    small = np.asarray(cv2.resize(keep, MATTE, interpolation=cv2.INTER_AREA), np.uint8)
    matte[small > 0] = 0
    cleaned = plate.clean(10, frame, matte, small)
    np.testing.assert_array_equal(cleaned[keep > 0], frame[keep > 0])
    gone = scene.mask(10) & (cv2.dilate(keep, np.ones((7, 7), np.uint8)) == 0)
    if gone.any():
        assert psnr(cleaned[gone], scene.background(10)[gone]) > 28


def test_who_keeps_their_looks_far_away_changes_nothing_else(tmp_path: Path) -> None:
    scene = WalkingBlock()
    plate = made(scene.request(tmp_path))
    keep = np.zeros(MATTE[::-1], np.uint8)
    keep[60:, 150:] = 255
    alone = plate.clean(3, scene.frame(3), scene.matte(3))
    np.testing.assert_array_equal(plate.clean(3, scene.frame(3), scene.matte(3), keep), alone)
    assert not (alone == scene.frame(3)).all()


def test_without_a_person_the_frame_is_its_own_plate(tmp_path: Path) -> None:
    scene = WalkingBlock(frames=4)
    plate = made(scene.request(tmp_path))
    frame = scene.frame(2)
    np.testing.assert_array_equal(plate.clean(2, frame, np.zeros(MATTE[::-1], np.uint8)), frame)


def test_a_person_who_never_leaves_is_filled_with_more_of_the_same(tmp_path: Path) -> None:
    scene = WalkingBlock(speed=0)
    plate = made(scene.request(tmp_path))
    filled = plate.frame(3)[scene.mask(3)]
    wall = plate.frame(3)[~scene.mask(3)]
    assert np.abs(filled.mean(axis=0) - wall.mean(axis=0)).max() < 30
    assert filled.std() > wall.std() / 3
    assert (np.abs(filled.astype(int) - (20, 10, 40)).max(axis=1) > 24).mean() > 0.98


@pytest.mark.parametrize(
    "scene",
    [
        WalkingBlock(frames=1),
        WalkingBlock(frames=2),
        WalkingBlock(frames=3, size=(2, 2)),
        WalkingBlock(frames=3, size=(1, 1), speed=0),
        WalkingBlock(frames=3, size=(3 * WIDTH, HEIGHT), speed=-20),
    ],
    ids=[
        "one frame",
        "fewer than are sampled",
        "a person of four pixels",
        "a person of one",
        "a person who fills the frame",
    ],
)
def test_the_odd_ones_work(scene: WalkingBlock, tmp_path: Path) -> None:
    plate = made(scene.request(tmp_path))
    assert plate.frame(0).shape == (HEIGHT, WIDTH, 3)
    assert plate.clean(0, scene.frame(0), scene.matte(0)).shape == (HEIGHT, WIDTH, 3)


def test_a_shot_in_which_nobody_was_ever_found_is_its_own_plate(tmp_path: Path) -> None:
    scene = WalkingBlock(frames=6, size=(0, 0))
    plate = made(scene.request(tmp_path))
    assert psnr(plate.frame(2), scene.background(2)) > 36
    np.testing.assert_array_equal(plate.clean(2, scene.frame(2), scene.matte(2)), scene.frame(2))


def test_the_same_inputs_make_the_same_bytes_however_the_video_is_cut(tmp_path: Path) -> None:
    scene = WalkingBlock(frames=12)
    plates = []
    for name, pieces in (("one", 300), ("three", 4)):
        folder = tmp_path / name
        folder.mkdir()
        request = scene.request(folder, replace(plan_for(Model.V4), piece_frames=pieces))
        plates.append(plate_of(request).read_bytes())
    assert plates[0] == plates[1]


def test_memory_does_not_grow_with_the_number_of_shots(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    size, count = (320, 180), 60

    def finished() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for _ in views:
            yield random.integers(0, 256, (180, 320, 3), np.uint8), np.ones((1, 3), np.float32)

    views = [View(number, number + 1, size) for number in range(count)]
    tracemalloc.start()
    try:
        save_plate(tmp_path / "plate.npz", size, views, finished())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "plate.npz").stat().st_size > 8_000_000
    assert peak < 2_000_000


def test_a_plate_that_cannot_be_finished_leaves_no_file(tmp_path: Path) -> None:
    request = WalkingBlock(frames=6).request(tmp_path)
    (tmp_path / "matte-0000.mkv").write_bytes(b"")
    with pytest.raises(ToolError):
        plate_of(request)
    assert list(request.out.iterdir()) == []


def test_what_is_taken_out_does_not_depend_on_the_frame_that_was_asked_for_first(tmp_path: Path) -> None:
    scene = WalkingBlock(pan=3.3)
    path = plate_of(scene.request(tmp_path))
    fresh, used = Plate.load(path), Plate.load(path)
    everywhere = np.zeros(MATTE[::-1], np.uint8)
    everywhere[::80, ::150] = 255
    used.clean(2, scene.frame(2), everywhere)
    for plate in (fresh, used):
        plate.clean(3, scene.frame(3), scene.matte(3))
    for number in (9, 17):
        frame, matte = scene.frame(number), scene.matte(number)
        np.testing.assert_array_equal(fresh.clean(number, frame, matte), used.clean(number, frame, matte))
