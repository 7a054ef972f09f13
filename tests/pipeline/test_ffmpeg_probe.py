"""A video is what the reader delivers; a broken one is refused at once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline.errors import TooLong, Unreadable, UnsupportedFormat
from pipeline.ffmpeg import probe, read_frames
from pipeline.ffmpeg.probe import inspect
from pipeline.spec import Span
from tests.pipeline.clips import HEIGHT, WIDTH, ffmpeg, numbers, stream_field, write_numbered

COUNT = 150
_H264 = ("-c:v", "libx264", "-g", "30", "-bf", "2", "-pix_fmt", "yuv420p")
_TONE = ("-f", "lavfi", "-i", "sine=frequency=440:duration=5")

Make = Callable[[Path, Path], None]


@pytest.fixture(scope="session")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 numbered frames at 30 a second, with B-frames and sound."""
    path = tmp_path_factory.mktemp("clips") / "plain.mp4"
    return write_numbered(path, COUNT, *_TONE, *_H264, "-c:a", "aac", "-shortest")


def copied(*options: str, before: tuple[str, ...] = ()) -> Make:
    return lambda plain, path: ffmpeg(*before, "-i", plain, "-c", "copy", *options, path)


def encoded(*options: str) -> Make:
    return lambda plain, path: ffmpeg("-i", plain, *options, path)


CONTAINERS: dict[str, Make] = {
    "plain.mp4": copied(),
    "faststart.mp4": copied("-movflags", "+faststart"),
    "fragmented.mp4": copied("-movflags", "frag_keyframe+empty_moov"),
    "plain.mov": copied(),
    "late.mp4": copied(before=("-itsoffset", "0.5")),
    "ntsc.mp4": encoded("-vf", "setpts=N*1001/30000/TB", "-r", "30000/1001", *_H264),
    "hevc.mp4": encoded("-c:v", "libx265", "-x265-params", "log-level=error:keyint=30"),
    "vp8.webm": encoded(
        "-c:v", "libvpx", "-deadline", "realtime", "-auto-alt-ref", "1", "-lag-in-frames", "8"
    ),
    "vp9.webm": encoded("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-g", "30"),
    "live.webm": encoded("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-live", "1"),
    "mpeg4.avi": encoded("-c:v", "mpeg4", "-bf", "2", "-g", "30", "-q:v", "3"),
}


@pytest.fixture(scope="session")
def clip(plain: Path) -> Callable[[str], Path]:
    """The path of a clip of ``CONTAINERS``, made once."""

    def made(name: str) -> Path:
        path = plain.with_name(f"made-{name}")
        if not path.exists():
            CONTAINERS[name](plain, path)
        return path

    return made


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_probe_counts_what_the_reader_yields(name: str, clip: Callable[[str], Path]) -> None:
    path = clip(name)

    info = probe(path)
    frames = list(read_frames(path, info))

    assert info.frames == len(frames) == COUNT
    assert numbers(frames) == list(range(COUNT))
    assert info.rate == (Fraction(30000, 1001) if name == "ntsc.mp4" else 30)
    assert info.has_sound


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_span_holds_the_same_frames_as_the_whole(name: str, clip: Callable[[str], Path]) -> None:
    path = clip(name)
    info = probe(path)
    whole = list(read_frames(path, info))

    for start, stop in ((40, 61), (119, 133), (COUNT - 2, COUNT)):
        part = list(read_frames(path, info, Span(0, start, stop)))
        assert len(part) == stop - start
        assert all((a == b).all() for a, b in zip(part, whole[start:stop], strict=True))


