"""Stitched videos have every frame once, at its time, with the driving video's sound in step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.errors import EngineError, ToolError
from pipeline.ffmpeg import VideoWriter, lay_sound, probe, read_frames
from pipeline.protocol import Item, Progress, Request
from pipeline.spec import Background, Model, RenderSpec, Stage, divide, plan_for
from pipeline.stitch import stitch
from tests.pipeline.clips import (
    clicks_in,
    ffmpeg,
    number_of,
    numbered,
    numbers,
    packets,
    stream_field,
    write_clicks,
    write_numbered,
)

COUNT = 75  # two and a half seconds
CLICKS = (0.5, 1.25, 2.0)
#: An encoder's window may smear a click by a fraction of a millisecond; a frame lasts 33.
EXACT = 0.003

RequestFor = Callable[..., Request]


class Studio:
    """Makes driving videos and segments, each kind once for all tests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[tuple[object, ...], Path] = {}

    def driver(self, *options: str, rate: str = "30", sound: float = 2.5) -> Path:
        """A driving video with clicks at CLICKS; ``options`` say how it is encoded."""
        folder = self._new(options, rate, sound)
        path = folder / "driver.mp4"
        if not path.exists():
            wav = write_clicks(folder / "clicks.wav", sound, *[click for click in CLICKS if click < sound])
            encode = ("-c:v", "libx264", "-bf", "2", "-pix_fmt", "yuv420p", *options)
            write_numbered(path, COUNT, "-i", str(wav), *encode, rate=rate)
        return path

    def segments(self, name: str, count: int, rate: Fraction, longest: int) -> dict[str, Path]:
        """Numbered segments of a video of ``count`` frames."""
        folder = self._new(count, rate, longest)
        paths = {}
        for span in divide(0, count, longest):
            path = paths[f"{name}-{span.index:04d}"] = folder / f"{span.index:04d}.mp4"
            if not path.exists():
                with VideoWriter(path, 160, 96, rate) as writer:
                    for number in range(span.start, span.stop):
                        writer.write(numbered(number))
        return paths

    def _new(self, *key: object) -> Path:
        folder = self._made.setdefault(key, self._folder / str(len(self._made)))
        folder.mkdir(exist_ok=True)
        return folder


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("studio"))


@pytest.fixture
def request_for(studio: Studio, tmp_path: Path) -> RequestFor:
    """A STITCH request for a driving video, with numbered segments of its length and rate."""

    def make(video: Path, *, longest: int = 20, masks: bool = False) -> Request:
        info, out = probe(video), tmp_path / "out"
        out.mkdir()
        inputs = {"video": video, **studio.segments("segment", info.frames, info.rate, longest)}
        if masks:
            inputs |= studio.segments("mask", info.frames, info.rate, longest)
        spec = RenderSpec(background=Background.TRANSPARENT if masks else Background.ORIGINAL)
        return Request(Stage.STITCH, spec, plan_for(Model.V4), out, inputs, info)

    return make


def quiet(_event: Progress | Item) -> None:
    pass


@pytest.mark.parametrize("rate", ["30", "30000/1001", "16", "24000/1001"])
def test_every_frame_is_there_once_at_its_time(rate: str, studio: Studio, request_for: RequestFor) -> None:
    request = request_for(studio.driver(rate=rate))

    done = stitch(request, quiet)

    output = Path(done.files["output"])
    tick, exact = Fraction(stream_field(output, "v:0", "time_base")), Fraction(rate)
    assert numbers(read_frames(output, probe(output))) == list(range(COUNT))
    assert [pts * tick for pts, _ in packets(output)] == [number / exact for number in range(COUNT)]
    assert done.facts == {"frames": COUNT, "duration": pytest.approx(COUNT / exact)}
    assert output.parent == request.out
    assert sorted(path.name for path in request.out.iterdir()) == ["output.mp4", "thumbnail.jpg"]


def test_no_frame_is_encoded_again(studio: Studio, request_for: RequestFor) -> None:
    request = request_for(studio.driver(), longest=COUNT)
    output = Path(stitch(request, quiet).files["output"])
    before = list(read_frames(request.inputs["segment-0000"], probe(request.inputs["segment-0000"])))
    after = list(read_frames(output, probe(output)))
    assert all((a == b).all() for a, b in zip(before, after, strict=True))


