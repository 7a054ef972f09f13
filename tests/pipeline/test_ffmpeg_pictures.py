"""However a driving video is coded, the frames are upright, whole, and of the colours that were meant."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import hdr, probe, read_frames
from pipeline.ffmpeg.probe import inspect
from pipeline.spec import Span
from tests.pipeline.clips import Frame, ffmpeg

SAMPLES = Path(__file__).parents[2] / "samples"
_QUIET = "log-level=error"
#: Four corners, so that every turn and mirror is another picture: red, green, blue, grey.
COLORS = np.array([[[200, 40, 40], [40, 170, 60]], [[50, 60, 210], [128, 128, 128]]], np.uint8)


def quarters(width: int = 96, height: int = 64) -> Frame:
    return np.ascontiguousarray(np.repeat(np.repeat(COLORS, height // 2, 0), width // 2, 1))


def corners(frame: Frame) -> Frame:
    """The colours in the middle of the four quarters."""
    height, width = frame.shape[:2]
    return frame[np.ix_([height // 4, height * 3 // 4], [width // 4, width * 3 // 4])]


def write(path: Path, frame: Frame, *options: str, count: int = 3) -> Path:
    """A clip of a still."""
    size = f"{frame.shape[1]}x{frame.shape[0]}"
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", "30", "-i", "pipe:0"]
    ffmpeg(*raw, *options, path, data=frame.tobytes() * count)
    return path


def coded(pixels: str, matrix: str = "bt709", scale: str = "tv") -> list[str]:
    """Options that convert to YUV, and say so."""
    convert = f"scale=out_color_matrix={matrix}:out_range={scale}:flags=accurate_rnd+full_chroma_inp"
    tags = f"setparams=colorspace={matrix}:range={scale}"
    return ["-vf", f"{convert},format={pixels},{tags}", "-colorspace", matrix, "-color_range", scale]


X264 = ["-c:v", "libx264", "-crf", "3"]
X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "3", "-x265-params", _QUIET]
VP9 = ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-crf", "4", "-b:v", "0"]

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


#: ffmpeg's display matrices, and what they do to the picture as numpy says it.
TURNS = {
    "0": ([65536, 0, 0, 65536], lambda x: x),
    "90": ([0, 65536, -65536, 0], lambda x: np.rot90(x, -1)),
    "180": ([-65536, 0, 0, -65536], lambda x: np.rot90(x, 2)),
    "270": ([0, -65536, 65536, 0], lambda x: np.rot90(x, 1)),
    "mirrored": ([-65536, 0, 0, 65536], np.fliplr),
    "upside down": ([65536, 0, 0, -65536], np.flipud),
    "mirrored and 90": ([0, 65536, 65536, 0], lambda x: x.transpose(1, 0, 2)),
    "mirrored and 270": ([0, -65536, -65536, 0], lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
}


def turned(path: Path, matrix: list[int]) -> None:
    """Write ``matrix`` into the header of an MP4's first track."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    for place, value in zip((0, 4, 12, 16), matrix, strict=True):
        data[at + place : at + place + 4] = value.to_bytes(4, "big", signed=True)
    path.write_bytes(data)


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


# HDR


def pq_of(light: np.ndarray) -> np.ndarray:
    """PQ's codes, 0 to 1, of cd/m2: the inverse EOTF of BT.2100-2, table 4."""
    power = (light / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * power) / (1 + 18.6875 * power)) ** 78.84375


def hlg_of(light: np.ndarray) -> np.ndarray:
    """HLG's codes, 0 to 1, of cd/m2 on its display of 1000: BT.2100-2, table 5, inverted."""
    luma = light / 1000 @ np.array([0.2627, 0.6780, 0.0593])
    scene = light / 1000 * np.maximum(luma, 1e-9)[..., None] ** (1 / 1.2 - 1)
    low, high = (
        np.sqrt(3 * scene),
        0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073,
    )
    return np.where(scene <= 1 / 12, low, high)


CODED = {"smpte2084": pq_of, "arib-std-b67": hlg_of}


@pytest.mark.parametrize("transfer", CODED)
def test_the_curves_are_those_of_the_standard(transfer: str) -> None:
    light = np.random.default_rng(2).random((50, 3)) * 900
    linear, peak = hdr.CURVES[transfer]
    assert linear(CODED[transfer](light)) == pytest.approx(light, rel=1e-4)
    # BT.2408-7, table 1: where diffuse white stands.
    assert CODED[transfer](np.full((1, 3), 203.0)).mean() == pytest.approx(
        {"smpte2084": 0.58, "arib-std-b67": 0.75}[transfer], abs=0.005
    )
    assert linear(np.ones((1, 3))) == pytest.approx(peak)


def write_hdr(path: Path, transfer: str, codes: np.ndarray, scale: str = "tv", aspect: str = "") -> Path:
    """A clip of BT.2020 colours, given as codes ``(height, width, 3)`` from 0 to 1."""
    planes = np.ascontiguousarray((codes[..., [1, 2, 0]] * 65535).round().astype("<u2").transpose(2, 0, 1))
    raw = [
        "-f",
        "rawvideo",
        "-pix_fmt",
        "gbrp16le",
        "-s",
        f"{codes.shape[1]}x{codes.shape[0]}",
        "-i",
        "pipe:0",
    ]
    tags = ["-color_primaries", "bt2020", "-color_trc", transfer, *(["-aspect", aspect] if aspect else [])]
    ffmpeg(*raw, *coded("yuv420p10le", "bt2020nc", scale), *tags, *X265, path, data=planes.tobytes() * 2)
    return path


