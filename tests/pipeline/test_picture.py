"""Whatever kind of PNG, JPG or WebP comes in, the same upright sRGB pixels and alpha come out."""

from __future__ import annotations

import contextlib
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageCms

from pipeline.character.picture import read_picture
from pipeline.errors import MediaError, OutOfLimits, Unreadable, UnsupportedFormat

SAMPLE = Path(__file__).parents[2] / "samples" / "character.png"
#: A quarter of the picture is so red, the rest so gray.
RED, GRAY = (200, 40, 30), (120, 120, 120)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *more: bytes) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(more) + body


def deep_png(pixels: np.ndarray, kind: int, *more: bytes) -> bytes:
    """``pixels`` (H, W, channels) of 16 bits as a PNG, which Pillow itself cannot write."""
    height, width = pixels.shape[:2]
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in pixels)
    return png(width, height, 16, kind, rows, *more)


def patches() -> np.ndarray:
    rgb = np.full((60, 80, 3), GRAY, np.uint8)
    rgb[:30, :40] = RED
    return rgb


def cut_out() -> np.ndarray:
    alpha = np.zeros((60, 80), np.uint8)
    alpha[10:, 20:60] = 255
    return alpha


def looks_like(rgb: np.ndarray, near: float = 6) -> None:
    assert rgb.shape == (60, 80, 3)
    assert rgb.dtype == np.uint8
    np.testing.assert_allclose(rgb[4:26, 4:36].mean((0, 1)), RED, atol=near)
    np.testing.assert_allclose(rgb[34:56, 44:76].mean((0, 1)), GRAY, atol=near)


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_the_three_formats_are_read(tmp_path: Path, kind: str) -> None:
    Image.fromarray(patches()).save(tmp_path / f"a.{kind}")
    rgb, alpha = read_picture(tmp_path / f"a.{kind}")
    looks_like(rgb)
    assert alpha is None


def test_an_ending_that_lies_does_not_matter(tmp_path: Path) -> None:
    Image.fromarray(patches()).save(tmp_path / "a.jpg", format="WEBP", lossless=True)
    looks_like(read_picture(tmp_path / "a.jpg")[0])


@pytest.mark.parametrize("turn", range(1, 9))
def test_a_photo_is_turned_as_its_camera_says(tmp_path: Path, turn: int) -> None:
    as_taken = {
        1: lambda p: p,
        2: lambda p: p[:, ::-1],
        3: lambda p: p[::-1, ::-1],
        4: lambda p: p[::-1],
        5: lambda p: p.transpose(1, 0, 2),
        6: lambda p: np.rot90(p),
        7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
        8: lambda p: np.rot90(p, -1),
    }[turn](patches())
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(np.ascontiguousarray(as_taken)).save(tmp_path / "a.jpg", exif=exif, quality=95)
    looks_like(read_picture(tmp_path / "a.jpg")[0])


def test_a_damaged_exif_block_turns_nothing(tmp_path: Path) -> None:
    Image.fromarray(patches()).save(
        tmp_path / "a.jpg", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff", quality=95
    )
    looks_like(read_picture(tmp_path / "a.jpg")[0])


def test_cmyk_with_the_inverted_inks_of_adobe_is_read(tmp_path: Path) -> None:
    Image.fromarray(patches()).convert("CMYK").save(tmp_path / "a.jpg", quality=97)
    assert b"Adobe" in (tmp_path / "a.jpg").read_bytes(), "as Photoshop does, it is stored inverted"
    looks_like(read_picture(tmp_path / "a.jpg")[0])


def test_cmyk_with_its_inks_as_they_are_is_read(tmp_path: Path) -> None:
    inks = ImageChops.invert(Image.fromarray(patches()).convert("CMYK"))
    inks.save(tmp_path / "a.jpg", quality=97)
    data = (tmp_path / "a.jpg").read_bytes()
    mark = data.index(b"\xff\xee\x00\x0eAdobe")
    (tmp_path / "a.jpg").write_bytes(data[:mark] + data[mark + 16 :])
    looks_like(read_picture(tmp_path / "a.jpg")[0])


