"""Streams put together without touching a frame: segments joined, sound laid over, a still taken."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import EngineError, ToolError
from pipeline.ffmpeg.boxes import encoding_of
from pipeline.ffmpeg.probe import Source, inspect
from pipeline.ffmpeg.provenance import TAG
from pipeline.ffmpeg.tool import BITEXACT, flags, guard, run, running
from pipeline.ffmpeg.write import ticks

_AAC_PACKET = 1024  # samples
_AAC_RATES = frozenset({16_000, 22_050, 24_000, 32_000, 44_100, 48_000})


def join(segments: Sequence[Path], path: Path, rate: Fraction) -> None:
    """Write the frames of ``segments``, in order, to the MP4 ``path`` without encoding them again.

    Frame i stands at exactly i / ``rate``. Raises ``EngineError`` where the segments were not
    encoded alike: a player would show garbage from the first that differs.
    """
    if not segments:
        raise EngineError("there are no segments to join")
    first = encoding_of(segments[0])
    for segment in segments:
        if encoding_of(segment) != first:
            raise EngineError(f"{segment.name} was encoded otherwise than {segments[0].name}")
    listing = path.with_name(f".{path.name}.segments")
    listing.write_text("ffconcat version 1.0\n" + "".join(f"file {_quoted(s)}\n" for s in segments))
    clock, frame = ticks(rate)
    try:
        run(
            [
                # The listing is our own, of our own files: the one place where concat is let in.
                *[
                    "-f",
                    "concat",
                    "-safe",
                    "0",
                    "-protocol_whitelist",
                    "file",
                    "-i",
                    f"file:{listing.absolute()}",
                ],
                *["-map", "0:v:0", "-c", "copy", "-bsf:v", f"setts=ts=N*{frame}:duration={frame}"],
                *["-video_track_timescale", str(clock), "-movflags", "+faststart"],
                *[*BITEXACT, *TAG, "-f", "mp4", f"file:{path.absolute()}"],
            ],
            "joining the segments",
            ToolError,
            reads=[listing, *segments],
            writes=[path],
        )
    finally:
        listing.unlink()


def lay_sound(picture: Path, video: Path, path: Path, duration: Fraction) -> None:
    """Write ``picture`` (an MP4) with the sound of ``video`` to ``path``, in step with its frames.

    The sound starts where it starts in ``video``, counted from the first frame there, and is never
    longer than ``duration`` seconds. AAC that starts with the picture is copied; other sound is
    encoded once, with silence for what is missing at its start.
    """
    source = inspect(video)
    if source.sound is None:
        raise ValueError(f"{video.name} has no sound")
    address, options = guard(video)
    before, after = _copied(source, duration) if source.sound.copyable else _encoded(source, duration)
    run(
        [
            *["-i", f"file:{picture.absolute()}", *flags(options), *before, "-copyts", "-i", address],
            *["-map", "0:v:0", "-c:v", "copy", *after, "-movflags", "+faststart"],
            *[*BITEXACT, *TAG, "-f", "mp4", f"file:{path.absolute()}"],
        ],
        "laying the sound over the picture",
        reads=[picture, video],
        writes=[path],
    )


def _copied(source: Source, duration: Fraction) -> tuple[list[str], list[str]]:
    """Options before and after the second input, whose packets are taken as they are."""
    assert source.sound is not None
    last = duration - Fraction(_AAC_PACKET, source.sound.sample_rate)
    before = ["-itsoffset", f"{-source.start:.6f}", "-t", f"{max(float(last), 0.001):.6f}"]
    return before, ["-map", f"1:{source.sound.stream}", "-c:a", "copy"]


def _encoded(source: Source, duration: Fraction) -> tuple[list[str], list[str]]:
    """Options before and after the second input, whose sound is filled, cut and encoded."""
    assert source.sound is not None
    rate = source.sound.sample_rate if source.sound.sample_rate in _AAC_RATES else 48_000
    # Whole packets: a last one that is padded would outlast the picture.
    samples = int(duration * rate) // _AAC_PACKET * _AAC_PACKET
    chain = [
        f"asetpts=PTS-({source.start:.6f}/TB)",
        f"aresample={rate}:async=1:first_pts=0",
        "aformat=sample_fmts=fltp:channel_layouts=stereo|mono",
        f"atrim=end_sample={samples}",
    ]
    graph = f"[1:{source.sound.stream}]{','.join(chain)}[sound]"
    return [], ["-filter_complex", graph, "-map", "[sound]", "-c:a", "aac", "-b:a", "160k"]


def lay_samples(picture: Path, samples: NDArray[np.int16], sample_rate: int, path: Path) -> None:
    """Write ``picture`` with the sound of ``samples`` ``(count, channels)``, encoded as AAC, to ``path``."""
    raw = ["-f", "s16le", "-ar", str(sample_rate), "-ac", str(samples.shape[1]), "-i", "pipe:0"]
    arguments = [
        *["-hide_banner", "-loglevel", "error", "-y", "-i", f"file:{picture.absolute()}", *raw],
        *["-map", "0:v:0", "-map", "1:a:0", "-c:v", "copy", "-c:a", "aac", "-b:a", "128k"],
        *["-movflags", "+faststart", *BITEXACT, "-f", "mp4", f"file:{path.absolute()}"],
    ]
    with running("ffmpeg", arguments, reads=[picture], writes=[path], stdin=True) as child:
        rest = memoryview(samples.astype("<i2").tobytes())
        try:
            while rest:
                rest = rest[child.stdin.write(rest) :]
            child.stdin.close()
        except BrokenPipeError as error:
            raise child.failure("encoding the sound", ToolError) from error
        if child.process.wait() != 0:
            raise child.failure("encoding the sound", ToolError)


def still(video: Path, path: Path, second: float, side: int) -> None:
    """Write the frame that our MP4 ``video`` shows at ``second`` as a JPEG, fit into ``side`` pixels."""
    fit = f"scale={side}:{side}:force_original_aspect_ratio=decrease:flags=area+accurate_rnd+bitexact"
    run(
        [
            *["-ss", f"{second:.6f}", "-i", f"file:{video.absolute()}", "-map", "0:v:0", "-frames:v", "1"],
            *["-vf", f"{fit}:in_color_matrix=bt709:out_color_matrix=bt601:out_range=pc,format=yuvj420p"],
            *["-c:v", "mjpeg", "-q:v", "3", "-threads", "1", "-update", "1"],
            *[*BITEXACT, "-f", "image2", f"file:{path.absolute()}"],
        ],
        "taking the thumbnail",
        ToolError,
        reads=[video],
        writes=[path],
    )


def _quoted(path: Path) -> str:
    """A file's name as a concat listing wants it."""
    return "'" + f"file:{path.absolute()}".replace("'", r"'\''") + "'"
