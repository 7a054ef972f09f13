"""The one reader of all stages: frames as arrays, streamed, never all in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError, ToolError, Unreadable
from pipeline.ffmpeg.hdr import table_file
from pipeline.ffmpeg.picture import Picture
from pipeline.ffmpeg.probe import Source, inspect
from pipeline.ffmpeg.tool import THREADS, guard, running
from pipeline.spec import Span, VideoInfo

Frame = NDArray[np.uint8]

#: swscale's arithmetic must not depend on the processor it finds; without accurate rounding it makes
#: every frame one level darker.
_SCALE = "accurate_rnd+full_chroma_int+bitexact"
#: How far past the last packet's time the last frame may be held: enough for frames that a decoder
#: loses at a ragged end, too little to hide a broken file.
_HOLD_SECONDS = 0.5
#: Spans that start later than this are found by seeking, to the last key frame at least so far
#: before them; decoding from the start of a long video would cost more with every span.
_SEEK_SECONDS = 3.0
#: Numbers that are given to one ffmpeg to choose from; each makes its command longer.
_MOST_CHOSEN = 500


def read_frames(
    path: Path, info: VideoInfo, span: Span | None = None, size: tuple[int, int] | None = None
) -> Iterator[Frame]:
    """Yield the frames of ``span`` (default: all) as RGB, uint8 ``(height, width, 3)``.

    Upright, in square pixels, an odd last row or column dropped, deinterlaced, HDR brought to standard
    range, alpha left out, scaled to ``size`` = (width, height) where given. ``info`` is what ``probe``
    said of this file. Exactly ``len(span)`` frames, each the same as in a reading of the whole;
    otherwise ``Unreadable``. Closing the iterator ends ffmpeg.
    """
    span = span or Span(0, 0, info.frames)
    yield from _colors(path, info, range(span.start, span.stop), size)


def read_chosen(
    path: Path, info: VideoInfo, numbers: Sequence[int], size: tuple[int, int] | None = None
) -> Iterator[Frame]:
    """Yield the frames of these ``numbers``, which ascend, each the same as ``read_frames`` yields it.

    The frames in between are decoded, and cost nothing more.
    """
    if any(b <= a for a, b in itertools.pairwise(numbers)):
        raise ValueError("the numbers of the chosen frames have to ascend")
    for batch in range(0, len(numbers), _MOST_CHOSEN):
        yield from _colors(path, info, numbers[batch : batch + _MOST_CHOSEN], size)


def _colors(
    path: Path, info: VideoInfo, numbers: Sequence[int], size: tuple[int, int] | None
) -> Iterator[Frame]:
    if not numbers:
        return
    width, height = size or (info.width, info.height)
    source = inspect(path)
    with table_file(source.picture.hdr) as table:
        picture = _shown(source, path, info, numbers)
        picture = _converted(picture, source.picture, info, (width, height), table)
        arguments = _compile(picture, "rgb24", {"frames:v": len(numbers)})
        opened = [path, table] if table else [path]
        yield from _arrays(arguments, opened, (height, width, 3), len(numbers), f"frame {numbers[0]} and on")


def read_gray(
    path: Path, width: int, height: int, start: int = 0, count: int | None = None
) -> Iterator[Frame]:
    """Yield ``count`` frames (default: all) of a matte from frame ``start``, uint8 ``(height, width)``.

    For what ``GrayWriter`` wrote: where fewer are there the user's files are not at fault, so it
    raises ``ToolError``.
    """
    address, options = guard(path)
    picture = ffmpeg.input(address, threads=THREADS, **options)["v:0"].filter("trim", start_frame=start)
    limit = {} if count is None else {"frames:v": count}
    arguments = _compile(picture, "gray", limit)
    yield from _arrays(arguments, [path], (height, width), count, f"matte frame {start} and on", ToolError)


def _shown(
    source: Source, path: Path, info: VideoInfo, numbers: Sequence[int]
) -> ffmpeg.nodes.FilterableStream:
    """The frames of these numbers on the constant grid, as they are coded."""
    timeline, rate = source.timeline, info.rate
    address, options = guard(path)
    first = int(timeline.times[0])
    start = float(numbers[0] / rate)
    if source.seekable and start > _SEEK_SECONDS:
        latest = first + (start - 1) / float(timeline.tick)
        keys = timeline.keys[timeline.keys <= latest]
        if len(keys):
            # Rounded up, so that the key frame itself is not missed for the one before it.
            options |= {"ss": f"{float(int(keys[-1]) * timeline.tick) + 1e-4:.6f}", "seek_timestamp": "1"}
            options |= {"noaccurate_seek": None}
    # Times are kept as the file has them, so that slots are the same wherever decoding starts.
    # Without presentation times only the order is known, and reading starts with the first frame.
    picture = ffmpeg.input(address, threads=THREADS, noautorotate=None, copyts=None, **options)[
        str(source.stream)
    ]
    origin = f"{first}" if timeline.exact else "STARTPTS"
    picture = picture.filter("setpts", f"PTS-{origin}+{timeline.half_slot(rate)}")
    if source.picture.fields:
        # One frame for each: the field shown first, the other's lines filled in where it moves. On the
        # luma of real clips bwdif comes 2 to 6 dB nearer to the truth than yadif, and costs less.
        picture = picture.filter("bwdif", mode="send_frame", parity=source.picture.fields, deint="all")
    fps = {} if "ss" in options else {"start_time": 0}
    # Rounding down after half a slot is rounding to the nearest that keeps a last frame however
    # short it is said to be.
    picture = picture.filter("fps", str(rate), round="down", eof_action="pass", **fps)
    picture = picture.filter("trim", start_pts=numbers[0], end_pts=numbers[-1] + 1)
    if numbers[-1] + 1 >= info.frames:
        held = _HOLD_SECONDS + float(timeline.last * timeline.tick)
        picture = picture.filter("tpad", stop_mode="clone", stop_duration=f"{held:.3f}")
    if len(numbers) <= numbers[-1] - numbers[0]:
        # Before anything that costs: a slot's number is its time here.
        picture = picture.filter("select", _is_one_of(numbers))
    return picture


def _is_one_of(numbers: Sequence[int]) -> str:
    """ffmpeg's expression for a time among ``numbers``: halved, since a long sum is refused."""
    if len(numbers) == 1:
        return f"eq(pts,{numbers[0]})"
    middle = len(numbers) // 2
    return f"if(lt(pts,{numbers[middle]}),{_is_one_of(numbers[:middle])},{_is_one_of(numbers[middle:])})"


