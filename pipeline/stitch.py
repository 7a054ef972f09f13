"""The finished video: segments joined by copying, the driving video's sound laid over the whole."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

from pipeline.errors import EngineError, PipelineError
from pipeline.ffmpeg import join, lay_sound, probe, still
from pipeline.ffmpeg.provenance import declare
from pipeline.protocol import Done, Progress, Report, Request

THUMBNAIL_SIDE = 512


def stitch(request: Request, report: Report) -> Done:
    """Make ``output.mp4``, ``thumbnail.jpg`` and, where there are mask segments, ``mask.mp4``.

    Inputs: ``video``, ``segment-0000`` and on, ``mask-0000`` and on. The MP4s say that they were
    generated. No frame is encoded again and
    none is lost: raises ``EngineError`` where the segments do not make up the video's frames.
    """
    video = request.video
    if video is None:
        raise EngineError("stitching needs to know the video")
    output, thumbnail = request.out / "output.mp4", request.out / "thumbnail.jpg"
    masks = _numbered(request, "mask")
    steps = 3 if masks else 2

    # Short programs, of which each waits for little more than its own start: so they run two at a time.
    with ThreadPoolExecutor(1, thread_name_prefix="stitch") as beside:
        looked = beside.submit(probe, request.inputs["video"]) if video.has_sound else None
        joined = request.out / "joined.mp4" if video.has_sound else output
        join(_numbered(request, "segment"), joined, video.rate)
        if looked is not None:
            looked.result()  # what it found out is kept for the sound
            lay_sound(joined, request.inputs["video"], output, Fraction(video.frames) / video.rate)
            joined.unlink()
        declare(output)
        pictured = beside.submit(
            still, output, thumbnail, float(video.frames // 2 / video.rate), THUMBNAIL_SIDE
        )
        _expect(output, video.frames, video.rate)
        report(Progress(1, steps))
        pictured.result()
        report(Progress(2, steps))
    files = {"output": str(output), "thumbnail": str(thumbnail)}

    if masks:
        mask = request.out / "mask.mp4"
        join(masks, mask, video.rate)
        declare(mask)
        _expect(mask, video.frames, video.rate)
        report(Progress(3, steps))
        files["mask"] = str(mask)
    return Done(files, {"frames": video.frames, "duration": video.duration})


def _numbered(request: Request, name: str) -> list[Path]:
    """``name-0000``, ``name-0001``, ... in order; raises where one is missing in between."""
    found = sorted(key for key in request.inputs if key.startswith(f"{name}-"))
    if found != [f"{name}-{index:04d}" for index in range(len(found))]:
        raise EngineError(f"segments are missing: only {', '.join(found)} are there")
    return [request.inputs[key] for key in found]


def _expect(path: Path, frames: int, rate: Fraction) -> None:
    try:
        made = probe(path)
    except PipelineError as error:
        raise EngineError(f"{path.name} cannot be read back: {error}") from error
    if (made.frames, made.rate) != (frames, rate):
        raise EngineError(f"{path.name} has {made.frames} frames at {made.rate}, not {frames} at {rate}")
