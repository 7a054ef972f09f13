"""Interlaced video is delivered as whole frames, and only what is interlaced."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import probe, read_frames
from pipeline.ffmpeg.probe import inspect
from pipeline.spec import Span
from tests.pipeline.clips import Frame, ffmpeg
from tests.pipeline.stills import TURNS, quarters, turned, write

SAMPLES = Path(__file__).parents[2] / "samples"


def moving(count: int = 24, width: int = 160, height: int = 96) -> list[Frame]:
    """A blotchy square that moves 3 pixels a frame over lines that stand still."""
    blotches = np.random.default_rng(5).integers(60, 220, (10, 10), np.uint8).repeat(4, 0).repeat(4, 1)
    frames = []
    for number in range(count):
        frame = np.full((height, width), 90, np.uint8)
        frame[64::8] = frame[65::8] = 140
        frame[16:56, 3 * number : 3 * number + 40] = blotches
        frames.append(np.ascontiguousarray(frame[..., None].repeat(3, 2)))
    return frames


def write_fields(path: Path, order: str, frames: list[Frame], rate: str = "30") -> Path:
    """Frames woven two by two into fields, ``order`` = tff or bff, as a camera would."""
    weave = "interleave_top" if order == "tff" else "interleave_bottom"
    vf = f"format=yuv420p,tinterlace={weave},setfield={order}"
    raw = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "rgb24",
        "-s",
        "160x96",
        "-r",
        str(2 * Fraction(rate)),
        "-i",
        "pipe:0",
    ]
    options = ["-vf", vf, "-c:v", "libx264", "-crf", "5", "-flags", "+ilme+ildct", "-x264opts", f"{order}=1"]
    ffmpeg(*raw, *options, path, data=b"".join(frame.tobytes() for frame in frames))
    return path


@pytest.mark.parametrize(("order", "rate"), [("tff", "25"), ("bff", "30000/1001"), ("tff", "30")])
def test_interlaced_video_is_deinterlaced_one_frame_for_each(order: str, rate: str, tmp_path: Path) -> None:
    truth = moving()
    path = write_fields(tmp_path / "fields.mp4", order, truth, rate)

    info = probe(path)
    frames = list(read_frames(path, info))

    assert inspect(path).picture.fields == order
    assert (info.rate, info.frames, len(frames)) == (Fraction(rate), 12, 12)
    ffmpeg("-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", tmp_path / "woven")
    woven = np.fromfile(tmp_path / "woven", np.uint8).reshape(-1, 96, 160, 3)
    for number in range(1, 12):  # the first has no frame before it that shows what stands still
        # The moment of a frame is that of its first field; what stands still keeps all its lines.
        now, later = truth[2 * number], truth[2 * number + 1]
        shown = frames[number]
        assert apart(shown, now) < apart(woven[number], now) / 2
        assert apart(shown, now) < apart(shown, later) / 2
        assert apart(shown[62:], now[62:]) < 3


def apart(one: Frame, other: Frame) -> float:
    """The mean difference, in levels."""
    return float(np.abs(one.astype(int) - other).mean())


def test_a_span_of_interlaced_video_holds_the_same_frames(tmp_path: Path) -> None:
    path = write_fields(tmp_path / "fields.mp4", "tff", moving())
    info = probe(path)
    whole = list(read_frames(path, info))
    for start, stop in ((3, 7), (11, 12)):
        part = list(read_frames(path, info, Span(0, start, stop)))
        assert all((a == b).all() for a, b in zip(part, whole[start:stop], strict=True))


FLAGGED = ["-flags", "+ilme+ildct", "-x264opts", "tff=1", "-c:v", "libx264", "-crf", "5"]


def test_whole_frames_that_are_flagged_as_fields_stay_sharp(tmp_path: Path) -> None:
    truth = moving()
    path = tmp_path / "flagged.mp4"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "160x96", "-r", "30", "-i", "pipe:0"]
    data = b"".join(frame.tobytes() for frame in truth)
    ffmpeg(*raw, "-vf", "format=yuv420p,setfield=tff", *FLAGGED, path, data=data)

    info = probe(path)
    frames = list(read_frames(path, info))

    assert inspect(path).picture.fields is None
    assert info.frames == len(truth)
    assert all(apart(a, b) < 2 for a, b in zip(frames, truth, strict=True))


def test_a_small_figure_that_moves_is_enough_to_tell_whole_frames_from_fields(tmp_path: Path) -> None:
    whole, woven = tmp_path / "whole.mp4", tmp_path / "woven.mp4"
    short = ["-t", "1", "-i", SAMPLES / "driver.mp4", "-an"]
    ffmpeg(*short, "-vf", "scale=426:240,setfield=tff", *FLAGGED, whole)
    ffmpeg(*short, "-vf", "scale=426:240,tinterlace=interleave_top,setfield=tff", *FLAGGED, woven)
    assert inspect(whole).picture.fields is None
    assert inspect(woven).picture.fields == "tff"


def test_what_is_too_still_to_tell_is_taken_at_its_word(tmp_path: Path) -> None:
    path = write(tmp_path / "still.mp4", quarters(), "-vf", "format=yuv420p,setfield=tff", *FLAGGED, count=12)
    info = probe(path)
    assert inspect(path).picture.fields == "tff"
    assert info.frames == len(list(read_frames(path, info))) == 12


@pytest.mark.parametrize("turn", ["90", "180", "mirrored and 90"])
def test_fields_are_made_whole_before_they_are_turned(turn: str, tmp_path: Path) -> None:
    path = write_fields(tmp_path / "fields.mp4", "tff", moving())
    upright = list(read_frames(path, probe(path)))
    matrix, way = TURNS[turn]
    turned(path, matrix)

    frames = list(read_frames(path, probe(path)))

    assert inspect(path).picture.fields == "tff"
    assert all(apart(frame, way(whole)) < 0.2 for frame, whole in zip(frames, upright, strict=True))
