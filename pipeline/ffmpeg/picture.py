"""What has to be done to a stream's pictures before they are plain ones: upright, square, whole, SDR."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from pipeline.errors import Unreadable
from pipeline.ffmpeg.cage import PROBING
from pipeline.ffmpeg.hdr import CURVES
from pipeline.ffmpeg.tool import THREADS, flags, guard, running

#: ffprobe's field orders, whose second letter is the field shown first, by bwdif's names.
_SHOWN_FIRST = {"tt": "tff", "bt": "tff", "bb": "bff", "tb": "bff"}
#: transpose's names of quarter turns, by the signs of what goes from x to y and from y to x.
_TRANSPOSED = {
    **{(True, False): "clock", (False, True): "cclock"},
    **{(True, True): "cclock_flip", (False, False): "clock_flip"},
}
#: How many frames are looked at to tell whether what is said to be interlaced is: as many as this many
#: pixels make (a second or two of broadcast sizes), since each has to be decoded; within limits.
_JUDGED_PIXELS, _FEWEST_JUDGED, _MOST_JUDGED = 120_000_000, 8, 120
#: How much a line has to differ more from the frames beside it than from its neighbours for the frame
#: to be whole. idet's own 1.5 finds none where only a small figure moves, which here is the rule.
_WHOLE_RATIO = 1.05
#: How many whole frames must be seen for each one that is combed, for the file to be wrong.
_WHOLE_PER_COMBED = 4
_ALPHA_FORMATS = ("yuva", "rgba", "bgra", "argb", "abgr", "gbrap", "ya")
#: swscale's names of the matrices that ffprobe names. A decoder may know less than the container does,
#: so its frames are not asked.
_MATRICES = {
    **{"bt709": "bt709", "fcc": "fcc", "smpte240m": "smpte240m", "bt2020nc": "bt2020", "bt2020c": "bt2020"},
    **{"bt470bg": "bt601", "smpte170m": "bt601"},
}


@dataclass(frozen=True, slots=True)
class Picture:
    """How a stream's pictures are coded, where that is not plain."""

    #: The size in square pixels after rotation, before odd sides are cut.
    display: tuple[int, int]
    #: The filters, with their options, that turn and mirror it as the file asks for.
    turn: tuple[tuple[str, ...], ...]
    #: swscale's name of the matrix from YUV to RGB; ``auto`` where there is none (RGB).
    matrix: str
    #: The curve of an HDR picture, one of ``hdr.CURVES``; None for standard range.
    hdr: str | None
    #: ``tff`` or ``bff`` where every frame is two fields, by which is shown first; None for whole frames.
    fields: str | None
    #: Whether an alpha channel is left out.
    alpha: bool


def picture_of(source: str | Path, stream: dict[str, Any]) -> Picture:
    """The pictures of ``stream``, ffprobe's account of it in ``source``, a path or an address."""
    transfer = stream.get("color_transfer")
    alpha = stream.get("pix_fmt", "").startswith(_ALPHA_FORMATS)
    turn = _turn(stream)
    return Picture(
        display=_display_size(stream, turn),
        turn=turn,
        matrix=_matrix(stream),
        hdr=transfer if transfer in CURVES else None,
        fields=_fields(source, stream),
        alpha=alpha or stream.get("tags", {}).get("alpha_mode") == "1",
    )


def _turn(stream: dict[str, Any]) -> tuple[tuple[str, ...], ...]:
    """What the display matrix does, to the nearest right angle.

    Not left to ffmpeg: it would turn fields before they are made whole, and its versions differ where
    a picture is mirrored.
    """
    for data in stream.get("side_data_list", []):
        rows = [line.partition(":")[2].split() for line in data.get("displaymatrix", "").split("\n") if line]
        if len(rows) >= 2:
            (a, b), (c, d) = (map(int, row[:2]) for row in rows[:2])
            if abs(b) > abs(a):
                return (("transpose", _TRANSPOSED[b > 0, c > 0]),)
            return ((("hflip",),) if a < 0 else ()) + ((("vflip",),) if d < 0 else ())
    return ()


def _display_size(stream: dict[str, Any], turn: tuple[tuple[str, ...], ...]) -> tuple[int, int]:
    """Square pixels, upright."""
    width, height = int(stream["width"]), int(stream["height"])
    above, _, below = stream.get("sample_aspect_ratio", "1:1").partition(":")
    if int(below or 0) and Fraction(1, 4) < (aspect := Fraction(int(above), int(below))) < 4:
        width = round(width * aspect)  # other aspects are mistakes of the file
    return (height, width) if turn and turn[0][0] == "transpose" else (width, height)


def _matrix(stream: dict[str, Any]) -> str:
    space = stream.get("color_space", "unknown")
    if space not in {"unknown", "reserved"}:
        return _MATRICES.get(space, "auto")
    if stream.get("color_transfer") in CURVES:
        return "bt2020"
    # What players do with untagged video; swscale would take BT.601 for all.
    return "bt709" if int(stream["height"]) >= 720 or int(stream["width"]) >= 1280 else "bt601"


def _fields(source: str | Path, stream: dict[str, Any]) -> str | None:
    order = _SHOWN_FIRST.get(stream.get("field_order", ""))
    pixels = int(stream["width"]) * int(stream["height"])
    frames = max(_FEWEST_JUDGED, min(_JUDGED_PIXELS // pixels, _MOST_JUDGED))
    return order if order and _is_combed(source, stream["index"], frames) else None


def _is_combed(source: str | Path, stream: int, frames: int) -> bool:
    """Whether the first ``frames`` are combed, or too still to tell.

    Many a camera flags whole frames as interlaced; to take them for fields would halve their lines.
    """
    address, options = guard(source)
    judge = f"idet=prog_thres={_WHOLE_RATIO},metadata=print:file=-"
    options |= {"threads": str(THREADS), "noautorotate": None}
    arguments = ["-nostdin", "-v", "error", *flags(options), "-i", address]
    taken = ["-map", f"0:{stream}", "-frames:v", str(frames), "-vf", judge, "-f", "null", "-"]
    seen = {"tff": 0.0, "bff": 0.0, "progressive": 0.0, "undetermined": 0.0}
    with running("ffmpeg", [*arguments, *taken], reads=[source], limits=PROBING) as child:
        for line in child.stdout:
            name, _, value = line.decode("ascii", "replace").strip().partition("=")
            kind = name.removeprefix("lavfi.idet.multiple.")
            if kind in seen:  # each frame tells the count so far
                seen[kind] = float(value)
        if child.process.wait() != 0:
            raise child.failure("the video cannot be decoded", Unreadable)
    combed, whole = seen["tff"] + seen["bff"], seen["progressive"]
    return whole <= _WHOLE_PER_COMBED * combed or whole < seen["undetermined"]
