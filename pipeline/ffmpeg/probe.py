"""What a video is: read from its packets, never believed from its header.

A video is delivered at a constant rate. Where its frames already lie on such a grid (every ordinary
file, edit lists and millisecond clocks included) each is delivered once. Where they do not, a
constant-rate grid is laid over them and each of its slots shows what a player would show then.
``frames`` is computed from the presentation times, so it costs no decoding, and it is what
``read_frames`` yields.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.errors import TooLong, Unreadable, UnsupportedFormat
from pipeline.ffmpeg.cage import PROBING
from pipeline.ffmpeg.codecs import PICTURE_CODECS, SOUND_CODECS
from pipeline.ffmpeg.picture import Picture, picture_of
from pipeline.ffmpeg.timeline import Timeline, constant_rate
from pipeline.ffmpeg.tool import flags, guard, running
from pipeline.spec import VideoInfo

_NOT_TAKEN = "the file is not an MP4, MOV, WebM or AVI video"
#: What an MP4 or MOV may begin with. ffprobe would go by the file's name, and call a text "damaged".
_BOXES = frozenset({b"ftyp", b"styp", b"moov", b"moof", b"mdat", b"free", b"skip", b"wide", b"pnot", b"uuid"})
#: A file may end this much before what its header says, in seconds: rounded clocks, a last frame
#: without a duration. MP4 counts exactly, the others do not.
_MISSING_EXACT = 0.05
_MISSING_ROUNDED = 0.5
#: What the demuxers say of a file that ends inside a packet, without failing for it.
_CUT_SHORT = ("partial file", "ended prematurely")
#: More boxes than any real file has; a file of nothing else must not keep us busy.
_MOST_BOXES = 100_000
#: More packets than five minutes of any picture and its sound have. A few KB of index can claim millions,
#: and each costs us time and memory.
_MOST_PACKETS = 400_000
#: Sound that starts within this of the first frame needs no silence and no cut.
_IN_STEP_SECONDS = 0.001


#: Files of which we were told, the last ones.
_MOST_TOLD = 4


def probe(source: str | Path) -> VideoInfo:
    """The video at ``source``, a path or an http(s) address.

    Raises ``UnsupportedFormat`` for what is no MP4, MOV, WebM or AVI, ``Unreadable`` for one that is
    empty, cut short or without a picture, and ``ToolError`` where ffprobe cannot be run. Limits are
    not judged here, but for one: ``TooLong`` for a video that could not even be looked through.
    """
    return inspect(source).info


@dataclass(frozen=True, slots=True)
class Source:
    """A probed file, with what the reader needs besides the ``VideoInfo``."""

    info: VideoInfo
    stream: int
    timeline: Timeline
    picture: Picture
    #: Whether the frames lay on the grid of ``info.rate``; False for a variable rate.
    constant: bool
    #: Whether ffmpeg finds a time in this container exactly.
    seekable: bool
    #: When the first frame is shown, in seconds of the file's clock.
    start: float
    sound: Sound | None


_told: dict[tuple[Path, tuple[int, ...]], Source] = {}


@dataclass(frozen=True, slots=True)
class Sound:
    """The sound beside a picture."""

    stream: int
    sample_rate: int
    #: AAC as browsers play it, that starts with the picture: its packets can be taken as they are.
    copyable: bool


@dataclass(slots=True)
class _Packets:
    """What the packets of one stream say, as they come by."""

    times: list[int] = field(default_factory=list)
    keys: list[int] = field(default_factory=list)
    count: int = 0
    exact: bool = True
    first: int | None = None
    end: int = 0
    #: The presentation time and duration of the frame shown last.
    latest: tuple[int, int] = (-(2**63), 0)

    def add(self, pts: str, dts: str, duration: str, mark: str) -> None:
        self.count += 1
        if pts == "N/A":
            self.exact = False
            pts = dts
        if pts == "N/A":
            return
        time, length = int(pts), int(duration) if duration != "N/A" else 0
        self.first = time if self.first is None else min(self.first, time)
        self.end = max(self.end, time + length)
        if "D" in mark:  # an edit list cuts it: decoded, but never shown
            return
        self.times.append(time)
        if "K" in mark:
            self.keys.append(time)
        self.latest = max(self.latest, (time, length))


def inspect(source: str | Path) -> Source:
    """``probe``, with what the reader and the muxer need besides.

    A file that has not changed is looked through once: every reading of a span asks again.
    """
    if isinstance(source, str) and "://" in source:
        return _inspect(source)
    path = Path(source).absolute()
    if not path.is_file():
        raise Unreadable(f"there is no file {path.name}")
    return _told.get((path, _state_of(path))) or _inspect_file(path, _state_of(path))


def remember(path: Path, source: Source) -> None:
    """Take what ``inspect`` found out elsewhere, of the same bytes, for this file."""
    while len(_told) >= _MOST_TOLD:
        del _told[next(iter(_told))]
    _told[path.absolute(), _state_of(path)] = source


def _state_of(path: Path) -> tuple[int, ...]:
    state = path.stat()
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns


@lru_cache(maxsize=4)
def _inspect_file(path: Path, _state: tuple[int, ...]) -> Source:
    _check_file(path)
    return _inspect(path)


def _inspect(source: str | Path) -> Source:
    described = _describe(source)
    video = _video_stream(described)
    packets = _packets(source)
    _check_whole(described, packets)
    own = packets.get(video["index"], _Packets())
    if not own.times:
        raise Unreadable("the video has no frames")

    times = np.array(sorted(own.times), np.int64)
    keys = np.array(sorted(own.keys), np.int64)
    timeline = Timeline(times, keys, own.latest[1], Fraction(video["time_base"]), own.exact)
    rate, constant = constant_rate(timeline, video)
    picture = picture_of(source, video)
    start = float(int(times[0]) * timeline.tick) if own.exact else 0.0
    sound = _sound(described, packets, start)
    return Source(
        info=VideoInfo(
            width=picture.display[0] & ~1,
            height=picture.display[1] & ~1,
            rate=rate,
            frames=timeline.slots(rate),
            has_sound=sound is not None,
            codec=video["codec_name"],
        ),
        stream=video["index"],
        timeline=timeline,
        picture=picture,
        constant=constant,
        seekable=own.exact and "avi" not in described["format"]["format_name"],
        start=start,
        sound=sound,
    )


def _check_file(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(12)
        size = file.seek(0, 2)
    if not head:
        raise Unreadable("the file is empty")
    boxes = head[4:8] in _BOXES  # MP4 and MOV
    avi = head[:4] + head[8:] == b"RIFFAVI "
    if not (boxes or avi or head.startswith(b"\x1aE\xdf\xa3")):
        raise UnsupportedFormat(_NOT_TAKEN)
    # ffmpeg guesses an AVI's length from the bytes that are there; the header knows how many there were.
    if avi and size < int.from_bytes(head[4:8], "little") < 0xFFFF_0000:
        raise Unreadable(f"the video is cut short: {size} bytes of {int.from_bytes(head[4:8], 'little')}")
    if boxes:
        _check_boxes(path)


def _check_boxes(path: Path) -> None:
    """Refuse an MP4 or MOV whose last box was cut.

    ffmpeg takes what is left of a cut index without a word: the picture, and no sound.
    """
    whole = path.stat().st_size
    with path.open("rb") as file:
        at = 0
        for _ in range(_MOST_BOXES):
            if at + 16 > whole:
                return
            file.seek(at)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            if at + size > whole:
                raise Unreadable("the video is cut short: its last part is missing")
            if size < 8:  # the rest of the file is one box (0), or none: players skip it
                return
            at += size


def _describe(source: str | Path) -> dict[str, Any]:
    address, options = guard(source)
    wanted = ["-show_format", "-show_streams", "-of", "json"]
    arguments = ["-v", "error", *flags(options), *wanted, address]
    with running("ffprobe", arguments, reads=[source], limits=PROBING) as child:
        text = child.stdout.read()
        if child.process.wait() != 0:
            if "not on whitelist" in child.complaint():
                raise UnsupportedFormat(_NOT_TAKEN)
            raise child.failure("the video cannot be opened", Unreadable)
    described: dict[str, Any] = json.loads(text)
    return described


def _video_stream(described: dict[str, Any]) -> dict[str, Any]:
    for stream in described["streams"]:
        shown = stream.get("disposition", {})
        if stream.get("codec_type") == "video" and not (
            shown.get("attached_pic") or shown.get("timed_thumbnails")
        ):
            if "codec_name" not in stream or not stream.get("width") or not stream.get("height"):
                raise Unreadable("the video's picture cannot be decoded")
            _check_codec(stream, PICTURE_CODECS, "picture")
            found: dict[str, Any] = stream
            return found
    raise Unreadable("the file has no picture stream")


def _check_codec(stream: dict[str, Any], taken: Container[str], what: str) -> None:
    if stream["codec_name"] not in taken:
        raise UnsupportedFormat(f"the {what} is coded as {stream['codec_name']}, which is not taken")


def _packets(source: str | Path) -> dict[int, _Packets]:
    """Every stream's packets, streamed: a long video never lies in memory as text."""
    address, options = guard(source)
    wanted = ["-show_entries", "packet=stream_index,pts,dts,duration,flags", "-of", "csv=p=0"]
    found: dict[int, _Packets] = {}
    arguments = ["-v", "error", *flags(options), *wanted, address]
    with running("ffprobe", arguments, reads=[source], limits=PROBING) as child:
        for count, (stream, *values) in enumerate(_rows(child.stdout)):
            if count == _MOST_PACKETS:
                raise TooLong(f"the video has more than {_MOST_PACKETS} frames")
            found.setdefault(int(stream), _Packets()).add(*values[:4])
        child.process.wait()
        ends_early = any(words in child.complaint() for words in _CUT_SHORT)
        if ends_early or child.process.returncode != 0:
            raise child.failure("the video is damaged or cut short", Unreadable)
    return found