SOUNDS = {
    "aac": ("-c:a", "aac"),
    "mp3": ("-c:a", "libmp3lame"),
    "aac at 22 kHz": ("-c:a", "aac", "-ar", "22050"),
    "six channels": ("-c:a", "aac", "-ac", "6"),
}


@pytest.mark.parametrize("name", SOUNDS)
def test_the_sound_is_in_step(name: str, studio: Studio, request_for: RequestFor) -> None:
    video = studio.driver(*SOUNDS[name])
    assert clicks_in(video) == pytest.approx(CLICKS, abs=EXACT)

    output = Path(stitch(request_for(video), quiet).files["output"])

    assert clicks_in(output) == pytest.approx(CLICKS, abs=EXACT)
    assert stream_field(output, "a:0", "codec_name") == "aac"


def test_aac_is_copied(studio: Studio, tmp_path: Path, request_for: RequestFor) -> None:
    video = studio.driver("-c:a", "aac")
    output = Path(stitch(request_for(video), quiet).files["output"])
    hashes = []
    for path in (video, output):
        ffmpeg("-i", path, "-map", "0:a", "-c", "copy", "-f", "framehash", tmp_path / "hash")
        rows = (tmp_path / "hash").read_text().splitlines()
        hashes.append([row.split(",")[-1] for row in rows if not row.startswith("#")])
    assert hashes[1] == hashes[0][: len(hashes[1])]
    assert len(hashes[0]) - len(hashes[1]) <= 2


@pytest.mark.parametrize("late", ["picture", "sound"])
@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
def test_an_offset_start_stays_in_step(
    late: str, codec: str, studio: Studio, tmp_path: Path, request_for: RequestFor
) -> None:
    straight = studio.driver("-c:a", codec)
    video = tmp_path / "driver.mp4"
    first, second = ("0:v", "1:a") if late == "picture" else ("0:a", "1:v")
    ffmpeg(
        "-itsoffset",
        "0.3",
        "-i",
        straight,
        "-i",
        straight,
        "-map",
        first,
        "-map",
        second,
        "-c",
        "copy",
        video,
    )

    output = Path(stitch(request_for(video), quiet).files["output"])

    shift = -0.3 if late == "picture" else 0.3
    expected = [click + shift for click in CLICKS if click + shift < 2.48]
    assert clicks_in(output) == pytest.approx(expected, abs=1 / 30)


@pytest.mark.parametrize("container", ["driver.webm", "driver.avi", "driver.mov"])
def test_the_sound_of_other_containers_is_in_step(
    container: str, studio: Studio, tmp_path: Path, request_for: RequestFor
) -> None:
    straight = studio.driver()
    codecs = {
        "driver.webm": ("-c:v", "libvpx", "-deadline", "realtime", "-c:a", "libopus"),
        "driver.avi": ("-c:v", "mpeg4", "-q:v", "3", "-c:a", "libmp3lame"),
        "driver.mov": ("-c:v", "copy", "-c:a", "pcm_s16le"),
    }
    video = tmp_path / container
    ffmpeg("-i", straight, *codecs[container], video)

    output = Path(stitch(request_for(video), quiet).files["output"])

    assert clicks_in(output) == pytest.approx(CLICKS, abs=1 / 30)


@pytest.mark.parametrize("codec", ["aac", "libmp3lame"])
@pytest.mark.parametrize("sound", [1.5, 2.49, 2.5, 6.0])
def test_sound_never_outlasts_the_picture(
    sound: float, codec: str, studio: Studio, request_for: RequestFor
) -> None:
    video = studio.driver("-c:a", codec, sound=sound)
    request = request_for(video)

    output = Path(stitch(request, quiet).files["output"])

    length = float(stream_field(output, "a:0", "duration"))
    picture = float(stream_field(output, "v:0", "duration"))
    assert picture == pytest.approx(COUNT / 30, abs=1e-4)
    assert min(sound, picture) - 0.06 < length <= picture
    assert clicks_in(output) == pytest.approx([click for click in CLICKS if click < sound], abs=EXACT)


