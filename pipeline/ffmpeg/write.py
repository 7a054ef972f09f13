"""Writers: frames in, a file out that is complete or not there."""

from __future__ import annotations

import math
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import ToolError
from pipeline.ffmpeg.tool import BITEXACT, THREADS, Child, running


def ticks(rate: Fraction) -> tuple[int, int]:
    """The clock of an MP4 track in which every frame of ``rate`` lasts a whole number of ticks.

    (ticks a second, ticks a frame). At least 10 000 a second, as players expect.
    """
    doublings = max(0, math.ceil(math.log2(10_000 / rate.numerator)))
    return rate.numerator << doublings, rate.denominator << doublings


class _Writer:
    """Feeds raw frames to an ffmpeg that writes a hidden file, named at the end."""

    def __init__(
        self, path: Path, shape: tuple[int, ...], pixels: str, rate: Fraction, encode: list[str]
    ) -> None:
        self.path = path
        self.frames = 0
        self._shape = shape
        self._part = path.with_name(f".{path.name}.part")
        raw = ["-f", "rawvideo", "-pix_fmt", pixels, "-video_size", f"{shape[1]}x{shape[0]}"]
        self._arguments = [
            *["-hide_banner", "-loglevel", "error", "-y", "-filter_threads", str(THREADS)],
            *[*raw, "-framerate", str(rate), "-i", "pipe:0"],
            *[*encode, *BITEXACT, f"file:{self._part.absolute()}"],
        ]
        self._stack = ExitStack()
        self._child: Child | None = None

    def __enter__(self) -> Self:
        self._child = self._stack.enter_context(
            running("ffmpeg", self._arguments, writes=[self._part], stdin=True)
        )
        return self

    def write(self, frame: NDArray[np.uint8]) -> None:
        """Append one frame of the writer's shape; raises ``ToolError`` where ffmpeg has ended."""
        if frame.shape != self._shape or frame.dtype != np.uint8:
            raise ValueError(f"a frame is uint8 {self._shape}, not {frame.dtype} {frame.shape}")
        assert self._child is not None
        rest = np.ascontiguousarray(frame).data.cast("B")
        try:
            while rest:
                rest = rest[self._child.stdin.write(rest) :]
        except BrokenPipeError as error:
            raise self._child.failure(f"writing frame {self.frames}", ToolError) from error
        self.frames += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child = self._child
        assert child is not None
        with self._stack:
            try:
                if kind is None:
                    child.stdin.close()
                    # Without frames ffmpeg is content, and leaves a header without a video.
                    if child.process.wait() != 0 or self.frames == 0:
                        raise child.failure(f"writing {self.path.name}", ToolError)
                    self._part.replace(self.path)
            finally:
                if self._part.exists():
                    child.process.kill()
                    child.process.wait()
                    self._part.unlink()


class VideoWriter(_Writer):
    """RGB frames, uint8 ``(height, width, 3)``, to H.264 in MP4, BT.709.

    The same frames give the same bytes on any number of cores: x264's output depends on its threads,
    so they are fixed. Groups of pictures are closed and there are no B-frames, so a frame's time is
    its number over the rate, and segments join by copying. Leaving the block by an exception, or an
    encoder that fails, leaves no file.
    """

    def __init__(self, path: Path, width: int, height: int, rate: Fraction, *, crf: int = 18) -> None:
        if width % 2 or height % 2:
            raise ValueError(f"4:2:0 needs even sides, not {width}x{height}")
        color = [
            "-colorspace",
            "bt709",
            "-color_primaries",
            "bt709",
            "-color_trc",
            "bt709",
            "-color_range",
            "tv",
        ]
        encode = [
            *[
                "-vf",
                "scale=out_color_matrix=bt709:out_range=tv:flags=bicubic+full_chroma_int+bitexact,format=yuv420p",
            ],
            *["-c:v", "libx264", "-preset", "veryfast", "-crf", str(crf), "-profile:v", "high"],
            *["-bf", "0", "-g", str(max(1, round(2 * rate))), "-threads", "2"],
            *["-x264-params", "lookahead-threads=1:sliced-threads=0"],
            *[*color, "-video_track_timescale", str(ticks(rate)[0]), "-f", "mp4"],
        ]
        super().__init__(path, (height, width, 3), "rgb24", rate, encode)


class GrayWriter(_Writer):
    """Mattes, uint8 ``(height, width)``, to lossless FFV1 in Matroska, any size."""

    def __init__(self, path: Path, width: int, height: int, rate: Fraction) -> None:
        # Slices are part of the bytes and would follow the cores if they were not fixed.
        encode = ["-c:v", "ffv1", "-level", "3", "-slices", "4", "-threads", "1", "-g", "1", "-f", "matroska"]
        super().__init__(path, (height, width), "gray", rate, encode)