def patches(*colors: list[float]) -> np.ndarray:
    """Each colour as a square of 32 pixels."""
    return np.repeat(np.repeat(np.array([colors], float), 32, 0).repeat(32, 0)[:32], 32, 1)


@pytest.mark.parametrize("transfer", hdr.CURVES)
@pytest.mark.parametrize("scale", ["tv", "pc"])
def test_hdr_white_stays_white_and_faces_stay_as_bright_as_they_are(
    transfer: str, scale: str, tmp_path: Path
) -> None:
    codes = CODED[transfer](np.array([[nits] * 3 for nits in (0.0, 26.0, 60.0, 203.0, 400.0, 1000.0)]))
    path = write_hdr(tmp_path / "hdr.mp4", transfer, patches(*codes.tolist()), scale)

    frame = next(read_frames(path, probe(path)))
    black, grey, face, paper, lamp, sun = frame[16, 16::32].mean(-1)

    # Up to 0.6 of white as on a display on which white is 203 cd/m2, whose gamma is 2.4.
    assert black <= 1
    assert grey == pytest.approx(255 * (26 / 203) ** (1 / 2.4), abs=2)
    assert face == pytest.approx(255 * (60 / 203) ** (1 / 2.4), abs=2)
    assert 228 <= paper <= 238  # no grey mush
    assert paper + 8 < lamp < sun - 4  # not clipped
    assert 250 <= sun <= 255


@pytest.mark.parametrize("transfer", hdr.CURVES)
def test_hdr_colours_are_those_of_the_scene(transfer: str, tmp_path: Path) -> None:
    standard = np.array([[170, 60, 50], [60, 150, 70], [60, 70, 170], [160, 120, 100]], float)
    light = (standard / 255) ** 2.4 * 203 @ np.linalg.inv(hdr._TO_709).T  # BT.2020, cd/m2
    path = write_hdr(tmp_path / "hdr.mp4", transfer, patches(*CODED[transfer](light).tolist()))

    frame = next(read_frames(path, probe(path)))

    assert np.abs(frame[16, 16::32] - standard).max() <= 6


@pytest.mark.parametrize("transfer", hdr.CURVES)
def test_what_709_cannot_show_keeps_its_hue(transfer: str) -> None:
    pure = np.array([[0.7, 0, 0], [0, 0.7, 0], [0, 0, 0.7]])
    shown = hdr.to_standard(pure, transfer)
    assert (shown.argmax(-1) == [0, 1, 2]).all()
    assert ((shown >= 0) & (shown <= 1)).all()
    brighter = hdr.to_standard(pure * 1.1, transfer)
    assert (brighter.sum(-1) > shown.sum(-1)).all()


def test_hdr_frames_are_the_same_in_every_span(tmp_path: Path) -> None:
    path = write_hdr(tmp_path / "hdr.mp4", "smpte2084", np.linspace(0, 0.8, 96 * 64 * 3).reshape(64, 96, 3))
    info = probe(path)
    whole, part = list(read_frames(path, info)), list(read_frames(path, info, Span(0, 1, 2)))
    assert (whole[1] == part[0]).all()


def test_hdr_of_a_turned_phone_with_oblong_pixels_is_shown_upright(tmp_path: Path) -> None:
    standard = np.array([[170, 60, 50], [120, 150, 110], [60, 70, 170]], float)
    light = (standard / 255) ** 2.4 * 203 @ np.linalg.inv(hdr._TO_709).T
    path = write_hdr(tmp_path / "hdr.mp4", "arib-std-b67", patches(*hlg_of(light).tolist()), "tv", "6:1")
    turned(path, TURNS["90"][0])

    info = probe(path)
    frame = next(read_frames(path, info))
    small = next(read_frames(path, info, size=(16, 96)))

    assert (info.width, info.height) == (32, 192)
    assert np.abs(frame[32::64, 16] - standard).max() <= 6
    assert np.abs(small[16::32, 8] - standard).max() <= 6


def test_standard_range_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path / "plain.mp4", quarters(), *coded("yuv420p10le", "bt2020nc"), *X265)
    assert inspect(path).picture.hdr is None


# Fields


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


# Determinism


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity can be set on Linux alone")
def test_frames_do_not_depend_on_the_cores(tmp_path: Path) -> None:
    fields = write_fields(tmp_path / "fields.mp4", "tff", moving())
    bright = write_hdr(tmp_path / "hdr.mp4", "smpte2084", np.linspace(0, 1, 96 * 64 * 3).reshape(64, 96, 3))
    program = (
        "import os, sys, hashlib; from pathlib import Path; from pipeline.ffmpeg import probe, read_frames\n"
        "os.sched_setaffinity(0, eval(sys.argv[1])); digest = hashlib.sha256()\n"
        "for path in map(Path, sys.argv[2:]):\n"
        "    for size in (None, (50, 32)):\n"
        "        for frame in read_frames(path, probe(path), size=size): digest.update(frame.tobytes())\n"
        "print(digest.hexdigest())"
    )
    cores = sorted(os.sched_getaffinity(0))
    seen = set()
    for allowed in (cores[:1], cores):
        command = [sys.executable, "-c", program, str(set(allowed)), str(fields), str(bright)]
        seen.add(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    assert len(seen) == 1
