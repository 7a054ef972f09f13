"""Whatever carries it, sound is heard with the frame that it belongs to, and no frame is lost for it."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import VideoWriter, lay_sound, probe, read_frames
from tests.pipeline.clips import (
    SAMPLE_RATE,
    clicks_in,
    ffmpeg,
    numbers,
    packets,
    stream_field,
    write_clicks,
    write_numbered,
)

COUNT, RATE = 75, 30
CLICKS = (0.5, 1.25, 2.0)
#: Half a frame for where in its slot a frame is shown, half for what a codec smears.
ONE_FRAME = 1 / RATE


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """75 numbered frames at 30 a second, a click with the frames 15, 37 and 60; nothing is lossy or late."""
    folder = tmp_path_factory.mktemp("straight")
    wav = write_clicks(folder / "clicks.wav", COUNT / RATE, *CLICKS)
    video = ("-c:v", "libx264", "-qp", "12", "-g", "15", "-pix_fmt", "yuv420p", "-c:a", "pcm_s16le")
    return write_numbered(folder / "straight.mov", COUNT, "-i", str(wav), *video)


def performed(video: Path, path: Path) -> tuple[Path, list[int]]:
    """The video drawn again frame by frame, with its sound; and the frames' numbers."""
    info, silent = probe(video), path.with_name("silent.mp4")
    with VideoWriter(silent, info.width, info.height, info.rate) as writer:
        for frame in read_frames(video, info):
            writer.write(frame)
    lay_sound(silent, video, path, info.frames / info.rate)
    made = probe(path)
    assert (made.frames, made.rate, made.has_sound) == (info.frames, info.rate, True)
    tick = Fraction(stream_field(path, "v:0", "time_base"))
    assert [pts * tick for pts, _ in packets(path)] == [n / made.rate for n in range(made.frames)]
    assert float(stream_field(path, "a:0", "duration")) <= made.duration + 1e-6
    return path, numbers(read_frames(path, made))


def expect_in_step(video: Path, path: Path, clicks: tuple[float, ...] = CLICKS) -> None:
    """Each click is heard while the frame is shown that it was made with, give or take one."""
    output, shown = performed(video, path)
    heard, rate = clicks_in(output), float(probe(output).rate)
    assert len(heard) == len(clicks)
    for moment, click in zip(heard, clicks, strict=True):
        number = shown[int(moment * rate + 0.01)]
        assert number / RATE == pytest.approx(click, abs=ONE_FRAME + 1e-3)


PCM = ("-c:a", "pcm_s16le")
X264 = ("-c:v", "libx264", "-bf", "3", "-pix_fmt", "yuv420p")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime")
VARIABLE = ("-vf", "select=not(between(n\\,20\\,23))*not(eq(mod(n\\,9)\\,4))", "-fps_mode", "vfr")

CARRIERS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"pcm at {rate}": ("mov", ("-c:v", "copy", *PCM, "-ar", str(rate)))
       for rate in (11025, 96000)},
    "aac at 8000": ("mp4", ("-c:v", "copy", "-c:a", "aac", "-ar", "8000")),
    "mono aac": ("mp4", ("-c:v", "copy", "-c:a", "aac", "-ac", "1")),
    "mono mp3": ("mp4", ("-c:v", "copy", "-c:a", "libmp3lame", "-ac", "1")),
    "six channels of ac3": ("mp4", ("-c:v", "copy", "-c:a", "ac3", "-ac", "6")),
    "six channels of opus": ("webm", (*VP8, "-c:a", "libopus", "-ac", "6")),
    "opus in mp4": ("mp4", ("-c:v", "copy", "-c:a", "libopus")),
    "flac": ("mp4", ("-c:v", "copy", "-c:a", "flac", "-strict", "-2")),
    "vorbis": ("webm", (*VP8, "-c:a", "libvorbis")),
    "pcm in avi": ("avi", ("-c:v", "mpeg4", "-q:v", "3", *PCM)),
    "B-frames in avi": ("avi", ("-c:v", "mpeg4", "-bf", "2", "-q:v", "3", "-c:a", "libmp3lame")),
    "B-frames without an edit list": ("mp4", (*X264, "-c:a", "aac", "-use_editlist", "0")),
    "negative offsets": ("mp4", (*X264, "-c:a", "aac", "-movflags", "negative_cts_offsets")),
    "fragments": ("mp4", (*X264, "-c:a", "aac", "-movflags", "frag_keyframe+empty_moov+default_base_moof")),
    "a coarse clock": ("mp4", (*X264, "-c:a", "aac", "-video_track_timescale", "600")),
    "a variable rate": ("mp4", (*VARIABLE, *X264, "-c:a", "aac")),
    "a variable rate in webm": ("webm", (*VARIABLE, *VP8, "-c:a", "libopus")),
    "a hole in the sound": (
        "mp4", ("-c:v", "copy", "-af", "aselect=not(between(t\\,0.8\\,1.1))", "-c:a", "aac")
    ),
    "a hole in opus": (
        "webm", (*VP8, "-af", "aselect=not(between(t\\,0.8\\,1.1))", "-c:a", "libopus")
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CARRIERS)
def test_sound_of_every_kind_is_in_step(name: str, straight: Path, tmp_path: Path) -> None:
    container, options = CARRIERS[name]
    video = tmp_path / f"driver.{container}"
    ffmpeg("-i", straight, *options, video)
    expect_in_step(video, tmp_path / "output.mp4")