def test_a_palette_keeps_its_colours_and_its_transparency(tmp_path: Path) -> None:
    indexed = Image.fromarray(patches()).quantize(4)
    indexed.save(tmp_path / "solid.png")
    looks_like(read_picture(tmp_path / "solid.png")[0])
    pixels = np.asarray(indexed) + 1
    pixels[cut_out() == 0] = 0
    marked = Image.fromarray(pixels.astype(np.uint8), "P")
    marked.putpalette([0, 0, 0, *(indexed.getpalette() or [])])
    marked.save(tmp_path / "marked.png", transparency=0)
    rgb, alpha = read_picture(tmp_path / "marked.png")
    assert alpha is not None
    np.testing.assert_array_equal(alpha, cut_out())
    np.testing.assert_allclose(rgb[50, 50], GRAY, atol=6)


def test_sixteen_bits_a_channel_become_eight(tmp_path: Path) -> None:
    deep = patches().astype(np.uint16) * 257
    alpha = cut_out().astype(np.uint16) * 257
    (tmp_path / "rgb.png").write_bytes(deep_png(deep, 2))
    looks_like(read_picture(tmp_path / "rgb.png")[0], near=1)
    (tmp_path / "rgba.png").write_bytes(deep_png(np.dstack([deep, alpha]), 6))
    rgb, cut = read_picture(tmp_path / "rgba.png")
    assert cut is not None
    np.testing.assert_array_equal(cut, cut_out())
    np.testing.assert_allclose(rgb[50, 50], GRAY, atol=1)


def test_deep_gray_keeps_its_brightness_however_dark_it_is(tmp_path: Path) -> None:
    gray = np.full((60, 80, 1), 20 * 257, np.uint16)
    (tmp_path / "gray.png").write_bytes(deep_png(gray, 0))
    rgb, alpha = read_picture(tmp_path / "gray.png")
    assert alpha is None
    assert np.abs(rgb.astype(int) - 20).max() <= 1


def test_deep_gray_with_one_level_marked_as_transparent_is_cut_out(tmp_path: Path) -> None:
    gray = np.where(cut_out() > 0, 30000, 7).astype(np.uint16)[..., None]
    (tmp_path / "gray.png").write_bytes(deep_png(gray, 0, chunk(b"tRNS", struct.pack(">H", 7))))
    rgb, alpha = read_picture(tmp_path / "gray.png")
    assert alpha is not None
    np.testing.assert_array_equal(alpha, cut_out())
    assert abs(int(rgb[50, 50, 0]) - 117) <= 1


@pytest.mark.parametrize("deep", [False, True])
def test_gray_with_alpha_is_cut_out(tmp_path: Path, deep: bool) -> None:
    gray = np.dstack([np.full((60, 80), 90, np.uint8), cut_out()])
    path = tmp_path / "a.png"
    if deep:
        path.write_bytes(deep_png(gray.astype(np.uint16) * 257, 4))
    else:
        Image.fromarray(gray, "LA").save(path)
    rgb, alpha = read_picture(path)
    assert alpha is not None
    np.testing.assert_array_equal(alpha, cut_out())
    assert (rgb[alpha > 0] == 90).all()


@pytest.mark.parametrize("kind", ["webp", "png"])
def test_of_an_animation_the_first_picture_is_taken(tmp_path: Path, kind: str) -> None:
    first = Image.fromarray(patches())
    second = Image.new("RGB", first.size, (0, 0, 255))
    first.save(tmp_path / f"a.{kind}", save_all=True, append_images=[second], duration=100, quality=95)
    looks_like(read_picture(tmp_path / f"a.{kind}")[0])


def test_a_webp_with_alpha_is_cut_out(tmp_path: Path) -> None:
    Image.fromarray(np.dstack([patches(), cut_out()])).save(tmp_path / "a.webp", lossless=True)
    alpha = read_picture(tmp_path / "a.webp")[1]
    assert alpha is not None
    np.testing.assert_array_equal(alpha, cut_out())