def _rows(lines: Iterable[bytes]) -> Iterator[list[str]]:
    for line in lines:
        values = line.decode("ascii", "replace").strip().split(",")
        if len(values) >= 5:  # side data adds empty lines
            yield values


def _check_whole(described: dict[str, Any], packets: dict[int, _Packets]) -> None:
    """Refuse a file whose packets end before its header says they do."""
    whole = described["format"].get("duration")
    is_mov = "mov" in described["format"]["format_name"]
    end = 0.0
    for stream in described["streams"]:
        seen = packets.get(stream["index"])
        if seen is None or seen.first is None or stream.get("codec_type") not in {"video", "audio"}:
            continue
        tick = Fraction(stream["time_base"])
        length = float((seen.end - seen.first) * tick)
        end = max(end, float(seen.end * tick))
        frame = length / max(seen.count - 1, 1)
        claimed = float(stream.get("duration", 0))
        if length + 2 * frame + (_MISSING_EXACT if is_mov else _MISSING_ROUNDED) < claimed:
            raise Unreadable(f"the video is cut short: {length:.2f} s of {claimed:.2f} s are there")
    if whole is not None and end + _MISSING_ROUNDED < float(whole) and not is_mov:
        raise Unreadable(f"the video is cut short: {end:.2f} s of {float(whole):.2f} s are there")


def _sound(described: dict[str, Any], packets: dict[int, _Packets], start: float) -> Sound | None:
    """The first stream of sound that has packets; the picture starts at ``start``."""
    for stream in described["streams"]:
        seen = packets.get(stream["index"])
        if (
            stream.get("codec_type") != "audio"
            or "codec_name" not in stream
            or seen is None
            or not seen.times
        ):
            continue
        _check_codec(stream, SOUND_CODECS, "sound")
        plain = stream["codec_name"] == "aac" and stream.get("profile") == "LC"
        with_picture = abs(float(stream.get("start_time", 0)) - start) < _IN_STEP_SECONDS
        rate = int(stream.get("sample_rate", 0))
        return Sound(stream["index"], rate, copyable=plain and with_picture and rate > 0)
    return None
