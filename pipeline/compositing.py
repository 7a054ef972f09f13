"""The segment stage: scene, characters and background become encoded frames.

Nothing is held for longer than a few frames: driver, mattes and engines are streams that run in step.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ahead import ahead
from pipeline.casting import Part, kept_of, parts_of
from pipeline.character import Character
from pipeline.depth import Depth
from pipeline.engines.base import Engine, Rgba, Scene
from pipeline.engines.puppet.draw import over as lay_on
from pipeline.errors import EngineError
from pipeline.ffmpeg import VideoWriter, read_frames
from pipeline.perception.mattes import Matte, mattes_of, union
from pipeline.perception.tracks import Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Item, Progress, Report, Request
from pipeline.scene import scene_of
from pipeline.spec import Background, Span

Frame = NDArray[np.uint8]
#: A frame's background, and the mattes of the people in it who keep their own looks.
Stage = tuple[Frame, tuple[Matte, ...]]

#: Progress is told every so many frames.
_TELL_EVERY = 8
_NOBODY = np.zeros((0, 0), np.uint8)


def render_segment(
    request: Request,
    span: Span,
    tracks: Tracks,
    plate: Plate,
    characters: Mapping[int, Character],
    engine: Engine,
    report: Report,
) -> Item:
    """Draw ``span`` into ``segment-NNNN`` (and ``mask-NNNN`` for a transparent background).

    Exactly ``len(span)`` frames of the video's size and rate; an engine that gives another number,
    another shape or values that are no numbers raises ``EngineError`` and leaves no file.
    """
    video = request.video
    assert video is not None
    name = f"{span.index:04d}"
    files = {f"segment-{name}": request.out / f"segment-{name}.mp4"}
    if request.spec.background is Background.TRANSPARENT:
        files[f"mask-{name}"] = request.out / f"mask-{name}.mp4"
    with ExitStack() as stack:
        writers = [
            stack.enter_context(VideoWriter(path, video.width, video.height, video.rate))
            for path in files.values()
        ]
        pictures = stack.enter_context(closing(composed(request, span, tracks, plate, characters, engine)))
        for number, (picture, performer) in enumerate(pictures, 1):
            writers[0].write(picture)
            for mask in writers[1:]:
                mask.write(_gray(performer))
            if number % _TELL_EVERY == 0 or number == len(span):
                report(Progress(number, len(span)))
    item = Item(span.index, {key: str(path) for key, path in files.items()})
    report(item)
    return item


def composed(
    request: Request,
    span: Span,
    tracks: Tracks,
    plate: Plate,
    characters: Mapping[int, Character],
    engine: Engine,
) -> Generator[tuple[Frame, Rgba], None, None]:
    """Each frame of ``span`` as it goes to the encoder, and what of it is characters."""
    company = _Company(request, tracks)
    linear = request.spec.background is not Background.TRANSPARENT
    # Before the streams run: a plate holds one canvas at a time, and the backgrounds' thread turns it.
    scenes = [scene_of(request, span, tracks, part.person, plate) for part in company.parts]
    with ExitStack() as stack:
        drawn = [
            stack.enter_context(
                closing(ahead(_drawn(span, part.person, scene, characters[part.character], engine)))
            )
            for part, scene in zip(company.parts, scenes, strict=True)
        ]
        stages = stack.enter_context(closing(ahead(_backgrounds(request, span, tracks, plate, company))))
        for number in range(span.start, span.stop):
            performers = [next(each) for each in drawn]
            scene, kept = next(stages)
            performer = company.together(performers, kept, number)
            yield over(scene, performer, linear=linear), performer
        if any(next(each, None) is not None for each in drawn):
            raise EngineError(f"{engine.id} gave more than {len(span)} frames.")


class _Company:
    """Who plays and who is kept, and who of them stands in front of whom."""

    def __init__(self, request: Request, tracks: Tracks) -> None:
        assert request.video is not None
        self.parts: Sequence[Part] = parts_of(request.spec, tracks)
        # Before one colour nobody but the characters is shown.
        original = request.spec.background is Background.ORIGINAL
        self.kept: Sequence[Person] = kept_of(request.spec, tracks) if original else ()
        self.played = [part.person for part in self.parts]
        self._depth = Depth([*self.played, *self.kept], tracks.cuts, float(request.video.rate))

    def together(self, performers: Sequence[Rgba], kept: Sequence[Matte], frame: int) -> Rgba:
        """All performers of a frame on each other, hidden where somebody stands in front of them."""
        hidden = [
            _hidden(performer, self._in_front(person, kept, frame))
            for performer, person in zip(performers, self.played, strict=True)
        ]
        if len(hidden) == 1:
            return hidden[0]
        together = np.zeros_like(hidden[0])
        for person in self._depth.rearmost_first(self.played, frame):
            lay_on(together, hidden[self.played.index(person)])
        return together

    def _in_front(self, person: Person, kept: Sequence[Matte], frame: int) -> Matte:
        """The mattes of those who are kept and stand in front of ``person``."""
        front = [
            matte
            for other, matte in zip(self.kept, kept, strict=True)
            if other.present[frame] and self._depth.in_front(other, person, frame)
        ]
        return union(front) if front else _NOBODY


def _hidden(performer: Rgba, front: Matte) -> Rgba:
    """``performer`` without what ``front`` (uint8 (h, w), of any size) covers."""
    if not front.any():
        return performer
    height, width = performer.shape[:2]
    full = cv2.resize(front, (width, height), interpolation=cv2.INTER_LINEAR)
    keep = cv2.bitwise_not(cv2.merge([full] * 4))
    return np.asarray(cv2.multiply(performer, keep, scale=1 / 255), np.uint8)


def _drawn(span: Span, person: Person, scene: Scene, character: Character, engine: Engine) -> Iterator[Rgba]:
    """The engine's frames of one part, each checked; ``EngineError`` where one is missing or wrong."""
    count = 0
    for frame in engine.perform(character, person, span, scene):
        yield _checked(frame, scene.size, engine)
        count += 1
    if count < len(span):
        raise EngineError(f"{engine.id} gave {count} of {len(span)} frames.")


