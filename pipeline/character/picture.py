"""Reading a user's picture: whatever the file says it is, upright 8-bit sRGB and alpha come out."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageCms, ImageOps

from pipeline.errors import OutOfLimits
from pipeline.opening import opened

#: The working picture's longest sides: enough for a 1080p output, little enough to be quick.
_MAX_WIDTH, _MAX_HEIGHT = 1920, 1280
_MIN_SIDE = 16
#: An alpha channel counts when so much of the picture is really see-through, and so much is not.
_SEE_THROUGH, _SOLID = 0.02, 0.01
#: A figure that is cut out stands free: so much of the upper, left and right edge is see-through.
#: A scene in which one colour happens to be marked as transparent has no such edge.
_FREE_EDGE = 0.3

#: A frame is at most so thick (a share of the side), so even, and so far from the picture in colour.
_FRAME, _PLAIN, _STEP = 0.01, 12, 20


def read_picture(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """sRGB uint8 (H, W, 3), and alpha uint8 (H, W) where the file has a real one.

    Turned by its EXIF orientation, reduced to the working size; of an animation the first picture.
    Raises ``UnsupportedFormat``, ``Unreadable`` or ``OutOfLimits`` (a picture so large that it must
    be meant as a bomb, or so narrow that nothing can be seen in it).
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd but harmless metadata
        with opened(path) as picture:
            _check_sides(picture.size)
            # A JPEG decoder can leave out the pixels that would be thrown away.
            picture.draft(None, (2 * _MAX_WIDTH, 2 * _MAX_HEIGHT))
            picture.load()
            return _convert(_upright(_with_true_inks(picture)))


def _check_sides(size: tuple[int, int]) -> None:
    if min(size) < _MIN_SIDE:
        raise OutOfLimits(f"The picture is only {size[0]}x{size[1]} pixels.")


def _with_true_inks(picture: Image.Image) -> Image.Image:
    """CMYK as it is meant: Pillow takes every JPEG's inks as inverted, which only Adobe's are."""
    if picture.mode == "CMYK" and "adobe" not in picture.info:
        info, picture = picture.info, ImageChops.invert(picture)
        picture.info = info
    return picture


def _upright(picture: Image.Image) -> Image.Image:
    """Turned as its camera says; a damaged EXIF block says nothing."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # whatever its parser stumbles over, the pixels are sound
        return picture


def _convert(picture: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    alpha = None
    if picture.mode.startswith(("I", "F")):
        alpha = _marked(picture)
        picture = _from_wide(picture)
    elif picture.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
    elif picture.mode not in ("L", "RGB", "CMYK"):
        picture = picture.convert("RGB")
    if alpha is not None:
        picture = Image.merge("RGBA", (picture, picture, picture, alpha))
    profile = picture.info.get("icc_profile")
    scale = min(1.0, _MAX_WIDTH / picture.width, _MAX_HEIGHT / picture.height)
    if scale < 1:
        size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
        _check_sides(size)
        picture = picture.resize(size, Image.Resampling.LANCZOS)
    rgb = np.array(_to_srgb(picture, profile), np.uint8)
    if picture.mode == "RGBA" and _cuts_out(cut := np.array(picture.getchannel("A"), np.uint8)):
        return rgb, cut
    return _without_frame(rgb), None


def _without_frame(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without a plain line or two along an edge, as screenshots have: what is cut off ends before it."""
    for _ in range(4):
        depth = max(2, round(_FRAME * len(rgb)))
        lines = rgb[-depth - 1 :].astype(np.int16)
        low, high = np.percentile(lines, (3, 97), axis=1)
        plain = (high - low).max(axis=1) < _PLAIN
        other = np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2)) > _STEP
        # The frame begins after the innermost step to lines that are plain from there on.
        starts = [i + 1 for i in np.flatnonzero(other) if plain[i + 1 :].all()]
        if starts:
            # The line before it may be half of each.
            rgb = rgb[: len(rgb) - len(lines) + max(1, starts[0] - 1)]
        rgb = np.rot90(rgb)
    return np.ascontiguousarray(rgb)


def _to_srgb(picture: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB in sRGB: a picture made in a wider space would look pale if its numbers were taken as they are."""
    plain = picture.convert("RGB") if picture.mode == "RGBA" else picture
    if not profile:
        return plain.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() == "GRAY":
            plain = plain.convert("L")
        made = ImageCms.profileToProfile(plain, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return plain.convert("RGB")  # a profile that is damaged, or of another kind of pixels
    return plain.convert("RGB") if made is None else made


def _cuts_out(alpha: NDArray[np.uint8]) -> bool:
    clear = alpha < 8
    edge = np.concatenate([clear[0], clear[:, 0], clear[:, -1]])
    some = clear.mean() > _SEE_THROUGH and (alpha > 200).mean() > _SOLID
    return bool(some and edge.mean() > _FREE_EDGE)


def _marked(picture: Image.Image) -> Image.Image | None:
    """Alpha of a deep gray picture in which one level is marked as transparent."""
    level = picture.info.get("transparency")
    if not isinstance(level, int):
        return None
    return Image.fromarray(np.where(np.asarray(picture) == level, 0, 255).astype(np.uint8))


def _from_wide(picture: Image.Image) -> Image.Image:
    """16 and 32 bits of gray to 8; what has no stated range is taken by its largest value."""
    values = np.asarray(picture)
    if values.dtype == np.uint16:
        eight = np.asarray(values >> 8, np.uint8)
    else:
        top = float(values.max(initial=0))
        full = 65535.0 if picture.mode.startswith("I") and top <= 65535 else max(top, 1.0)
        eight = np.asarray(np.clip(values * (255 / full), 0, 255), np.uint8)
    made = Image.fromarray(eight)
    made.info = dict(picture.info)
    return made