def test_an_edit_list_hides_what_it_cuts(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "trimmed.mp4"
    copied("-t", "2.5", before=("-ss", "1.37"))(plain, path)
    shown = int(stream_field_counted(path))

    info = probe(path)
    found = numbers(read_frames(path, info))

    assert info.frames == shown == len(found)
    assert found == list(range(found[0], found[0] + shown))
    assert found[0] == 42  # the first that starts after 1.37 s


def stream_field_counted(path: Path) -> str:
    command = ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0"]
    command += ["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0", str(path)]
    return subprocess.run(command, capture_output=True, check=True, text=True).stdout.strip()


def test_a_variable_rate_is_filled_as_a_player_would_show_it(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "variable.mp4"
    kept = [n for n in range(COUNT) if n % 7 != 3 and not 60 <= n < 75]
    drop = "select='not(eq(mod(n,7),3))*not(between(n,60,74))'"
    encoded("-vf", drop, "-fps_mode", "vfr", *_H264)(plain, path)

    info = probe(path)
    found = numbers(read_frames(path, info))

    assert (info.rate, info.frames) == (30, COUNT)
    assert found == [max(n for n in kept if n <= slot) for slot in range(COUNT)]
    assert numbers(read_frames(path, info, Span(0, 110, 130))) == found[110:130]


def test_a_jittering_clock_loses_no_frame(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "jitter.mp4"
    wobble = "setpts='(N/30+0.006*sin(N))/TB'"
    encoded("-vf", wobble, "-fps_mode", "vfr", "-enc_time_base", "1/90000", *_H264)(plain, path)

    info = probe(path)

    assert (info.rate, info.frames) == (30, COUNT)
    assert numbers(read_frames(path, info)) == list(range(COUNT))


def test_a_turned_video_is_read_upright(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    copied("-metadata:s:v", "rotate=90")(plain, path)

    info = probe(path)
    frame = next(read_frames(path, info))

    assert (info.width, info.height) == (HEIGHT, WIDTH)
    assert frame.shape == (WIDTH, HEIGHT, 3)


def test_odd_sides_lose_their_last_row_and_column(tmp_path: Path) -> None:
    options = ("-c:v", "libx264", "-pix_fmt", "yuv444p")
    path = write_numbered(tmp_path / "odd.mp4", 30, *options, size=(161, 97))

    info = probe(path)

    assert (info.width, info.height) == (160, 96)
    assert numbers(read_frames(path, info)) == list(range(30))


def test_pixels_that_are_not_square_are_stretched(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    encoded("-vf", "setsar=3/2", *_H264)(plain, path)

    info = probe(path)

    assert (info.width, info.height) == (WIDTH * 3 // 2, HEIGHT)
    assert numbers(read_frames(path, info, Span(0, 7, 9))) == [7, 8]


def test_a_single_frame_is_a_video(tmp_path: Path) -> None:
    path = write_numbered(tmp_path / "one.mp4", 1, *_H264)
    info = probe(path)
    assert info.frames == 1
    assert numbers(read_frames(path, info)) == [0]


def test_a_silent_video_has_no_sound(tmp_path: Path) -> None:
    assert not probe(write_numbered(tmp_path / "silent.mp4", 5, *_H264)).has_sound


def test_a_cover_is_not_a_picture_stream(plain: Path, tmp_path: Path) -> None:
    cover, path = tmp_path / "cover.png", tmp_path / "song.mp4"
    ffmpeg("-i", plain, "-frames:v", "1", cover)
    ffmpeg(
        "-i",
        plain,
        "-i",
        cover,
        "-map",
        "0:a",
        "-map",
        "1",
        "-c",
        "copy",
        "-disposition:v",
        "attached_pic",
        path,
    )
    with pytest.raises(Unreadable, match="no picture stream"):
        probe(path)


def test_sound_alone_is_not_a_video(tmp_path: Path) -> None:
    ffmpeg(*_TONE, tmp_path / "sound.mp4")
    with pytest.raises(Unreadable, match="no picture stream"):
        probe(tmp_path / "sound.mp4")


@pytest.mark.parametrize(
    "name", ["faststart.mp4", "plain.mp4", "fragmented.mp4", "vp8.webm", "mpeg4.avi", "plain.mov"]
)
@pytest.mark.parametrize("share", [0.9, 0.5])
def test_a_video_that_was_cut_short_is_refused(
    name: str, share: float, clip: Callable[[str], Path], tmp_path: Path
) -> None:
    whole, path = clip(name), tmp_path / name
    data = whole.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Unreadable):
        probe(path)


def test_an_mp4_that_lacks_its_last_bytes_is_refused(plain: Path, tmp_path: Path) -> None:
    whole, path = tmp_path / "whole.mp4", tmp_path / "short.mp4"
    copied("-movflags", "+faststart")(plain, whole)
    path.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(Unreadable, match="cut short"):
        probe(path)


def test_a_broken_video_names_what_ffprobe_said(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "headless.mp4"  # its first two small boxes
    path.write_bytes(plain.read_bytes()[:40])
    with pytest.raises(Unreadable, match="moov atom not found"):
        probe(path)


@pytest.mark.parametrize(
    "content",
    [
        b"just a text under a video's name\n" * 40,
        b"#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/secret.ts\n",
        b"ffconcat version 1.0\nfile 'plain.mp4'\n",
        b"\xff\xd8\xff\xe0" + bytes(200),
        b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(64),
    ],
    ids=["text", "playlist", "concat script", "picture", "sound"],
)
def test_what_is_no_video_is_not_taken_whatever_its_name(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "innocent.mp4"
    path.write_bytes(content)
    with pytest.raises(UnsupportedFormat):
        probe(path)


def test_another_container_is_not_taken(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "stream.ts"
    copied("-f", "mpegts")(plain, path)
    with pytest.raises(UnsupportedFormat):
        probe(path)


def test_an_empty_file_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "empty.mp4"
    path.touch()
    with pytest.raises(Unreadable, match="empty"):
        probe(path)


def test_a_name_is_never_an_option_or_a_protocol(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("-version.mp4", "concat:a|b.mp4", "%d qu'ote, [0]=;.mp4"):
        Path(name).write_bytes(plain.read_bytes())
        info = probe(name)
        assert numbers(read_frames(Path(name), info, Span(0, 0, 3))) == [0, 1, 2]


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    """The address of a server over the test's folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_is_probed_like_a_file(web: str, plain: Path, tmp_path: Path) -> None:
    copied("-movflags", "+faststart")(plain, tmp_path / "served.mp4")
    assert probe(f"{web}/served.mp4") == probe(plain)


def test_an_address_of_a_playlist_opens_nothing_else(web: str, plain: Path, tmp_path: Path) -> None:
    copied("-f", "mpegts")(plain, tmp_path / "part.ts")
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\npart.ts\n#EXT-X-ENDLIST\n"
    )
    with pytest.raises(UnsupportedFormat):
        probe(f"{web}/list.m3u8")


def test_an_address_that_is_not_there_is_unreadable(web: str) -> None:
    with pytest.raises(Unreadable, match="404"):
        probe(f"{web}/nothing.mp4")


def test_aac_that_starts_with_the_picture_can_be_copied(plain: Path, tmp_path: Path) -> None:
    late = tmp_path / "late.mp4"
    ffmpeg("-i", plain, "-itsoffset", "0.5", "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", late)
    mp3 = tmp_path / "mp3.mp4"
    encoded("-c:v", "copy", "-c:a", "mp3")(plain, mp3)

    copyable = [(sound := inspect(path).sound) is not None and sound.copyable for path in (plain, late, mp3)]

    assert copyable == [True, False, False]


def test_the_real_clips_are_what_they_are_known_to_be(real_media: Path) -> None:
    assert probe(real_media / "host-desk.mp4").to_json() == {
        **{"width": 1920, "height": 1080, "rate": "30", "frames": 106, "has_sound": True, "codec": "h264"}
    }
    assert probe(real_media / "sweater-dance.mp4").rate == 16
    assert stream_field(real_media / "bird.mp4", "v:0", "nb_frames") == str(
        probe(real_media / "bird.mp4").frames
    )


def test_a_video_of_more_frames_than_can_be_looked_through_is_too_long(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "many.mp4"
    path.write_bytes(plain.read_bytes())
    monkeypatch.setattr(sys.modules["pipeline.ffmpeg.probe"], "_MOST_PACKETS", COUNT)
    with pytest.raises(TooLong):  # it has sound, too
        probe(path)
