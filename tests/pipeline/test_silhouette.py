"""Figures that only their outline shows are found, jointed and moved; what is no figure is refused."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.character import make_character
from pipeline.character.paper import figure_on_paper
from pipeline.character.silhouette import joints_of_silhouette
from pipeline.character.skeleton import Point, points_of
from pipeline.errors import NoCharacter
from pipeline.ffmpeg import probe, read_frames
from pipeline.perception.tracks import Joint
from pipeline.spec import Span

REAL = Path(__file__).parents[3] / "shared" / "data"
WIDTH, HEIGHT = 420, 560
INK = (60, 40, 140)

#: Where the made figure's joints are.
TRUTH = {
    Point.HEAD: (210, 105),
    Point.LEFT_WRIST: (345, 250),
    Point.RIGHT_WRIST: (75, 250),
    Point.LEFT_KNEE: (252, 420),
    Point.RIGHT_KNEE: (168, 420),
    Point.LEFT_ANKLE: (262, 500),
    Point.RIGHT_ANKLE: (158, 500),
}


def paper(seed: int = 3) -> np.ndarray:
    """A sheet lit from one corner, with the grain of a camera."""
    y, x = np.mgrid[0 : 1 : HEIGHT * 1j, 0 : 1 : WIDTH * 1j]
    light = 225 - 50 * x * y - 15 * y
    grain = np.random.default_rng(seed).normal(0, 2, (HEIGHT, WIDTH, 3))
    return np.clip(light[..., None] * (1, 0.98, 0.94) + grain, 0, 255).astype(np.uint8)


def body(*, arms: tuple[bool, bool] = (True, True), legs: int = 2) -> np.ndarray:
    """The silhouette of a plain figure, uint8 0 or 1."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)

    def limb(*points: tuple[int, int], thick: int) -> None:
        cv2.polylines(mask, [np.array(points, np.int32)], False, [1], thick)

    cv2.circle(mask, (210, 105), 58, [1], -1)
    cv2.ellipse(mask, (210, 260), (62, 105), 0, 0, 360, [1], -1)
    if arms[0]:
        limb((235, 205), (300, 240), (370, 250), thick=36)
    if arms[1]:
        limb((185, 205), (120, 240), (50, 250), thick=36)
    if legs > 1:
        limb((180, 330), (168, 420), (155, 520), thick=44)
        limb((240, 330), (252, 420), (265, 520), thick=44)
    elif legs:
        limb((210, 330), (210, 520), thick=44)
    return mask


def drawn(mask: np.ndarray, *, filled: bool = False, gap: bool = False) -> np.ndarray:
    """The silhouette as a pen drawing: an outline, with a gap of a few pixels where asked."""
    picture = paper()
    lines = np.zeros_like(mask)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(lines, outlines, -1, [1], 7)
    if gap:
        lines[250:260, 145:152] = 0
        lines[40:56, 205:212] = 0
    if filled:
        picture[mask > 0] = (240, 190, 60)
    picture[lines > 0] = INK
    return cv2.GaussianBlur(picture, (3, 3), 0)


@pytest.mark.parametrize("filled", [False, True])
def test_a_drawn_figure_is_cut_out_whole_whether_painted_or_only_outlined(filled: bool) -> None:
    mask = body()
    alpha = figure_on_paper(drawn(mask, filled=filled))
    assert alpha is not None
    # Half of the pen's line lies outside.
    truth = cv2.dilate(mask, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (9, 9))) > 0
    found = alpha > 0.5
    assert (found & truth).sum() / (found | truth).sum() > 0.95


def test_a_gap_in_the_outline_does_not_let_the_figure_run_out() -> None:
    mask = body()
    alpha = figure_on_paper(drawn(mask, gap=True))
    assert alpha is not None
    assert (alpha[mask > 0] > 0.5).mean() > 0.95


def test_the_joints_lie_where_head_hands_and_feet_are() -> None:
    joints = joints_of_silhouette(body().astype(np.float32))
    assert joints is not None
    points = points_of(joints)
    for point, place in TRUTH.items():
        assert np.linalg.norm(points[point, :2] - place) < 32, point.name
    assert (points[:, 3] == 1).all()
    neck, pelvis = points[Point.NECK], points[Point.PELVIS]
    assert 165 < neck[1] < 240
    assert 280 < pelvis[1] < 360


def test_what_lies_beside_a_figure_is_no_part_of_it() -> None:
    thin = cv2.erode(body(), np.ones((15, 15), np.uint8))
    beside = thin.copy()
    cv2.circle(beside, (40, 60), 12, [1], -1)
    alone, other = (joints_of_silhouette(mask.astype(np.float32)) for mask in (thin, beside))
    assert alone is not None and other is not None
    assert np.abs(points_of(alone) - points_of(other))[:, :2].max() < 12


def test_an_arm_that_is_not_there_is_not_seen() -> None:
    joints = joints_of_silhouette(body(arms=(True, False)).astype(np.float32))
    assert joints is not None
    assert joints[Joint.LEFT_WRIST, 3] == 1
    assert joints[Joint.RIGHT_WRIST, 3] == 0
    assert joints[Joint.RIGHT_SHOULDER, 3] == 1, "the trunk has two shoulders all the same"
    assert joints[Joint.RIGHT_SHOULDER, 0] < joints[Joint.LEFT_SHOULDER, 0]


