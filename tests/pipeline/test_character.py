"""A picture becomes a character: whatever the file is, or a clear refusal."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.character import Character, make_character
from pipeline.character.picture import read_picture
from pipeline.errors import EngineError, NoCharacter, OutOfLimits, Unreadable, UnsupportedFormat

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


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", Unreadable),
        (b"a text that calls itself a picture", UnsupportedFormat),
        (b"GIF89a" + b"\x00" * 40, UnsupportedFormat),
    ],
)
def test_what_is_no_picture_is_refused_with_its_code(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    path = tmp_path / "picture.png"
    path.write_bytes(content)
    with pytest.raises(error):
        read_picture(path)


def test_a_truncated_picture_is_unreadable(tmp_path: Path) -> None:
    whole = SAMPLE.read_bytes()
    (tmp_path / "half.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable):
        read_picture(tmp_path / "half.png")


def test_a_decompression_bomb_is_outside_the_limits(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    rows = chunk(b"IDAT", zlib.compress(b"\x00" * 1000))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + rows + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(bomb)
    with pytest.raises(OutOfLimits):
        read_picture(tmp_path / "bomb.png")


def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right to view
    Image.new("RGB", (80, 40), (200, 30, 30)).save(tmp_path / "turned.jpg", exif=exif)
    rgb, alpha = read_picture(tmp_path / "turned.jpg")
    assert rgb.shape == (80, 40, 3)
    assert alpha is None


@pytest.mark.parametrize("mode", ["CMYK", "P", "L", "1", "I;16", "LA", "RGBA"])
def test_every_kind_of_pixels_becomes_eight_bit_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((60, 60), 40000, np.uint16))
    else:
        picture = Image.new("RGB", (60, 60), (156, 156, 156)).convert(mode)
    path = tmp_path / ("picture.jpg" if mode == "CMYK" else "picture.png")
    picture.save(path)
    rgb, alpha = read_picture(path)
    assert rgb.shape == (60, 60, 3)
    assert rgb.dtype == np.uint8
    assert alpha is None  # a channel that is solid everywhere cuts nothing out
    assert abs(float(rgb.mean()) - 156) < 6 or mode == "1"


def test_alpha_that_cuts_nobody_out_is_not_used(tmp_path: Path) -> None:
    """A whole scene in which one colour is marked as transparent is still a whole scene."""
    scene = SAMPLE.with_name("character_scene.png")
    picture = Image.open(scene).convert("RGB").quantize(16)
    pixels = np.asarray(picture)
    sky = int(np.bincount(pixels[: pixels.shape[0] // 8].ravel()).argmax())
    rows = np.asarray(pixels[4:-4, 4:-4] == sky)
    assert rows.mean() > 0.02, "the colour is a good part of the picture"
    # The frame of the picture is drawn in another colour: no edge stands free.
    framed = np.full_like(pixels, (sky + 1) % 16)
    framed[4:-4, 4:-4] = pixels[4:-4, 4:-4]
    marked = Image.fromarray(framed, "P")
    marked.putpalette(picture.getpalette() or [])
    marked.save(tmp_path / "scene.png", transparency=sky)
    assert read_picture(tmp_path / "scene.png")[1] is None
    assert read_picture(SAMPLE)[1] is not None


def test_a_large_picture_is_reduced_to_the_working_size(tmp_path: Path) -> None:
    Image.new("RGB", (3000, 4000), (9, 9, 9)).save(tmp_path / "large.png")
    rgb, _ = read_picture(tmp_path / "large.png")
    assert rgb.shape == (1280, 960, 3)


@pytest.mark.skipif(not REAL.exists(), reason="the real pictures are not here")
@pytest.mark.parametrize("name", ["elf.jpg", "crossed-arms.jpg", "red-jacket.png", "anime.png"])
def test_real_pictures_make_characters_with_both_arms(name: str) -> None:
    character = make_character(REAL / name)
    assert character.has_arms == (True, True)
    assert character.has_legs == (name == "red-jacket.png")
    assert {"torso", "head"} <= {layer.name for layer in character.layers}
