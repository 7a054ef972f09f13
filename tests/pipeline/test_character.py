"""A picture becomes a character: whatever the file is, or a clear refusal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.character import Character, make_character
from pipeline.errors import EngineError, NoCharacter

SAMPLE = Path(__file__).parents[2] / "samples" / "character.png"
REAL = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def character() -> Character:
    return make_character(SAMPLE)


def flattened(character: Character) -> np.ndarray:
    """The layers on each other, as they lie in the picture; float RGBA, premultiplied."""
    width, height = character.size
    canvas = np.zeros((height + 40, width + 40, 4), np.float32)
    for layer in character.layers:
        h, w = layer.rgba.shape[:2]
        part = canvas[layer.top + 20 : layer.top + 20 + h, layer.left + 20 : layer.left + 20 + w]
        texture = layer.rgba[: part.shape[0], : part.shape[1]].astype(np.float32) / 255
        alpha = texture[..., 3:]
        part *= 1 - alpha
        part += np.dstack([texture[..., :3] * alpha, alpha])
    return canvas[20 : 20 + height, 20 : 20 + width]


def test_the_layers_together_are_the_character(character: Character) -> None:
    picture = np.asarray(Image.open(SAMPLE), np.float32) / 255
    rows, columns = np.flatnonzero(picture[..., 3].any(1)), np.flatnonzero(picture[..., 3].any(0))
    top, left = max(0, rows[0] - 8), max(0, columns[0] - 8)
    width, height = character.size
    picture = picture[top : top + height, left : left + width]
    drawn = flattened(character)
    solid = picture[..., 3] > 0.99
    assert (drawn[..., 3][solid] > 0.9).mean() > 0.995
    assert drawn[..., 3][picture[..., 3] == 0].max() < 0.05
    off = np.abs(drawn[..., :3] - picture[..., :3])[solid].max(axis=-1)
    assert np.median(off) < 0.02
    assert (off > 0.2).mean() < 0.03


def test_a_whole_body_has_all_ten_layers_and_no_cut(character: Character) -> None:
    assert len(character.layers) == 10
    assert character.has_legs
    assert character.has_arms == (True, True)
    assert character.cut is None


def test_a_body_seen_to_the_waist_is_cut_and_goes_on_below(tmp_path: Path) -> None:
    picture = Image.open(SAMPLE)
    picture.crop((0, 0, picture.width, round(0.45 * picture.height))).save(tmp_path / "waist.png")
    character = make_character(tmp_path / "waist.png")
    assert not character.has_legs
    assert character.cut == character.size[1]
    torso = next(layer for layer in character.layers if layer.name == "torso")
    assert torso.top + torso.rgba.shape[0] > 1.2 * character.size[1]


def test_saving_and_loading_changes_nothing_and_gives_the_same_bytes(
    character: Character, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.npz", tmp_path / "two.npz"
    character.save(one)
    loaded = Character.load(one)
    loaded.save(two)
    assert one.read_bytes() == two.read_bytes()
    assert loaded.size == character.size
    assert loaded.cut == character.cut
    for mine, theirs in zip(loaded.layers, character.layers, strict=True):
        assert (mine.name, mine.left, mine.top) == (theirs.name, theirs.left, theirs.top)
        np.testing.assert_array_equal(mine.rgba, theirs.rgba)


def test_a_broken_character_is_not_the_pictures_fault(tmp_path: Path) -> None:
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(EngineError):
        Character.load(tmp_path / "broken.npz")


def test_a_picture_of_nobody_is_refused(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 320, dtype=np.uint8)
    Image.fromarray(np.dstack([np.tile(ramp, (240, 1))] * 3)).save(tmp_path / "sky.png")
    with pytest.raises(NoCharacter):
        make_character(tmp_path / "sky.png")


def test_a_face_alone_is_refused_and_not_taken_apart(tmp_path: Path) -> None:
    picture = Image.open(SAMPLE)
    picture.crop((0, 0, picture.width, round(0.3 * picture.height))).save(tmp_path / "face.png")
    with pytest.raises(NoCharacter):
        make_character(tmp_path / "face.png")


@pytest.mark.skipif(not REAL.exists(), reason="the real pictures are not here")
@pytest.mark.parametrize("name", ["elf.jpg", "crossed-arms.jpg", "red-jacket.png", "anime.png"])
def test_real_pictures_make_characters_with_both_arms(name: str) -> None:
    character = make_character(REAL / name)
    assert character.has_arms == (True, True)
    assert character.has_legs == (name == "red-jacket.png")
    assert {"torso", "head"} <= {layer.name for layer in character.layers}