def swapped_profile() -> bytes:
    """sRGB with the primaries of red and blue changed over: what a profile does is plain to see."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = data.index(b"rXYZ"), data.index(b"bXYZ")
    data[red : red + 4], data[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(data)


@pytest.mark.parametrize("alpha", [False, True])
def test_colours_are_brought_from_their_profile_to_srgb(tmp_path: Path, alpha: bool) -> None:
    pixels = np.dstack([patches()[..., ::-1], cut_out()]) if alpha else patches()[..., ::-1]
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.save(tmp_path / "a.png", icc_profile=swapped_profile())
    rgb, cut = read_picture(tmp_path / "a.png")
    looks_like(rgb, near=3)
    assert (cut is not None) == alpha


def test_a_damaged_profile_is_as_none(tmp_path: Path) -> None:
    Image.fromarray(patches()).save(tmp_path / "a.png", icc_profile=b"no profile at all")
    looks_like(read_picture(tmp_path / "a.png")[0], near=0)


def test_a_profile_for_another_kind_of_pixels_is_as_none(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(patches()).convert("CMYK").save(tmp_path / "a.jpg", icc_profile=srgb, quality=97)
    looks_like(read_picture(tmp_path / "a.jpg")[0])


def test_a_picture_with_too_many_pixels_is_outside_the_limits(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png(30000, 30000, 8, 2, b"\x00" * 1000))
    with pytest.raises(OutOfLimits):
        read_picture(tmp_path / "bomb.png")


@pytest.mark.parametrize("size", [(4, 400), (400, 4), (16, 30000), (1, 1)])
def test_a_picture_in_which_nothing_can_be_seen_is_outside_the_limits(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    Image.new("RGB", size).save(tmp_path / "a.png")
    with pytest.raises(OutOfLimits):
        read_picture(tmp_path / "a.png")


def test_a_text_that_unpacks_to_far_more_than_it_is_does_no_harm(tmp_path: Path) -> None:
    text = chunk(b"zTXt", b"Comment\x00\x00" + zlib.compress(b"a" * 70_000_000))
    rows = b"".join(b"\x00" + row.tobytes() for row in patches())
    (tmp_path / "a.png").write_bytes(png(80, 60, 8, 2, rows, text))
    with contextlib.suppress(Unreadable):  # refusing it is as good
        looks_like(read_picture(tmp_path / "a.png")[0])


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", Unreadable),
        (b"a text that calls itself a picture", UnsupportedFormat),
        (b"GIF89a" + b"\x00" * 40, UnsupportedFormat),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", UnsupportedFormat),
    ],
)
def test_what_is_no_picture_is_refused_with_its_code(
    tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(error):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_picture_that_breaks_off_is_unreadable(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{kind}")
    whole = (tmp_path / f"a.{kind}").read_bytes()
    (tmp_path / f"a.{kind}").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Unreadable):
        read_picture(tmp_path / f"a.{kind}")


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_flipped_bytes_give_a_picture_or_a_refusal_and_nothing_else(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(7)
    Image.fromarray(patches()).save(tmp_path / f"a.{kind}")
    whole = np.frombuffer((tmp_path / f"a.{kind}").read_bytes(), np.uint8)
    for _ in range(40):
        damaged = whole.copy()
        damaged[random.integers(0, len(whole), 6)] = random.integers(0, 255, 6)
        (tmp_path / f"b.{kind}").write_bytes(damaged.tobytes())
        with contextlib.suppress(MediaError):
            assert read_picture(tmp_path / f"b.{kind}")[0].shape[2] == 3


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


@pytest.mark.parametrize("turns", range(4))
def test_a_white_line_along_an_edge_is_not_part_of_the_picture(tmp_path: Path, turns: int) -> None:
    noise = np.random.default_rng(2).integers(0, 120, (200, 200, 3), dtype=np.uint8)
    noise[-2:] = 250
    Image.fromarray(np.ascontiguousarray(np.rot90(noise, turns))).save(tmp_path / "a.png")
    rgb, _ = read_picture(tmp_path / "a.png")
    assert rgb.max() < 120
    assert min(rgb.shape[:2]) >= 196


def test_a_plain_sky_is_no_frame(tmp_path: Path) -> None:
    picture = np.random.default_rng(2).integers(0, 120, (200, 200, 3), dtype=np.uint8)
    picture[:60] = 250
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png")[0].shape == (200, 200, 3)
