"""HDR is shown in standard range: white is white, faces are as bright as they were, hues are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.ffmpeg import hdr, probe, read_frames
from pipeline.ffmpeg.probe import inspect
from pipeline.spec import Span
from tests.pipeline.clips import ffmpeg
from tests.pipeline.stills import TURNS, X264, X265, coded, quarters, turned, write


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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity can be set on Linux alone")
def test_frames_do_not_depend_on_the_cores(tmp_path: Path) -> None:
    fields = tmp_path / "fields.mp4"
    weave = ["-vf", "tinterlace=interleave_top,setfield=tff", "-flags", "+ilme+ildct", "-x264opts", "tff=1"]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=160x96:rate=60:duration=0.4", *weave, *X264, fields)
    assert inspect(fields).picture.fields == "tff"
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
