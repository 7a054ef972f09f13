"""A user's picture, opened: only the formats that are taken, and never more pixels than fit."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import OutOfLimits, Unreadable, UnsupportedFormat

if TYPE_CHECKING:
    from PIL import Image

#: Pillow knows some forty more.
FORMATS = ("PNG", "JPEG", "WEBP")
#: Twice the largest sides that the farm takes: 200 MB of colours.
MOST_PIXELS = 8192 * 8192
#: What decoders raise on a file that breaks off or contradicts itself; they have no root of their own.
_DAMAGED = (
    *(OSError, ValueError, SyntaxError, EOFError, TypeError, LookupError, ArithmeticError, RuntimeError),
    *(AttributeError, MemoryError, struct.error, zlib.error),
)


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """The picture in the file, of which only the header was read.

    Raises ``UnsupportedFormat``, ``OutOfLimits``, or ``Unreadable``: also for what its decoder raises
    while the block lasts.
    """
    from PIL import Image, UnidentifiedImageError

    # By itself it only warns, and refuses what is twice as large.
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    try:
        with Image.open(path, formats=FORMATS) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise OutOfLimits("The picture has too many pixels.")
            yield picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise OutOfLimits("The picture has too many pixels.") from error
    except UnidentifiedImageError as error:
        if path.stat().st_size == 0:
            raise Unreadable("The picture's file is empty.") from error
        raise UnsupportedFormat("The picture is not a PNG, JPG or WebP.") from error
    except _DAMAGED as error:
        raise Unreadable(f"The picture cannot be read: {error}") from error
