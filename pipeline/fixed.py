"""The stages of the fixed engine: small, but real work, which takes a given time and hardly any processor.

It stands for a graphics card where a farm of many workers is developed and measured on few cores. All
stages take and give what the real ones do, by the same readers and writers, and load neither torch nor
OpenCV nor mediapipe. The same input gives the same bytes; the options (``pipeline.choice``) are part of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pipeline.ahead import ahead
from pipeline.choice import Fixed
from pipeline.ffmpeg import VideoWriter, read_chosen, read_frames
from pipeline.pace import Pace
from pipeline.portrait import portray_people, portray_picture
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.spec import Background, Span, Stage, VideoInfo
from pipeline.units import items_of, numbered

Frame = NDArray[np.uint8]

#: A character is a square of so many pixels a side.
_SIDE = 24
#: Width and height of the frames that are analysed, and of the mattes.
_SMALL = (32, 18)
#: Frames of which a plate is the median.
_SEEN = 5


def _reference(request: Request, report: Report, _: Fixed) -> Done:
    """``character``: the picture, small and square."""
    from PIL import Image

    from pipeline.opening import opened

    files: dict[str, str] = {}
    for done, number in enumerate(request.spec.characters, 1):
        name = numbered("character", number)
        with opened(request.inputs[numbered("picture", number)]) as picture:
            small = picture.convert("RGB").resize((_SIDE, _SIDE), Image.Resampling.BOX)
        files[name] = _save(request.out / f"{name}.npz", pixels=np.asarray(small))
        report(Progress(done, len(request.spec.characters)))
    return Done(files)


def _analyse(request: Request, report: Report, _: Fixed) -> Done:
    """``piece-NNNN``: how bright each frame is; ``matte-NNNN``: where it is brighter than that."""
    video = _video(request)
    for span, forward in _spans(request, report):
        piece, matte = items_of(Stage.ANALYSE, request.spec, span)
        light, brighter = np.zeros(len(span), np.uint8), np.zeros((len(span), *_SMALL[::-1]), np.uint8)
        for number, frame in enumerate(read_frames(request.inputs["video"], video, span, _SMALL)):
            gray = frame.mean(axis=2, dtype=np.float64)
            light[number] = gray.mean()
            brighter[number] = gray > light[number]
            forward(Progress(number + 1, len(span)))
        files = {
            piece: _save(request.out / f"{piece}.npz", light=light),
            matte: _save(request.out / f"{matte}.npz", brighter=brighter),
        }
        forward(Item(span.index, files))
    return Done()


def _join(request: Request, report: Report, _: Fixed) -> Done:
    """``tracks``: the whole video's brightness; one person, no cuts."""
    names = sorted(name for name in request.inputs if name.startswith("piece-"))
    light = np.concatenate([_load(request.inputs[name])["light"] for name in names])
    path = _save(request.out / "tracks.npz", light=light)
    report(Progress(1, 1))
    person = hashlib.blake2s(light.tobytes(), digest_size=4).hexdigest()
    return Done({"tracks": path}, {"cuts": [], "people": [f"person_{person}"]})