def test_a_silent_video_stays_silent(tmp_path: Path, request_for: RequestFor) -> None:
    video = write_numbered(tmp_path / "silent.mp4", COUNT, "-c:v", "libx264")
    output = Path(stitch(request_for(video), quiet).files["output"])
    assert not probe(output).has_sound


def test_a_trimmed_driver_is_in_step(studio: Studio, tmp_path: Path, request_for: RequestFor) -> None:
    straight = studio.driver("-g", "15")
    video = tmp_path / "trimmed.mp4"
    ffmpeg("-ss", "0.9", "-i", straight, "-c", "copy", video)
    first = numbers(read_frames(video, probe(video)))[0] / 30

    output = Path(stitch(request_for(video), quiet).files["output"])

    assert clicks_in(output) == pytest.approx([1.25 - first, 2.0 - first], abs=1 / 30)


def test_a_mask_is_stitched_beside_without_sound(studio: Studio, request_for: RequestFor) -> None:
    seen: list[Progress | Item] = []
    done = stitch(request_for(studio.driver(), masks=True), seen.append)
    mask = probe(Path(done.files["mask"]))
    assert set(done.files) == {"output", "mask", "thumbnail"}
    assert (mask.frames, mask.has_sound) == (COUNT, False)
    assert seen == [Progress(1, 3), Progress(2, 3), Progress(3, 3)]


def test_the_thumbnail_is_the_middle_frame_and_small(studio: Studio, request_for: RequestFor) -> None:
    done = stitch(request_for(studio.driver()), quiet)
    with Image.open(done.files["thumbnail"]) as picture:
        assert max(picture.size) <= 512
        assert picture.format == "JPEG"
        assert number_of(np.asarray(picture)) == COUNT // 2


def test_the_same_inputs_give_the_same_bytes(studio: Studio, request_for: RequestFor) -> None:
    request = request_for(studio.driver("-c:a", "libmp3lame"))
    made = []
    for _ in range(2):
        files = stitch(request, quiet).files
        made.append([Path(files[name]).read_bytes() for name in ("output", "thumbnail")])
    assert made[0] == made[1]


def test_no_word_of_the_inputs_reaches_the_output(studio: Studio, request_for: RequestFor) -> None:
    video = studio.driver("-metadata", "title=SECRET", "-metadata:s:a:0", "handler_name=SECRET")
    output = Path(stitch(request_for(video), quiet).files["output"])
    assert b"SECRET" in video.read_bytes()
    assert b"SECRET" not in output.read_bytes()


def test_the_output_starts_to_play_before_it_is_whole(studio: Studio, request_for: RequestFor) -> None:
    data = Path(stitch(request_for(studio.driver()), quiet).files["output"]).read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no disk here that is always full")
def test_a_full_disk_is_not_the_videos_fault(studio: Studio) -> None:
    video = studio.driver("-c:a", "aac")
    with pytest.raises(ToolError, match="No space left"):
        lay_sound(video, video, Path("/dev/full"), Fraction(5, 2))


def test_segments_encoded_otherwise_are_refused(
    studio: Studio, tmp_path: Path, request_for: RequestFor
) -> None:
    request = request_for(studio.driver())
    other = tmp_path / "other.mp4"
    ffmpeg("-i", request.inputs["segment-0001"], "-c:v", "libx264", "-profile:v", "main", "-bf", "0", other)
    with pytest.raises(EngineError, match="otherwise than"):
        stitch(replace(request, inputs={**request.inputs, "segment-0001": other}), quiet)


@pytest.mark.parametrize("missing", ["segment-0001", "segment-0003"])
def test_a_missing_segment_is_noticed(missing: str, studio: Studio, request_for: RequestFor) -> None:
    request = request_for(studio.driver())
    fewer = replace(request, inputs={n: path for n, path in request.inputs.items() if n != missing})
    with pytest.raises(EngineError, match=r"segments are missing|has 56 frames"):
        stitch(fewer, quiet)


def test_no_segments_are_an_error(studio: Studio, request_for: RequestFor) -> None:
    request = request_for(studio.driver())
    bare = replace(request, inputs={"video": request.inputs["video"]})
    with pytest.raises(EngineError, match="no segments"):
        stitch(bare, quiet)
