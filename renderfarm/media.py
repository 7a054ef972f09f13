"""The judge of uploads: what is a picture or a video the farm takes, and what a video costs.

Whatever it refuses, it refuses by raising ``FarmError`` with a code of the public table.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import MediaError, OutOfLimits, PipelineError
from pipeline.ffmpeg import known
from pipeline.ffmpeg.probe import Source, inspect
from pipeline.opening import opened
from pipeline.spec import VideoInfo
from renderfarm.errors import FarmError
from renderfarm.settings import Settings
from renderfarm.storage import Storage

#: How much of a file's start the judges of heads want to see.
HEAD_BYTES = 1024

#: The first boxes of an MP4 or MOV; old QuickTime files have no ``ftyp``.
_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot"})
#: Brands of pictures in the same kind of boxes.
_STILL_BRANDS = frozenset({b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"})
#: What people call the curves.
_HDR_KINDS = {"smpte2084": "HDR10", "arib-std-b67": "HLG"}


@dataclass(frozen=True, slots=True)
class JudgedVideo:
    """A video that is taken, and what its owner should know of how: sentences by topic."""

    video: VideoInfo
    #: What was found out of it, for those who read it (``pipeline.ffmpeg.known``).
    source: str = ""
    notes: Mapping[str, str] = field(default_factory=dict)


def judge_picture_head(head: bytes) -> None:
    """Refuse what is no PNG, JPG or WebP by its first bytes (CS-ORIV-003, empty: CS-ORIV-007)."""
    if not head:
        raise FarmError("CS-ORIV-007", "The picture is empty.")
    if not (
        head.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"))
        or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")
    ):
        raise FarmError("CS-ORIV-003", "The picture is not a PNG, JPG or WebP.")


def judge_video_head(head: bytes) -> None:
    """Refuse what is no MP4, MOV, WebM or AVI by its first bytes (CS-ORIV-003, empty: CS-ORIV-007)."""
    if not head:
        raise FarmError("CS-ORIV-007", "The video is empty.")
    boxed = head[4:8] in _BOXES and head[8:12] not in _STILL_BRANDS
    webm = head.startswith(b"\x1a\x45\xdf\xa3") and b"webm" in head[:HEAD_BYTES]
    avi = head[:4] == b"RIFF" and head[8:12] == b"AVI "
    if not (boxed or webm or avi):
        raise FarmError("CS-ORIV-003", "The video is not an MP4, MOV, WebM or AVI.")


def judge_picture(settings: Settings, storage: Storage, key: str) -> tuple[int, int]:
    """The width and height of a stored picture that can be used.

    The size is judged before a pixel is decoded: 30 KB of PNG can hold 3 GB of them.
    Raises CS-ORIV-006 or CS-ORIV-007.
    """
    with tempfile.TemporaryDirectory() as folder:
        return _judge_picture_file(settings, storage.fetch(key, Path(folder)))


def _judge_picture_file(settings: Settings, path: Path) -> tuple[int, int]:
    try:
        with opened(path) as picture:
            _judge_size(settings, "picture", *picture.size)
            if picture.format == "JPEG":
                picture.draft("RGB", (settings.min_side, settings.min_side))  # an eighth of the work
            picture.load()
            return picture.size
    except OutOfLimits as error:
        raise FarmError("CS-ORIV-006", "The picture has far too many pixels.") from error
    except MediaError as error:
        raise FarmError("CS-ORIV-007", "The picture cannot be read: it is damaged or cut short.") from error


def judge_video(settings: Settings, storage: Storage, key: str) -> JudgedVideo:
    """What a stored video is, when the farm takes it.

    Raises CS-ORIV-003, -004, -006 or -007.
    """
    try:
        source = inspect(storage.source(key))
    except MediaError as error:
        raise FarmError(error.code, f"The driving video was refused: {_plain(error)}.") from error
    except PipelineError as error:
        raise FarmError("CS-UORC01-199", "The driving video could not be examined.") from error
    # The size first: it says more than the length does of a file that is wrong in both.
    _judge_size(settings, "driving video", *source.picture.display)
    judge_length(settings, source.info)
    return JudgedVideo(source.info, known.dumps(source), _notes(source))


def judge_length(settings: Settings, video: VideoInfo) -> None:
    """Refuse a video that is too short (CS-ORIV-006) or too long (CS-ORIV-004)."""
    if video.duration < settings.min_seconds:
        message = f"The driving video lasts {video.duration:.2f} s; {settings.min_seconds:g} s are needed."
        raise FarmError("CS-ORIV-006", message)
    if (video.frames - 1) / video.rate > settings.max_seconds:
        message = f"The driving video lasts {video.duration:.1f} s; {settings.max_seconds} s are the most."
        raise FarmError("CS-ORIV-004", message)


def _notes(source: Source) -> dict[str, str]:
    """What is shown otherwise than it came."""
    (width, height), picture, notes = source.picture.display, source.picture, {}
    if width % 2:
        notes["width"] = f"The last column was left out: a width of {width} pixels is odd."
    if height % 2:
        notes["height"] = f"The last row was left out: a height of {height} pixels is odd."
    if not source.constant:
        rate = f"{float(source.info.rate):.5g}"
        notes["rate"] = f"The video's frame rate varies: its frames were laid on a constant {rate} a second."
    if picture.hdr:
        kind = _HDR_KINDS[picture.hdr]
        notes["hdr"] = f"The video is HDR ({kind}): its colours were brought to standard range."
    if picture.fields:
        notes["fields"] = "The video is interlaced: the two fields of each frame were made one whole picture."
    if picture.alpha:
        notes["alpha"] = "The video's transparency was left out: its colours are shown as they are."
    return notes


def _judge_size(settings: Settings, what: str, width: int, height: int) -> None:
    if not (settings.min_side <= min(width, height) and max(width, height) <= settings.max_side):
        raise FarmError(
            "CS-ORIV-006",
            f"The {what} is {width}x{height} pixels; "
            f"each side has to be {settings.min_side} to {settings.max_side}.",
        )


def _plain(error: Exception) -> str:
    """The error's own sentence, without the words of the program behind it: those name our paths."""
    return str(error).partition(" (ff")[0]