def _checked(frame: object, size: tuple[int, int], engine: Engine) -> Rgba:
    """The frame as the bytes that were promised: uint8, or floats from 0 to 1."""
    if not isinstance(frame, np.ndarray):
        raise EngineError(f"{engine.id} gave no frame but a {type(frame).__name__}.")
    if frame.shape != (size[1], size[0], 4):
        raise EngineError(f"{engine.id} gave a frame of {frame.shape} for a video of {size[0]}x{size[1]}.")
    if frame.dtype == np.uint8:
        return frame
    if frame.dtype.kind != "f":
        raise EngineError(f"{engine.id} gave a frame of {frame.dtype}, neither uint8 nor floats.")
    if not np.isfinite(frame).all():
        raise EngineError(f"{engine.id} gave values that are no numbers.")
    return np.asarray(np.rint(np.clip(frame, 0, 1) * 255), np.uint8)


def _backgrounds(
    request: Request, span: Span, tracks: Tracks, plate: Plate, company: _Company
) -> Iterator[Stage]:
    """What stands behind the characters, frame by frame; every frame is the caller's own."""
    video = request.video
    assert video is not None
    spec = request.spec
    if spec.background is not Background.ORIGINAL:
        color = spec.bg_color if spec.background is Background.SOLID else (0, 0, 0)
        for _ in range(len(span)):
            yield np.full((video.height, video.width, 3), color, np.uint8), ()
        return
    frames = read_frames(request.inputs["video"], video, span)
    people = [*company.played, *company.kept]
    mattes = mattes_of(request, span, tracks, people)
    for number, (frame, each) in enumerate(zip(frames, mattes, strict=True), span.start):
        gone, kept = each[: len(company.played)], each[len(company.played) :]
        yield plate.clean(number, frame, union(gone), union(kept) if kept else None), kept


_LINEAR = np.asarray((np.arange(256) / 255) ** 2.2, np.float32)
_ENCODED = np.asarray(np.rint(255 * (np.arange(4097) / 4096) ** (1 / 2.2)), np.uint8)


def over(scene: Frame, performer: Rgba, *, linear: bool = True) -> Frame:
    """Lay premultiplied ``performer`` on ``scene``; at its soft edge, light adds as light does.

    Mixed as encoded values, a bright edge before a dark scene would get a dark seam. With ``linear``
    off the premultiplied colours are added as they are, which is what a matching mask undoes.
    """
    left, top, width, height = cv2.boundingRect(cv2.extractChannel(performer, 3))
    if width == 0:
        return scene
    inner = np.s_[top : top + height, left : left + width]
    below, above = scene[inner], np.ascontiguousarray(performer[inner])
    a = cv2.extractChannel(above, 3)
    # Most pixels are all one or all the other: only those between cost a sum. Where alpha is 0 the
    # scene stays to the bit.
    between = cv2.findNonZero(cv2.inRange(a, np.array(1), np.array(254)))
    columns, rows = np.zeros((2, 0), np.intp) if between is None else between[:, 0].T
    edge = rows, columns
    cut = above[edge].astype(np.float32)
    share = cut[:, 3:] / 255
    if linear:
        own = np.minimum(np.rint(cut[:, :3] / share), 255).astype(np.uint8)
        light = _LINEAR[own] * share + _LINEAR[below[edge]] * (1 - share)
        mixed = _ENCODED[np.rint(light * 4096).astype(np.int32)]
    else:
        mixed = np.minimum(np.rint(cut[:, :3] + below[edge] * (1 - share)), 255).astype(np.uint8)
    cv2.copyTo(cv2.cvtColor(above, cv2.COLOR_RGBA2RGB), cv2.inRange(a, np.array(255), np.array(255)), below)
    below[edge] = mixed
    return scene


def _gray(performer: Rgba) -> Frame:
    """The mask as the video that goes with a transparent background: white is the character."""
    return np.asarray(cv2.merge([cv2.extractChannel(performer, 3)] * 3), np.uint8)
