"""The matte is solid inside and ends where the body ends; the rim has nothing of the background."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from pipeline.character import make_character
from pipeline.character.cutout import extend, fill_texture, pure_colors
from pipeline.character.matting import cut_out
from pipeline.character.palette import likeness
from pipeline.samples import make_character as draw_character
from pipeline.samples.looks import CHARACTER

WIDTH, HEIGHT = 480, 720


@pytest.fixture(scope="module")
def figure(tmp_path_factory: pytest.TempPathFactory) -> tuple[np.ndarray, np.ndarray]:
    """A made character, RGBA, and its joints (33, 4), all seen."""
    path = tmp_path_factory.mktemp("figure") / "one.png"
    joints = draw_character(path, width=WIDTH, height=HEIGHT)
    with Image.open(path) as picture:
        rgba = np.asarray(picture.convert("RGBA"))
    return rgba, np.concatenate([joints, np.zeros((33, 1)), np.ones((33, 1))], axis=1).astype(np.float32)


def over(rgba: np.ndarray, background: np.ndarray) -> np.ndarray:
    alpha = rgba[..., 3:] / 255.0
    return np.rint(rgba[..., :3] * alpha + background * (1 - alpha)).astype(np.uint8)


def scenery() -> np.ndarray:
    """Patches of greens, browns and blues."""
    small = np.random.default_rng(4).integers(0, 3, (18, 12))
    colors = np.array([(60, 120, 50), (110, 80, 50), (90, 140, 190)], np.float64)[small]
    return cv2.resize(colors, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC).clip(0, 255)


def test_a_coarse_mask_becomes_the_bodys_own_outline(figure: tuple[np.ndarray, np.ndarray]) -> None:
    rgba, joints = figure
    truth = rgba[..., 3] / 255.0
    # A detector's mask: a few pixels too large here, too small there, and soft.
    coarse = cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 5)
    alpha = cut_out(over(rgba, scenery()), coarse, joints)
    before = np.abs(coarse - truth).sum()
    assert np.abs(alpha - truth).sum() < 0.5 * before
    found = alpha > 0.5
    assert (found & (truth > 0.5)).sum() / (found | (truth > 0.5)).sum() > 0.96


def test_what_the_mask_has_of_the_background_is_cut_off(figure: tuple[np.ndarray, np.ndarray]) -> None:
    rgba, joints = figure
    truth = rgba[..., 3] / 255.0
    patch = np.zeros_like(truth)
    x, y = joints[25, :2].astype(int)  # beside the left knee
    patch[y : y + 60, x + 20 : x + 60] = 1
    patch *= truth < 0.5
    mask = np.maximum(truth, patch).astype(np.float32)
    alpha = cut_out(over(rgba, np.full((HEIGHT, WIDTH, 3), (60, 120, 50), np.uint8)), mask, joints)
    assert alpha[patch > 0].mean() < 0.1
    assert alpha[truth > 0.9].mean() > 0.98


def test_dark_sleeves_before_a_dark_wall_are_solid(figure: tuple[np.ndarray, np.ndarray]) -> None:
    rgba, joints = figure
    dark = rgba.copy()
    dark[..., :3] = dark[..., :3] // 6 + 8
    # Unsure inside the arms, as detectors are in the dark.
    mask = (dark[..., 3] / 255.0).astype(np.float32)
    for elbow, wrist in ((13, 15), (14, 16)):
        middle = (joints[elbow, :2] + joints[wrist, :2]) / 2
        cv2.circle(mask, middle.astype(int).tolist(), 9, [0.45], -1)
    alpha = cut_out(over(dark, np.full((HEIGHT, WIDTH, 3), 22, np.uint8)), mask, joints)
    for elbow, wrist in ((13, 15), (14, 16)):
        x, y = ((joints[elbow, :2] + joints[wrist, :2]) / 2).astype(int)
        assert alpha[y - 3 : y + 4, x - 3 : x + 4].min() > 0.95


def test_other_peoples_pixels_are_nobodys(figure: tuple[np.ndarray, np.ndarray]) -> None:
    rgba, joints = figure
    truth = (rgba[..., 3] / 255.0).astype(np.float32)
    others = np.zeros((HEIGHT, WIDTH), bool)
    others[:, :100] = True
    alpha = cut_out(over(rgba, scenery()), truth, joints, others)
    assert alpha[others].max() == 0


def test_the_same_picture_gives_the_same_matte_whatever_was_drawn_before(
    figure: tuple[np.ndarray, np.ndarray],
) -> None:
    rgba, joints = figure
    picture, mask = over(rgba, scenery()), (rgba[..., 3] / 255.0).astype(np.float32)
    one = cut_out(picture, mask, joints)
    cv2.setRNGSeed(99)
    np.testing.assert_array_equal(cut_out(picture, mask, joints), one)


def test_the_rim_has_the_bodys_colour_and_not_the_walls() -> None:
    disc = np.zeros((200, 200), np.float32)
    cv2.circle(disc, (100, 100), 60, [1.0], -1)
    alpha = cv2.GaussianBlur(disc, (0, 0), 2.5)
    body = np.full((200, 200, 3), (180.0, 40.0, 30.0))
    body[:100] = (40, 60, 160)
    mixed = np.rint(body * alpha[..., None] + 250 * (1 - alpha[..., None])).astype(np.uint8)
    pure = pure_colors(mixed, alpha).astype(float)
    rim = (alpha > 0.1) & (alpha < 0.9) & (np.abs(np.arange(200) - 100) > 8)[:, None]
    before = np.abs(mixed - body)[rim].mean()
    assert np.abs(pure - body)[rim].mean() < 0.12 * before
    # What is solid is not touched, and beyond the rim the colours go on.
    np.testing.assert_array_equal(pure[alpha > 0.98], mixed[alpha > 0.98])
    assert np.abs(pure[190, 100] - (180, 40, 30)).max() < 30


def test_colours_go_on_from_the_nearest_known_pixel() -> None:
    rgb = np.zeros((20, 40, 3), np.uint8)
    rgb[:, :10], rgb[:, 30:] = 200, 50
    known = np.zeros((20, 40), bool)
    known[:, :10] = known[:, 30:] = True
    far = extend(rgb, known)
    assert (far[:, 12] > 190).all()
    assert (far[:, 27] < 60).all()


def test_a_large_hole_gets_texture_and_only_what_is_known_is_copied() -> None:
    x = np.indices((160, 160))[1]
    stripes = np.where((x // 8) % 2 == 0, 220, 60).astype(np.uint8)
    rgb = np.dstack([stripes, stripes, np.full_like(stripes, 90)])
    known = np.zeros((160, 160), bool)
    known[10:150, 10:150] = True
    rgb[~known] = (0, 255, 0)
    hole = np.zeros_like(known)
    hole[60:100, 40:120] = True
    rgb[hole] = (255, 0, 255)
    filled = fill_texture(rgb, known & ~hole, hole)
    inner = filled[64:96, 44:116].astype(int)
    assert np.ptp(inner[..., 0], axis=1).mean() > 80, "stripes, and not their mean"
    assert np.abs(inner[..., 0] - inner[..., 1]).mean() < 20, "nothing green or violet"


def test_stripes_are_told_from_a_plain_surface_by_all_their_colours() -> None:
    rgb = np.full((60, 120, 3), (60, 120, 50), np.uint8)
    rgb[:, :60:2], rgb[:, 1:60:2] = (240, 240, 230), (30, 140, 150)
    rgb = cv2.resize(rgb, (480, 240), interpolation=cv2.INTER_NEAREST)
    left = np.zeros((240, 480), bool)
    left[:, :240] = True
    like = likeness(rgb, left, ~left)
    assert like[:, 20:220].min() > 1
    assert like[:, 260:460].max() < -1


def test_a_character_is_the_same_to_the_byte_each_time(tmp_path: Path) -> None:
    look = replace(CHARACTER, shirt=(90, 40, 120))
    draw_character(tmp_path / "one.png", width=280, height=420, look=look, scenery=True)
    for name in ("a", "b"):
        make_character(tmp_path / "one.png").save(tmp_path / f"{name}.npz")
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
