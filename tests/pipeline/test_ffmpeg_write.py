"""Writers leave a whole file or none, with exact times, the same on any number of cores."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.errors import ToolError
from pipeline.ffmpeg import GrayWriter, VideoWriter, probe, read_frames
from pipeline.ffmpeg.write import ticks
from tests.pipeline.clips import numbered, numbers, packets, stream_field

RATES = [
    Fraction(30),
    Fraction(30000, 1001),
    Fraction(16),
    Fraction(25, 2),
    Fraction(120),
    Fraction(2997, 100),
]


@pytest.mark.parametrize("rate", RATES, ids=str)
def test_every_frame_stands_at_its_number_over_the_rate(rate: Fraction, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 160, 96, rate) as writer:
        for number in range(40):
            writer.write(numbered(number))

    info = probe(path)
    tick = Fraction(stream_field(path, "v:0", "time_base"))

    assert [pts * tick for pts, _ in packets(path)] == [number / rate for number in range(40)]
    assert all(duration * tick == 1 / rate for _, duration in packets(path))
    assert (info.rate, info.frames, info.has_sound) == (rate, 40, False)
    assert numbers(read_frames(path, info)) == list(range(40))
    assert ticks(rate)[0] >= 10_000


def test_the_output_says_what_its_colours_are(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, 160, 96, Fraction(30)) as writer:
        writer.write(numbered(1))
    fields = "pix_fmt,color_range,color_space,color_transfer,color_primaries,has_b_frames"
    assert stream_field(path, "v:0", fields).split(",") == ["0", "yuv420p", "tv", *["bt709"] * 3]


@pytest.mark.skipif(sys.platform != "linux", reason="affinity can be set on Linux alone")
def test_the_bytes_do_not_depend_on_the_cores(tmp_path: Path) -> None:
    program = (
        "import os, sys, numpy as np; from pathlib import Path; from fractions import Fraction;"
        "os.sched_setaffinity(0, eval(sys.argv[1])); from pipeline.ffmpeg import GrayWriter, VideoWriter;"
        "noise = np.random.default_rng(3).integers(0, 255, (45, 240, 320, 3), np.uint8) // 3;"
        "folder = Path(sys.argv[2]);\n"
        "with VideoWriter(folder / 'v', 320, 240, Fraction(30)) as v, "
        "GrayWriter(folder / 'g', 320, 240, Fraction(30)) as g:\n"
        "    for frame in noise:\n"
        "        v.write(frame); g.write(frame[..., 0])\n"
    )
    digests = set()
    cores = sorted(os.sched_getaffinity(0))
    for index, allowed in enumerate((cores[:1], cores)):
        folder = tmp_path / str(index)
        folder.mkdir()
        subprocess.run([sys.executable, "-c", program, str(set(allowed)), folder], check=True)
        digests.add(hashlib.sha256((folder / "v").read_bytes() + (folder / "g").read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.mark.parametrize("kind", [VideoWriter, GrayWriter])
def test_an_exception_leaves_no_file(kind: type[VideoWriter | GrayWriter], tmp_path: Path) -> None:
    shape = (96, 160, 3) if kind is VideoWriter else (96, 160)
    with pytest.raises(RuntimeError, match="stop"), kind(tmp_path / "out", 160, 96, Fraction(30)) as writer:
        for _ in range(20):
            writer.write(np.zeros(shape, np.uint8))
        raise RuntimeError("stop")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("old")
    with VideoWriter(path, 160, 96, Fraction(30)) as writer:
        writer.write(numbered(1))
        assert path.read_text() == "old"
    assert probe(path).frames == 1


def test_an_encoder_that_fails_says_why_and_leaves_no_file(tmp_path: Path) -> None:
    folder = tmp_path / "gone"
    with (
        pytest.raises(ToolError, match="No such file"),
        VideoWriter(folder / "o.mp4", 160, 96, Fraction(30)) as w,
    ):
        for number in range(400):
            w.write(numbered(number))
    assert not folder.exists()


def test_a_frame_of_another_shape_is_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="a frame is uint8"),
        VideoWriter(tmp_path / "o", 160, 96, Fraction(30)) as w,
    ):
        w.write(np.zeros((96, 161, 3), np.uint8))
    with pytest.raises(ValueError, match="even sides"):
        VideoWriter(tmp_path / "o", 161, 96, Fraction(30))


def test_a_writing_without_frames_is_an_error_not_an_empty_video(tmp_path: Path) -> None:
    with pytest.raises(ToolError), VideoWriter(tmp_path / "o.mp4", 160, 96, Fraction(30)):
        pass
    assert list(tmp_path.iterdir()) == []
