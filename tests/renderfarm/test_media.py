"""The judge of uploads, against real files that are right, wrong, or lie."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from pipeline.spec import VideoInfo
from renderfarm import media, prices
from renderfarm.errors import FarmError
from renderfarm.settings import Settings
from renderfarm.storage import Storage, open_storage
from tests.clips import make_clip, make_picture, make_tone, png_that_claims
from tests.pipeline.clips import ffmpeg


@pytest.fixture
def farm(tmp_path: Path) -> Settings:
    return Settings(database_url="", storage_url=f"file://{tmp_path / 'store'}")


@pytest.fixture
def storage(farm: Settings) -> Storage:
    return open_storage(farm)


def judge_video(farm: Settings, storage: Storage, path: Path) -> VideoInfo:
    """As the ingress does: the head first, then the stored file."""
    media.judge_video_head(path.read_bytes()[: media.HEAD_BYTES])
    storage.put("in/acct/video", path)
    return media.judge_video(farm, storage, "in/acct/video").video


def judge_picture(farm: Settings, storage: Storage, path: Path) -> tuple[int, int]:
    media.judge_picture_head(path.read_bytes()[: media.HEAD_BYTES])
    storage.put("in/acct/picture", path)
    return media.judge_picture(farm, storage, "in/acct/picture")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(FarmError) as refused:
        call()
    assert "/" not in refused.value.message.replace("R,G,B", "")  # no path of ours
    return refused.value.code


@pytest.mark.parametrize("kind", ["mp4", "mov", "webm", "avi"])
def test_a_video_of_every_kind_is_taken(farm: Settings, storage: Storage, tmp_path: Path, kind: str) -> None:
    # ffmpeg's AVI writer leaves a hole in the picture where it puts the sound ahead.
    clip = make_clip(tmp_path / f"clip.{kind}", seconds=2, sound=kind != "avi")
    video = judge_video(farm, storage, clip)
    assert (video.width, video.height, video.rate, video.frames) == (128, 96, 10, 20)


@pytest.mark.parametrize("codec", [("-c:v", "cinepak"), ("-c:v", "rawvideo", "-c:a", "adpcm_swf")])
def test_codecs_that_nobody_writes_any_more_are_not_decoded(
    farm: Settings, storage: Storage, tmp_path: Path, codec: tuple[str, ...]
) -> None:
    plain = make_clip(tmp_path / "plain.mp4", size="64x64")
    ffmpeg("-i", plain, "-ar", "22050", *codec, tmp_path / "old.avi")
    assert code_of(lambda: judge_video(farm, storage, tmp_path / "old.avi")) == "CS-ORIV-003"


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
def test_a_picture_of_every_kind_is_taken(
    farm: Settings, storage: Storage, tmp_path: Path, kind: str
) -> None:
    assert min(judge_picture(farm, storage, make_picture(tmp_path / f"a.{kind}"))) > 0


@pytest.mark.parametrize("kind", ["gif", "bmp", "tiff", "ico"])
def test_other_pictures_are_not_supported(
    farm: Settings, storage: Storage, tmp_path: Path, kind: str
) -> None:
    path = make_picture(tmp_path / f"a.{kind}")
    assert code_of(lambda: judge_picture(farm, storage, path)) == "CS-ORIV-003"


@pytest.mark.parametrize("kind", ["mkv", "flv", "mpg", "gif"])
def test_other_videos_are_not_supported(farm: Settings, storage: Storage, tmp_path: Path, kind: str) -> None:
    path = make_clip(tmp_path / f"a.{kind}", sound=False, rate="25")
    assert code_of(lambda: judge_video(farm, storage, path)) == "CS-ORIV-003"


def test_text_under_a_videos_name_is_not_supported(farm: Settings, storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_text("This is not a video.\n" * 20)
    assert code_of(lambda: judge_video(farm, storage, path)) == "CS-ORIV-003"


def test_an_empty_file_cannot_be_read(farm: Settings, storage: Storage, tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    assert code_of(lambda: judge_video(farm, storage, path)) == "CS-ORIV-007"
    assert code_of(lambda: judge_picture(farm, storage, path)) == "CS-ORIV-007"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_truncated_video_cannot_be_read(
    farm: Settings, storage: Storage, tmp_path: Path, share: float
) -> None:
    path = make_clip(tmp_path / "clip.mp4", seconds=2)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(lambda: judge_video(farm, storage, path)) == "CS-ORIV-007"


@pytest.mark.parametrize("kind", ["png", "jpg", "webp"])
@pytest.mark.parametrize("share", [0.1, 0.6])
def test_a_truncated_picture_cannot_be_read(
    farm: Settings, storage: Storage, tmp_path: Path, kind: str, share: float
) -> None:
    path = make_picture(tmp_path / f"a.{kind}")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert code_of(lambda: judge_picture(farm, storage, path)) == "CS-ORIV-007"


def test_sound_alone_is_no_video(farm: Settings, storage: Storage, tmp_path: Path) -> None:
    path = make_tone(tmp_path / "tone.mp4")
    assert code_of(lambda: judge_video(farm, storage, path)) == "CS-ORIV-007"


@pytest.mark.parametrize(
    ("seconds", "rate", "size", "code"),
    [
        (0.02, "50", "128x96", "CS-ORIV-006"),
        (0.4, "10", "128x96", "CS-ORIV-006"),
        (360, "1", "128x96", "CS-ORIV-004"),
        (302, "1", "128x96", "CS-ORIV-004"),
        (1, "2", "5000x100", "CS-ORIV-006"),
        (1, "2", "100x4098", "CS-ORIV-006"),
        (1, "2", "128x62", "CS-ORIV-006"),
    ],
)
def test_a_video_outside_the_limits_is_refused(
    farm: Settings, storage: Storage, tmp_path: Path, seconds: float, rate: str, size: str, code: str
) -> None:
    path = make_clip(tmp_path / "clip.mp4", seconds=seconds, rate=rate, size=size, sound=False)
    assert code_of(lambda: judge_video(farm, storage, path)) == code


@pytest.mark.parametrize(
    ("seconds", "rate", "size"), [(0.5, "10", "64x64"), (300, "1", "128x96"), (301, "1", "128x96")]
)
def test_a_video_just_inside_the_limits_is_taken(
    farm: Settings, storage: Storage, tmp_path: Path, seconds: float, rate: str, size: str
) -> None:
    path = make_clip(tmp_path / "clip.mp4", seconds=seconds, rate=rate, size=size, sound=False)
    assert judge_video(farm, storage, path).frames == seconds * int(rate)


@pytest.mark.parametrize(("width", "height"), [(63, 200), (4097, 100), (1, 1)])
def test_a_picture_outside_the_limits_is_refused(
    farm: Settings, storage: Storage, tmp_path: Path, width: int, height: int
) -> None:
    path = make_picture(tmp_path / "a.png", width, height)
    assert code_of(lambda: judge_picture(farm, storage, path)) == "CS-ORIV-006"


def test_a_picture_just_inside_the_limits_is_taken(farm: Settings, storage: Storage, tmp_path: Path) -> None:
    path = make_picture(tmp_path / "a.png", 64, 4096)
    assert judge_picture(farm, storage, path) == (64, 4096)


@pytest.mark.parametrize("side", [15_000, 30_000])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    farm: Settings, storage: Storage, tmp_path: Path, side: int
) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(png_that_claims(side, side))
    assert path.stat().st_size < 500_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert code_of(lambda: judge_picture(farm, storage, path)) == "CS-ORIV-006"
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < 20 << 20


def test_bytes_that_only_begin_like_a_picture_cannot_be_read(
    farm: Settings, storage: Storage, tmp_path: Path
) -> None:
    for number, magic in enumerate((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x10\0\0\0WEBP")):
        path = tmp_path / str(number)
        path.write_bytes(magic + bytes(range(256)) * 8)
        assert code_of(lambda path=path: judge_picture(farm, storage, path)) == "CS-ORIV-007"


def test_an_odd_side_loses_a_line_and_the_owner_is_told(
    farm: Settings, storage: Storage, tmp_path: Path
) -> None:
    storage.put("in/acct/video", make_clip(tmp_path / "clip.webm", size="129x97"))
    judged = media.judge_video(farm, storage, "in/acct/video")
    assert (judged.video.width, judged.video.height) == (128, 96)
    assert [note.split(":")[0] for note in judged.notes.values()] == [
        "The last column was left out",
        "The last row was left out",
    ]


_BT2020 = ("-color_primaries", "bt2020", "-colorspace", "bt2020nc")
_X265 = ("-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=error", *_BT2020)
_FIELDS = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-flags", "+ilme+ildct")

#: Options of a test pattern of 20 frames a second, and what its owner is told.
SAID = {
    "plain.mp4": (("-c:v", "libx264"), []),
    "hlg.mp4": (
        (*_X265, "-color_trc", "arib-std-b67"),
        ["The video is HDR (HLG): its colours were brought to standard range."],
    ),
    "pq.mp4": (
        (*_X265, "-color_trc", "smpte2084"),
        ["The video is HDR (HDR10): its colours were brought to standard range."],
    ),
    "fields.mp4": (
        ("-vf", "tinterlace=interleave_top,setfield=tff", "-x264opts", "tff=1", *_FIELDS),
        ["The video is interlaced: the two fields of each frame were made one whole picture."],
    ),
    "variable.mp4": (
        ("-vf", "select=not(between(n\\,5\\,7))*not(eq(n\\,12))", "-fps_mode", "vfr", "-c:v", "libx264"),
        ["The video's frame rate varies: its frames were laid on a constant 20 a second."],
    ),
    "alpha.mov": (
        ("-c:v", "prores_ks", "-profile:v", "4444", "-pix_fmt", "yuva444p10le"),
        ["The video's transparency was left out: its colours are shown as they are."],
    ),
}


@pytest.mark.parametrize("name", SAID)
def test_what_is_shown_otherwise_than_it_came_is_said(
    farm: Settings, storage: Storage, tmp_path: Path, name: str
) -> None:
    options, said = SAID[name]
    path = tmp_path / name
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=128x96:rate=20:duration=2", *options, path)
    storage.put("in/acct/video", path)
    assert list(media.judge_video(farm, storage, "in/acct/video").notes.values()) == said


def test_the_limits_are_those_of_the_settings(farm: Settings, storage: Storage, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", seconds=3)
    assert code_of(lambda: judge_video(replace(farm, max_seconds=2), storage, path)) == "CS-ORIV-004"
    assert code_of(lambda: judge_video(replace(farm, max_side=100), storage, path)) == "CS-ORIV-006"
    assert code_of(lambda: judge_video(replace(farm, min_seconds=4), storage, path)) == "CS-ORIV-006"


@pytest.mark.parametrize(
    ("frames", "rate", "credits"),
    [(1, "30", 1), (15, "30", 1), (30, "30", 1), (31, "30", 1), (32, "30", 2), (180, "30", 6),
     (9001, "30", 300), (181, "30000/1001", 7), (180, "30000/1001", 6)],
)  # fmt: skip
def test_a_video_costs_a_credit_for_each_second_begun(frames: int, rate: str, credits: int) -> None:
    video = VideoInfo(1280, 720, Fraction(rate), frames, has_sound=False, codec="h264")
    assert prices.price(video, "full_pipeline") == credits
    assert prices.price(video, "fast") == 2 * credits
