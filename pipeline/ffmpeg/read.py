"""The one reader of all stages: frames as arrays, streamed, never all in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import IO

import ffmpeg
import numpy as np
from numpy.typing import NDArray

from pipeline.errors import PipelineError, ToolError, Unreadable
from pipeline.ffmpeg.probe import Source, inspect
from pipeline.ffmpeg.tool import guard, running
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


def read_frames(
    path: Path, info: VideoInfo, span: Span | None = None, size: tuple[int, int] | None = None
) -> Iterator[Frame]:
    """Yield the frames of ``span`` (default: all) as RGB, uint8 ``(height, width, 3)``.

    Upright, in square pixels, an odd last row or column dropped, scaled to ``size`` = (width, height)
    where given. ``info`` is what ``probe`` said of this file. Exactly ``len(span)`` frames, each the
    same as in a reading of the whole; otherwise ``Unreadable``. Closing the iterator ends ffmpeg.
    """
    span = span or Span(0, 0, info.frames)
    width, height = size or (info.width, info.height)
    arguments = _command(inspect(path), path, info, span, (width, height))
    yield from _arrays(arguments, (height, width, 3), len(span), f"frame {span.start} and on")


def read_gray(
    path: Path, width: int, height: int, start: int = 0, count: int | None = None
) -> Iterator[Frame]:
    """Yield ``count`` frames (default: all) of a matte from frame ``start``, uint8 ``(height, width)``.

    For what ``GrayWriter`` wrote: where fewer are there the user's files are not at fault, so it
    raises ``ToolError``.
    """
    address, options = guard(path)
    picture = ffmpeg.input(address, **options)["v:0"].filter("trim", start_frame=start)
    limit = {} if count is None else {"frames:v": count}
    yield from _arrays(
        _compile(picture, "gray", limit), (height, width), count, f"matte frame {start} and on", ToolError
    )


def _command(source: Source, path: Path, info: VideoInfo, span: Span, size: tuple[int, int]) -> list[str]:
    timeline, rate = source.timeline, info.rate
    address, options = guard(path)
    first = int(timeline.times[0])
    start = float(span.start / rate)
    if source.seekable and start > _SEEK_SECONDS:
        latest = first + (start - 1) / float(timeline.tick)
        keys = timeline.keys[timeline.keys <= latest]
        if len(keys):
            # Rounded up, so that the key frame itself is not missed for the one before it.
            options |= {"ss": f"{float(int(keys[-1]) * timeline.tick) + 1e-4:.6f}", "seek_timestamp": "1"}
            options |= {"noaccurate_seek": None}
    # Times are kept as the file has them, so that slots are the same wherever decoding starts.
    # Without presentation times only the order is known, and reading starts with the first frame.
    picture = ffmpeg.input(address, threads=2, copyts=None, **options)[str(source.stream)]
    origin = f"{first}" if timeline.exact else "STARTPTS"
    picture = picture.filter("setpts", f"PTS-{origin}+{timeline.half_slot(rate)}")
    fps = {} if "ss" in options else {"start_time": 0}
    # Rounding down after half a slot is rounding to the nearest that keeps a last frame however
    # short it is said to be.
    picture = picture.filter("fps", str(rate), round="down", eof_action="pass", **fps)
    picture = picture.filter("trim", start_pts=span.start, end_pts=span.stop)
    if span.stop >= info.frames:
        held = _HOLD_SECONDS + float(timeline.last * timeline.tick)
        picture = picture.filter("tpad", stop_mode="clone", stop_duration=f"{held:.3f}")
    if source.display != (info.width, info.height):
        picture = picture.filter(
            "scale", *source.display, flags=f"bicubic+{_SCALE}", in_color_matrix=source.matrix
        )
        picture = picture.filter("crop", info.width, info.height, 0, 0)
    way = "area" if size[0] < info.width else "bicubic"
    picture = picture.filter("scale", *size, flags=f"{way}+{_SCALE}", in_color_matrix=source.matrix)
    return _compile(picture, "rgb24", {"frames:v": len(span)})


def _compile(picture: ffmpeg.nodes.FilterableStream, pixels: str, limit: dict[str, int]) -> list[str]:
    out = picture.output("pipe:", format="rawvideo", pix_fmt=pixels, fps_mode="passthrough", **limit)
    everywhere = ("-nostdin", "-hide_banner", "-loglevel", "error")
    arguments: list[str] = out.global_args(*everywhere).get_args()
    return arguments


def _arrays(
    arguments: list[str],
    shape: tuple[int, ...],
    count: int | None,
    what: str,
    kind: type[PipelineError] = Unreadable,
) -> Iterator[Frame]:
    with running("ffmpeg", arguments) as child:
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
