"""The reader streams, scales, keeps colours, and leaves no process behind."""

from __future__ import annotations

import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest

from pipeline.errors import ToolError, Unreadable
from pipeline.ffmpeg import GrayWriter, VideoWriter, probe, read_chosen, read_frames, read_gray
from pipeline.ffmpeg.tool import running
from pipeline.spec import Span
from tests.pipeline.clips import HEIGHT, WIDTH, ffmpeg, number_of, numbered, numbers, write_numbered


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_numbered(tmp_path_factory.mktemp("long") / "long.mp4", 900, "-c:v", "libx264", "-g", "60")


def test_frames_are_scaled_where_asked(long: Path) -> None:
    frames = list(read_frames(long, probe(long), Span(0, 20, 23), size=(40, 24)))
    assert [frame.shape for frame in frames] == [(24, 40, 3)] * 3
    assert numbers(frames) == [20, 21, 22]


def test_frames_are_the_callers_to_change(long: Path) -> None:
    first, second = read_frames(long, probe(long), Span(0, 5, 7))
    first[:] = 0
    assert number_of(second) == 6


def test_a_closed_reader_leaves_no_process(long: Path) -> None:
    frames = read_frames(long, probe(long))
    next(frames)
    assert [child.name() for child in psutil.Process().children()].count("ffmpeg") == 1
    frames.close()  # type: ignore[attr-defined]
    assert "ffmpeg" not in [child.name() for child in psutil.Process().children()]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_killed_process_takes_its_ffmpeg_with_it(long: Path) -> None:
    program = (
        "import os, sys, psutil; from pathlib import Path; from pipeline.ffmpeg import probe, read_frames;"
        "p = Path(sys.argv[1]); frames = read_frames(p, probe(p)); next(frames);"
        "print(psutil.Process().children()[0].pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", program, long], capture_output=True, text=True, check=False)
    pid, deadline = int(done.stdout), time.monotonic() + 10
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "ffmpeg outlived its parent"


def test_fewer_frames_than_promised_are_an_error(long: Path) -> None:
    info = probe(long)
    with pytest.raises(Unreadable, match="of 100 could be read"):
        list(read_frames(long, info, Span(0, 850, 950)))


def test_a_file_damaged_after_its_probe_is_an_error(long: Path, tmp_path: Path) -> None:
    path = tmp_path / "damaged.mp4"
    ffmpeg("-i", long, "-c", "copy", "-movflags", "+faststart", path)
    info, data = probe(path), bytearray(path.read_bytes())
    data[len(data) // 4 :] = bytes(len(data) - len(data) // 4)
    path.write_bytes(data)
    with pytest.raises(Unreadable):
        list(read_frames(path, info))


def test_a_killed_ffmpeg_is_not_the_videos_fault(long: Path) -> None:
    arguments = ["-nostdin", "-re", "-i", str(long), "-f", "null", "-"]
    with running("ffmpeg", arguments) as child:
        child.process.kill()
        assert isinstance(child.failure("reading", Unreadable), ToolError)


@pytest.mark.parametrize("tag", ["bt709", "smpte170m"])
def test_colours_survive_a_reading_and_a_writing(tag: str, tmp_path: Path) -> None:
    colors = np.array([[200, 40, 40], [40, 180, 60], [50, 60, 210], [230, 200, 60]], np.uint8)
    frame = np.ascontiguousarray(np.repeat(np.repeat(colors[None], 64, 0), 16, 1))
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "64x64", "-i", "pipe:0"]
    matrix = ["-vf", f"scale=out_color_matrix={tag}:out_range=tv,format=yuv444p", "-colorspace", tag]
    ffmpeg(*raw, *matrix, "-c:v", "libx264", "-crf", "4", tmp_path / "in.mp4", data=frame.tobytes())

    (read,) = read_frames(tmp_path / "in.mp4", probe(tmp_path / "in.mp4"))
    with VideoWriter(tmp_path / "out.mp4", 64, 64, Fraction(30)) as writer:
        writer.write(read)
    (again,) = read_frames(tmp_path / "out.mp4", probe(tmp_path / "out.mp4"))

    middle = (slice(8, 56), [8, 24, 40, 56])
    assert np.abs(read[middle].astype(int) - colors).max() <= 3
    assert np.abs(again[middle].astype(int) - colors).max() <= 6


def test_mattes_come_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    mattes = [rng.integers(0, 256, (53, 95), np.uint8) for _ in range(20)]
    with GrayWriter(tmp_path / "matte.mkv", 95, 53, Fraction(30000, 1001)) as writer:
        for matte in mattes:
            writer.write(matte)

    whole = list(read_gray(tmp_path / "matte.mkv", 95, 53))
    part = list(read_gray(tmp_path / "matte.mkv", 95, 53, start=7, count=5))

    assert len(whole) == 20
    assert all((a == b).all() for a, b in zip(whole, mattes, strict=True))
    assert all((a == b).all() for a, b in zip(part, mattes[7:12], strict=True))
    with pytest.raises(ToolError, match="only 2 of 5"):
        list(read_gray(tmp_path / "matte.mkv", 95, 53, start=18, count=5))


def test_a_missing_video_is_unreadable_and_a_missing_matte_is_not_the_videos_fault(tmp_path: Path) -> None:
    with pytest.raises(ToolError):
        list(read_gray(tmp_path / "none.mkv", 8, 8))
    with pytest.raises(Unreadable, match=r"no file none\.mp4"):
        probe(tmp_path / "none.mp4")


def test_the_numbers_in_the_bars_can_be_read() -> None:
    assert [number_of(numbered(n, WIDTH, HEIGHT)) for n in (0, 1, 511, 900)] == [0, 1, 511, 900]


@pytest.mark.parametrize("size", [None, (40, 24)])
def test_chosen_frames_are_those_of_a_reading_of_all(long: Path, size: tuple[int, int] | None) -> None:
    info = probe(long)
    whole = list(read_frames(long, info, size=size))
    for chosen in ([0, 1, 7, 40, 899], [450, 451, 452], list(range(0, 900, 13)), [899], []):
        found = list(read_chosen(long, info, chosen, size=size))
        assert all((a == whole[n]).all() for a, n in zip(found, chosen, strict=True))


def test_more_frames_can_be_chosen_than_one_ffmpeg_is_given(long: Path) -> None:
    chosen = [number for number in range(800) if number % 3]
    assert numbers(read_chosen(long, probe(long), chosen)) == chosen


@pytest.mark.parametrize("chosen", [[3, 2], [4, 4]])
def test_chosen_frames_have_to_ascend(long: Path, chosen: list[int]) -> None:
    with pytest.raises(ValueError, match="ascend"):
        next(read_chosen(long, probe(long), chosen))


def test_a_chosen_frame_that_is_not_there_is_an_error(long: Path) -> None:
    with pytest.raises(Unreadable, match="only 1 of 2"):
        list(read_chosen(long, probe(long), [10, 950]))


def test_a_file_that_changed_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_numbered(path, 10, "-c:v", "libx264")
    assert (probe(path).frames, probe(path).frames) == (10, 10)
    write_numbered(path, 12, "-c:v", "libx264")
    assert probe(path).frames == 12
    path.unlink()
    with pytest.raises(Unreadable, match="no file"):
        probe(path)