def _sample(request: Request, report: Report, _: Fixed) -> Done:
    """``sample-NNNN``: those of a few frames, spread over the video, that are in the span."""
    video = _video(request)
    for span, forward in _spans(request, report):
        seen = {video.frames * i // _SEEN for i in range(_SEEN)}
        numbers = sorted(number for number in seen if span.start <= number < span.stop)
        frames = dict(
            zip(map(str, numbers), read_chosen(request.inputs["video"], video, numbers), strict=True)
        )
        [name] = items_of(Stage.SAMPLE, request.spec, span)
        forward(Progress(len(span), len(span)))
        forward(Item(span.index, {name: _save(request.out / f"{name}.npz", **frames)}))
    return Done()


def _plate(request: Request, report: Report, _: Fixed) -> Done:
    """``plate``: the median of the sampled frames."""
    names = sorted(name for name in request.inputs if name.startswith("sample-"))
    seen = np.stack([frame for name in names for frame in _load(request.inputs[name]).values()])
    path = _save(request.out / "plate.npz", pixels=np.median(seen, axis=0).astype(np.uint8))
    report(Progress(1, 1))
    return Done({"plate": path})


def _segment(request: Request, report: Report, fixed: Fixed) -> Done:
    """``segment-NNNN`` and, for a transparent background, ``mask-NNNN``; each frame takes its time.

    Frames are read ahead and encoded behind, as by a unit whose card is the slowest part of it.
    """
    video, picture = _video(request), _Picture(request, fixed)
    for span, forward in _spans(request, report):
        files = {name: request.out / f"{name}.mp4" for name in items_of(Stage.SEGMENT, request.spec, span)}
        with ExitStack() as stack:
            read = read_frames(request.inputs["video"], video, span)
            frames = stack.enter_context(closing(ahead(read)))
            writers: list[VideoWriter] = []
            pace = Pace(fixed.ms / 1000)
            for number, frame in enumerate(frames, span.start):
                pace.begin()
                # Started while the first frame takes its time, which starts with the decoder's first.
                writers = writers or [
                    stack.enter_context(VideoWriter(path, video.width, video.height, video.rate))
                    for path in files.values()
                ]
                drawn = picture.draw(number, frame)
                pace.end()
                for writer, each in zip(writers, drawn, strict=False):
                    writer.write(each)
                forward(Progress(number - span.start + 1, len(span)))
        forward(Item(span.index, {name: str(path) for name, path in files.items()}))
    return Done()


def _portrait(request: Request, report: Report, _: Fixed) -> Done:
    """Its one person fills the frame."""
    if "tracks" not in request.inputs:
        return portray_picture(request, report)
    video = _video(request)
    return portray_people(request, report, [(video.frames // 2, (0, 0, video.width, video.height))])


#: What ``pipeline.stages`` runs; stitching is the same for all engines, and is not here.
STAGES: Mapping[Stage, Callable[[Request, Report, Fixed], Done]] = {
    Stage.REFERENCE: _reference,
    Stage.ANALYSE: _analyse,
    Stage.JOIN: _join,
    Stage.SAMPLE: _sample,
    Stage.PLATE: _plate,
    Stage.SEGMENT: _segment,
    Stage.PORTRAIT: _portrait,
}


class _Picture:
    """What the engine shows: the driving frame, half its plate, with the characters before it."""

    def __init__(self, request: Request, fixed: Fixed) -> None:
        spec, video = request.spec, _video(request)
        self._light = _load(request.inputs["tracks"])["light"]
        self._plate = _load(request.inputs["plate"])["pixels"] // 2
        self._solid = None
        if spec.background is not Background.ORIGINAL:
            color = spec.bg_color if spec.background is Background.SOLID else (0, 0, 0)
            self._solid = np.full((video.height, video.width, 3), color, np.uint8)
        times = max(1, video.height // 4 // _SIDE)
        self._characters = [
            _load(request.inputs[numbered("character", number)])["pixels"]
            .repeat(times, 0)
            .repeat(times, 1)[: video.height, : video.width]
            for number in spec.characters
        ]
        digest = hashlib.blake2s(fixed.mark.encode(), digest_size=3).digest()
        self._tint = np.frombuffer(digest, np.uint8) // 4 if fixed.mark else None

    def draw(self, number: int, frame: Frame) -> tuple[Frame, Frame]:
        """The picture of frame ``number``, and where in it are characters."""
        shown = frame // 2 + self._plate if self._solid is None else self._solid.copy()
        mask = np.zeros_like(shown)
        for place, character in enumerate(self._characters):
            height, width = character.shape[:2]
            room = shown.shape[1] - width
            left = (int(self._light[number]) * room // 255 + place * width) % (room + 1)
            there = np.s_[shown.shape[0] - height :, left : left + width]
            shown[there], mask[there] = character, 255
        if self._tint is not None:
            shown = shown // 4 * 3 + self._tint
        return shown, mask


def _spans(request: Request, report: Report) -> Iterator[tuple[Span, Report]]:
    """The request's spans, each with a report that counts its frames after those of the ones before."""
    total, done = sum(len(span) for span in request.spans), 0
    for span in request.spans:

        def forward(event: Progress | Item, before: int = done) -> None:
            report(Progress(before + event.done, total) if isinstance(event, Progress) else event)

        yield span, forward
        done += len(span)


def _video(request: Request) -> VideoInfo:
    assert request.video is not None
    return request.video


def _save(path: Path, **arrays: NDArray[np.uint8]) -> str:
    """An npz of ``arrays``: the same ones give the same bytes."""
    with path.open("wb") as file:
        np.savez(file, **arrays)
    return str(path)


def _load(path: Path) -> dict[str, NDArray[np.uint8]]:
    with np.load(path, allow_pickle=False) as data:
        return dict(data)