def _converted(
    picture: ffmpeg.nodes.FilterableStream,
    coded: Picture,
    info: VideoInfo,
    size: tuple[int, int],
    table: Path | None,
) -> ffmpeg.nodes.FilterableStream:
    """The coded ``picture``, upright, as planes of red, green and blue of ``size``."""
    for name, *how in coded.turn:
        picture = picture.filter(name, *how)
    if coded.display != (info.width, info.height):
        flags = f"bicubic+{_SCALE}"
        picture = picture.filter("scale", *coded.display, flags=flags, in_color_matrix=coded.matrix)
        picture = picture.filter("crop", info.width, info.height, 0, 0)
    way = "area" if size[0] < info.width else "bicubic"
    picture = picture.filter("scale", *size, flags=f"{way}+{_SCALE}", in_color_matrix=coded.matrix)
    if table is not None:
        picture = picture.filter("format", "gbrp16le").filter("lut3d", file=str(table))
        picture = picture.filter("format", "gbrp16le").filter("scale")
    # By way of planes: swscale has no fast way from YUV to packed colours that rounds well.
    return picture.filter("format", "gbrp").filter("scale")


def _compile(picture: ffmpeg.nodes.FilterableStream, pixels: str, limit: dict[str, int]) -> list[str]:
    out = picture.output("pipe:", format="rawvideo", pix_fmt=pixels, fps_mode="passthrough", **limit)
    everywhere = ("-nostdin", "-hide_banner", "-loglevel", "error", "-filter_complex_threads", str(THREADS))
    arguments: list[str] = out.global_args(*everywhere).get_args()
    return arguments


def _arrays(
    arguments: list[str],
    opened: Sequence[Path],
    shape: tuple[int, ...],
    count: int | None,
    what: str,
    kind: type[PipelineError] = Unreadable,
) -> Iterator[Frame]:
    with running("ffmpeg", arguments, reads=opened) as child:
        done = 0
        while count is None or done < count:
            frame = np.empty(shape, np.uint8)
            if not _fill(child.stdout, frame):
                break
            yield frame
            done += 1
        if count is not None and done < count:
            raise child.failure(f"{what}: only {done} of {count} could be read", kind)
        if count is None and child.process.wait() != 0:
            raise child.failure(f"{what}: reading broke off after {done}", kind)


def _fill(pipe: IO[bytes], frame: Frame) -> bool:
    """Read one whole frame; False at the end of the stream."""
    view = frame.data.cast("B")
    while view:
        got = pipe.readinto(view)  # type: ignore[attr-defined]
        if not got:
            if len(view) < frame.nbytes:
                raise ToolError("ffmpeg broke off inside a frame")
            return False
        view = view[got:]
    return True
