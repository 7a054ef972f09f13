"""However a driving video is coded, the frames are upright, whole, and of the colours that were meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import probe, read_frames
from pipeline.ffmpeg.probe import inspect
from tests.pipeline.stills import COLORS, TURNS, VP9, X264, X265, coded, corners, quarters, turned, write

FORMATS = {
    "8 bits.mp4": [*coded("yuv420p"), *X264],
    "10 bits.mp4": [*coded("yuv420p10le"), *X265],
    "12 bits.mp4": [*coded("yuv420p12le"), *X265],
    "422.mp4": [*coded("yuv422p"), *X264],
    "422 10 bits.mov": [*coded("yuv422p10le"), "-c:v", "prores_ks", "-profile:v", "3"],
    "444.mp4": [*coded("yuv444p"), *X264],
    "full range.mp4": [*coded("yuv420p", scale="pc"), *X264],
    "full range jpeg.avi": [*coded("yuvj420p", "smpte170m", "pc"), "-c:v", "mjpeg", "-q:v", "2"],
    "601.mp4": [*coded("yuv420p", "smpte170m"), *X264],
    "601 of 625 lines.mp4": [*coded("yuv420p", "bt470bg"), *X264],
    "2020.mp4": [*coded("yuv420p10le", "bt2020nc"), *X265],
    "rgb.mp4": ["-c:v", "libx264rgb", "-crf", "3"],
    "untagged and small.mp4": [
        "-vf", "scale=out_color_matrix=smpte170m:flags=accurate_rnd,format=yuv420p", *X264
    ],
    "vp9.webm": [*coded("yuv420p"), *VP9],
    "vp9 10 bits.webm": [*coded("yuv420p10le"), *VP9],
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_every_way_of_coding_colours_gives_the_same_ones(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / name.replace(" ", "-"), quarters(), *FORMATS[name])

    info = probe(path)
    frames = list(read_frames(path, info))

    assert (info.width, info.height, info.frames, len(frames)) == (96, 64, 3, 3)
    assert np.abs(corners(frames[1]).astype(int) - COLORS).max() <= 4


def test_untagged_video_of_many_lines_is_taken_for_709(tmp_path: Path) -> None:
    convert = "scale=out_color_matrix=bt709:flags=accurate_rnd,format=yuv420p"
    path = write(tmp_path / "large.mp4", quarters(1280, 720), "-vf", convert, *X264, count=1)
    (frame,) = read_frames(path, probe(path))
    assert np.abs(corners(frame).astype(int) - COLORS).max() <= 4


def test_greys_are_neither_darker_nor_lighter_after_a_reading(tmp_path: Path) -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16)
    frame = np.ascontiguousarray(np.repeat(np.repeat(ramp, 16, 0), 16, 1)[..., None].repeat(3, 2))
    path = write(tmp_path / "ramp.mp4", frame, *coded("yuv444p"), "-c:v", "libx264", "-qp", "0", count=1)

    (read,) = read_frames(path, probe(path))

    error = read[8::16, 8::16].astype(int) - frame[8::16, 8::16]
    assert np.abs(error).max() <= 1
    assert abs(error.mean()) < 0.1


@pytest.mark.parametrize("name", TURNS)
def test_a_turned_or_mirrored_video_is_shown_as_a_player_shows_it(name: str, tmp_path: Path) -> None:
    matrix, way = TURNS[name]
    path = write(tmp_path / "phone.mp4", quarters(), *coded("yuv420p"), *X264)
    turned(path, matrix)
    want = way(quarters())

    info = probe(path)
    frame = next(read_frames(path, info))

    assert (info.height, info.width, 3) == want.shape == frame.shape
    assert np.abs(corners(frame).astype(int) - corners(want)).max() <= 4


def test_a_turned_video_of_oblong_pixels_is_stretched_before_it_is_turned(tmp_path: Path) -> None:
    options = [*coded("yuv420p"), *X264, "-aspect", "3:1"]  # 96x64: pixels twice as wide as high
    path = write(tmp_path / "wide.mp4", quarters(), *options)
    turned(path, TURNS["90"][0])
    info = probe(path)
    frame = next(read_frames(path, info))
    assert (info.width, info.height) == (64, 192)
    assert np.abs(corners(frame).astype(int) - np.rot90(COLORS, -1)).max() <= 4


ALPHA = {
    "vp9.webm": [*VP9, "-pix_fmt", "yuva420p", "-auto-alt-ref", "0"],
    "prores.mov": ["-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"],
}


@pytest.mark.parametrize("name", ALPHA)
def test_of_a_transparent_video_the_colours_are_shown_as_they_are_coded(name: str, tmp_path: Path) -> None:
    fade = "scale=out_color_matrix=smpte170m:out_range=tv,format=yuva444p,lut=a=128*gte(val\\,0)"
    tags = ["-colorspace", "smpte170m", "-color_range", "tv"]
    path = write(tmp_path / name, quarters(), "-vf", fade, *tags, *ALPHA[name])

    frame = next(read_frames(path, probe(path)))

    assert inspect(path).picture.alpha
    assert np.abs(corners(frame).astype(int) - COLORS).max() <= 5