def stick_figure() -> np.ndarray:
    """Strokes alone, and a ring for a head."""
    picture = paper()
    starts = [(210, 150), (210, 200), (210, 200), (210, 330), (210, 330)]
    stops = [(210, 330), (110, 270), (310, 270), (145, 500), (275, 500)]
    for start, stop in zip(starts, stops, strict=True):
        cv2.line(picture, start, stop, INK, 9)
    cv2.circle(picture, (210, 105), 46, INK, 9)
    return picture


def test_a_stick_figure_becomes_a_character(tmp_path: Path) -> None:
    Image.fromarray(stick_figure()).save(tmp_path / "stick.png")
    character = make_character(tmp_path / "stick.png")
    assert character.has_arms == (True, True)
    assert character.has_legs


@pytest.mark.parametrize("height", [120, 300])
def test_a_small_drawing_is_as_good_as_a_large_one(height: int) -> None:
    size = (round(WIDTH * height / HEIGHT), height)
    small = cv2.resize(drawn(body()), size, interpolation=cv2.INTER_AREA)
    alpha = figure_on_paper(small)
    assert alpha is not None
    joints = joints_of_silhouette(alpha)
    assert joints is not None
    points = points_of(joints)
    for point, place in TRUTH.items():
        assert np.linalg.norm(points[point, :2] * HEIGHT / height - place) < 36, point.name


def test_a_drawing_becomes_a_character_with_arms_and_legs(tmp_path: Path) -> None:
    Image.fromarray(drawn(body())).save(tmp_path / "drawing.png")
    character = make_character(tmp_path / "drawing.png")
    assert character.has_arms == (True, True)
    assert character.has_legs
    assert len(character.layers) == 10


@pytest.mark.skipif(not REAL.exists(), reason="the real pictures are not here")
def test_a_childs_pen_drawing_becomes_a_character_with_arms_and_legs() -> None:
    character = make_character(REAL / "drawing.png")
    assert character.has_arms == (True, True)
    assert character.has_legs
    points = points_of(character.joints)
    # Its eyes and mouth are drawn about here; its navel is under its neck.
    assert np.linalg.norm(points[Point.HEAD, :2] - (232, 125)) < 40
    assert points[Point.NECK, 1] < 340 < points[Point.PELVIS, 1] + 60


def noise() -> np.ndarray:
    return np.random.default_rng(5).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def text() -> np.ndarray:
    picture = paper()
    for line in range(12):
        cv2.putText(picture, "to be or not to be", (24, 50 + 42 * line), 0, 1.1, (20, 20, 20), 3)
    return picture


def letter() -> np.ndarray:
    picture = paper()
    cv2.putText(picture, "E", (60, 480), cv2.FONT_HERSHEY_SIMPLEX, 18, (20, 20, 20), 60)
    return picture


def car() -> np.ndarray:
    picture = paper()
    cv2.rectangle(picture, (30, 260), (390, 350), (200, 30, 30), -1)
    cv2.rectangle(picture, (110, 190), (300, 270), (200, 30, 30), -1)
    for x in (110, 310):
        cv2.circle(picture, (x, 350), 44, (20, 20, 20), -1)
    return picture


def tree() -> np.ndarray:
    picture = paper()
    cv2.rectangle(picture, (190, 300), (230, 530), (110, 70, 30), -1)
    cv2.circle(picture, (210, 190), 140, (40, 140, 50), -1)
    return picture


def ball() -> np.ndarray:
    picture = paper()
    cv2.circle(picture, (210, 280), 150, (30, 60, 200), -1)
    return picture


def landscape() -> np.ndarray:
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[:300], picture[300:] = (140, 180, 230), (60, 130, 50)
    hills = np.array([[0, 300], [100, 200], [200, 290], [320, 180], [WIDTH, 300]], np.int32)
    cv2.fillPoly(picture, [hills], (110, 110, 120))
    return picture


@pytest.mark.parametrize(
    "picture", [noise, paper, text, letter, car, tree, ball, landscape], ids=lambda make: make.__name__
)
def test_what_is_no_figure_is_refused(tmp_path: Path, picture) -> None:  # type: ignore[no-untyped-def]
    Image.fromarray(picture()).save(tmp_path / "picture.png")
    with pytest.raises(NoCharacter):
        make_character(tmp_path / "picture.png")


def test_a_shape_with_alpha_that_is_no_figure_is_refused(tmp_path: Path) -> None:
    rgba = np.dstack([car(), np.zeros((HEIGHT, WIDTH), np.uint8)])
    rgba[..., 3] = np.where(np.abs(rgba[..., :3].astype(int) - paper()).max(axis=-1) > 20, 255, 0)
    Image.fromarray(rgba).save(tmp_path / "car.png")
    with pytest.raises(NoCharacter):
        make_character(tmp_path / "car.png")


@pytest.mark.skipif(not REAL.exists(), reason="the real clips are not here")
@pytest.mark.parametrize("frame", [0, 40])
def test_a_bird_and_its_branch_are_refused(tmp_path: Path, frame: int) -> None:
    clip = REAL / "bird.mp4"
    picture = next(iter(read_frames(clip, probe(clip), Span(0, frame, frame + 1))))
    Image.fromarray(picture).save(tmp_path / "bird.png")
    with pytest.raises(NoCharacter):
        make_character(tmp_path / "bird.png")
