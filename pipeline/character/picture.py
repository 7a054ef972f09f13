"""Reading a user's picture: whatever the file says it is, upright 8-bit RGB and alpha come out."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from pipeline.errors import OutOfLimits, Unreadable, UnsupportedFormat

#: The working picture's longest sides: enough for a 1080p output, little enough to be quick.
_MAX_WIDTH, _MAX_HEIGHT = 1920, 1280
_MIN_SIDE = 16
_FORMATS = ("PNG", "JPEG", "WEBP")
#: An alpha channel counts when so much of the picture is really see-through, and so much is not.
_SEE_THROUGH, _SOLID = 0.02, 0.01
#: A figure that is cut out stands free: so much of the upper, left and right edge is see-through.
#: A scene in which one colour happens to be marked as transparent has no such edge.
_FREE_EDGE = 0.3


def read_picture(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    """RGB uint8 (H, W, 3), and alpha uint8 (H, W) where the file has a real one.

    Turned by its EXIF orientation, reduced to the working size. Raises ``UnsupportedFormat``,
    ``Unreadable`` or ``OutOfLimits`` (a picture so large that it must be meant as a bomb).
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=_FORMATS) as picture:
                if min(picture.size) < _MIN_SIDE:
                    raise OutOfLimits(f"The picture is only {picture.size[0]}x{picture.size[1]} pixels.")
                # A JPEG decoder can leave out the pixels that would be thrown away.
                picture.draft("RGB", (2 * _MAX_WIDTH, 2 * _MAX_HEIGHT))
                return _convert(picture)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OutOfLimits("The picture has too many pixels.") from error
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise Unreadable("The picture's file is empty.") from error
        raise UnsupportedFormat("The picture is not a PNG, JPG or WebP.") from error
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise Unreadable(f"The picture cannot be read: {error}") from error


def _convert(picture: Image.Image) -> tuple[NDArray[np.uint8], NDArray[np.uint8] | None]:
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        upright = _from_wide(upright)
    if upright.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
    else:
        rgba = upright.convert("RGB")
    scale = min(1.0, _MAX_WIDTH / rgba.width, _MAX_HEIGHT / rgba.height)
    if scale < 1:
        size = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
        rgba = rgba.resize(size, Image.Resampling.LANCZOS)
    pixels = np.asarray(rgba, np.uint8)
    if rgba.mode == "RGB":
        return np.ascontiguousarray(pixels), None
    alpha = np.ascontiguousarray(pixels[..., 3])
    return np.ascontiguousarray(pixels[..., :3]), alpha if _cuts_out(alpha) else None


def _cuts_out(alpha: NDArray[np.uint8]) -> bool:
    clear = alpha < 8
    edge = np.concatenate([clear[0], clear[:, 0], clear[:, -1]])
    some = clear.mean() > _SEE_THROUGH and (alpha > 200).mean() > _SOLID
    return bool(some and edge.mean() > _FREE_EDGE)


def _from_wide(picture: Image.Image) -> Image.Image:
    """16 and 32 bits of gray to 8; what has no stated range is taken by its largest value."""
    values = np.asarray(picture, np.float64)
    top = float(values.max(initial=0))
    full = 65535.0 if picture.mode.startswith("I") and top <= 65535 else max(top, 1.0)
    return Image.fromarray(np.asarray(np.clip(values / full * 255, 0, 255), np.uint8), "L")