KINDS = {
    "aac.mp4": (*X264, "-c:a", "aac"),
    "mp3.mp4": (*X264, "-c:a", "libmp3lame"),
    "pcm.mov": (*X264, *PCM),
    "opus.webm": (*VP8, "-c:a", "libopus"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [0.02])
def test_sound_that_starts_after_the_picture_is_in_step(
    kind: str, start: float, straight: Path, tmp_path: Path
) -> None:
    video = tmp_path / kind
    ffmpeg("-i", straight, "-af", f"atrim=start={start}", *KINDS[kind], video)
    expect_in_step(video, tmp_path / "output.mp4", tuple(click for click in CLICKS if click > start))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("start", [0.7])
def test_sound_that_starts_before_the_picture_is_in_step(
    kind: str, start: float, straight: Path, tmp_path: Path
) -> None:
    video = tmp_path / kind
    ffmpeg("-i", straight, "-vf", f"trim=start={start}", "-copyts", *KINDS[kind], video)
    expect_in_step(video, tmp_path / "output.mp4", tuple(click for click in CLICKS if click > start))


@pytest.mark.parametrize("kind", KINDS)
def test_a_clock_that_does_not_start_at_nothing_changes_nothing(
    kind: str, straight: Path, tmp_path: Path
) -> None:
    video = tmp_path / kind
    ffmpeg("-itsoffset", "7.3", "-i", straight, *KINDS[kind], "-avoid_negative_ts", "disabled", video)
    expect_in_step(video, tmp_path / "output.mp4")


def test_a_cut_between_key_frames_is_in_step(straight: Path, tmp_path: Path) -> None:
    whole, video = tmp_path / "whole.mp4", tmp_path / "cut.mp4"
    ffmpeg("-i", straight, *KINDS["aac.mp4"], "-g", "40", whole)
    ffmpeg("-ss", "0.77", "-i", whole, "-c", "copy", video)
    expect_in_step(video, tmp_path / "output.mp4", CLICKS[1:])


@pytest.mark.parametrize("codec", ["ac3", "pcm_s16le"])
def test_no_channel_of_surround_sound_is_lost(codec: str, straight: Path, tmp_path: Path) -> None:
    moments = {0: 0.2, 1: 0.6, 2: 1.0, 4: 1.4, 5: 1.8}  # left, right, centre, behind left, behind right
    samples = np.zeros((int(COUNT / RATE * SAMPLE_RATE), 6), "<i2")
    for channel, moment in moments.items():
        start = int(moment * SAMPLE_RATE)
        samples[start : start + SAMPLE_RATE // 50, channel] = 12_000 * np.sin(
            np.arange(SAMPLE_RATE // 50) / 6
        )
    video = tmp_path / "driver.mov"
    raw = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ac", "6", "-channel_layout", "5.1", "-i", "pipe:0"]
    encode = ["-map", "1:v", "-map", "0:a", "-c:v", "copy", "-c:a", codec, "-b:a", "448k"]
    ffmpeg(*raw, "-i", straight, *encode, video, data=samples.tobytes())

    output, _ = performed(video, tmp_path / "output.mp4")

    command = ["ffmpeg", "-v", "error", "-i", str(output), "-map", "0:a", "-f", "s16le", "-ac", "2", "pipe:1"]
    data = subprocess.run(command, capture_output=True, check=True, timeout=60).stdout
    left, right = np.abs(np.frombuffer(data, "<i2").reshape(-1, 2).astype(int)).T
    loud = {}
    for channel, moment in moments.items():
        here = slice(int((moment - 0.02) * SAMPLE_RATE), int((moment + 0.06) * SAMPLE_RATE))
        loud[channel] = (left[here].max() > 1500, right[here].max() > 1500)
    assert stream_field(output, "a:0", "channels") == "2"
    assert loud == {
        0: (True, False),
        1: (False, True),
        2: (True, True),
        4: (True, False),
        5: (False, True),
    }


def test_one_channel_stays_one(straight: Path, tmp_path: Path) -> None:
    ffmpeg("-i", straight, "-c:v", "copy", "-c:a", "libmp3lame", "-ac", "1", tmp_path / "mono.mp4")
    output, _ = performed(tmp_path / "mono.mp4", tmp_path / "output.mp4")
    assert stream_field(output, "a:0", "channels") == "1"
