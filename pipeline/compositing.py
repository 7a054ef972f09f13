"""The segment stage: scene, character and background become encoded frames.

Nothing is held for longer than a frame: driver, mattes and engine are streams that run in step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.character import Character
from pipeline.engines.base import Engine, Rgba, Scene
from pipeline.errors import EngineError
from pipeline.ffmpeg import VideoWriter, read_frames
from pipeline.perception.mattes import found_mattes, mattes
from pipeline.perception.tracks import Joint, Person, Tracks
from pipeline.plate import Plate
from pipeline.protocol import Item, Progress, Report, Request
from pipeline.spec import Background, Span

Frame = NDArray[np.uint8]

#: Progress is told every so many frames.
_TELL_EVERY = 8
#: Mattes looked at to find what stands in front of the driver.
_LOOKED_AT = 90


def render_segment(
    request: Request,
    span: Span,
    tracks: Tracks,
    plate: Plate,
    character: Character,
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
        drawn = _drawn(request, span, tracks, plate, character, engine)
        scenes = _backgrounds(request, span, tracks, plate)
        for number in range(len(span)):
            performer = next(drawn)
            picture = over(next(scenes), performer, linear=len(writers) == 1)
            for writer, frame in zip(writers, (picture, _gray(performer)), strict=False):
                writer.write(frame)
            if (number + 1) % _TELL_EVERY == 0 or number + 1 == len(span):
                report(Progress(number + 1, len(span)))
        if next(drawn, None) is not None:
            raise EngineError(f"{engine.id} gave more than {len(span)} frames.")
    item = Item(span.index, {key: str(path) for key, path in files.items()})
    report(item)
    return item


def _drawn(
    request: Request, span: Span, tracks: Tracks, plate: Plate, character: Character, engine: Engine
) -> Iterator[Rgba]:
    """The engine's frames, each checked; ``EngineError`` where one is missing or wrong."""
    assert request.video is not None
    size = (request.video.width, request.video.height)
    if not tracks.people:
        yield from (np.zeros((size[1], size[0], 4), np.uint8) for _ in range(len(span)))
        return
    scene = scene_of(request, span, tracks, plate)
    count = 0
    for frame in engine.perform(character, tracks.people[0], span, scene):
        yield _checked(frame, size, engine)
        count += 1
    if count < len(span):
        raise EngineError(f"{engine.id} gave {count} of {len(span)} frames.")


def _checked(frame: NDArray[np.generic], size: tuple[int, int], engine: Engine) -> Rgba:
    if frame.shape != (size[1], size[0], 4):
        raise EngineError(f"{engine.id} gave a frame of {frame.shape} for a video of {size[0]}x{size[1]}.")
    if frame.dtype == np.uint8:
        return np.asarray(frame, np.uint8)
    values = np.asarray(frame, np.float32)
    if not np.isfinite(values).all():
        raise EngineError(f"{engine.id} gave values that are no numbers.")
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255), np.uint8)


def _backgrounds(request: Request, span: Span, tracks: Tracks, plate: Plate) -> Iterator[Frame]:
    """What stands behind the character, frame by frame; every frame is the caller's own."""
    video = request.video
    assert video is not None
    spec = request.spec
    if spec.background is not Background.ORIGINAL:
        color = spec.bg_color if spec.background is Background.SOLID else (0, 0, 0)
        for _ in range(len(span)):
            yield np.full((video.height, video.width, 3), color, np.uint8)
        return
    frames = read_frames(request.inputs["video"], video, span)
    for number, (frame, matte) in enumerate(
        zip(frames, mattes(request, span, tracks), strict=True), span.start
    ):
        yield plate.clean(number, frame, matte)


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
    keep = cv2.bitwise_not(cv2.merge([a, a, a]))
    # Where alpha is 0, a value times 255 over 255 is itself: the scene stays to the bit.
    mixed = cv2.add(cv2.multiply(below, keep, scale=1 / 255), cv2.cvtColor(above, cv2.COLOR_RGBA2RGB))
    if linear:
        edge = (a > 0) & (a < 255)
        share = (a[edge].astype(np.float32) / 255)[:, None]
        own = np.minimum(np.rint(above[..., :3][edge] / share), 255).astype(np.uint8)
        light = _LINEAR[own] * share + _LINEAR[below[edge]] * (1 - share)
        mixed[edge] = _ENCODED[np.rint(light * 4096).astype(np.int32)]
    scene[inner] = mixed
    return scene


def _gray(performer: Rgba) -> Frame:
    """The mask as the video that goes with a transparent background: white is the character."""
    return np.asarray(cv2.merge([cv2.extractChannel(performer, 3)] * 3), np.uint8)


def scene_of(request: Request, span: Span, tracks: Tracks, plate: Plate) -> Scene:
    """What the engine may know of the place; the same for all segments of a shot."""
    video = request.video
    assert video is not None
    start = max([0, *(cut for cut in tracks.cuts if cut <= span.start)])
    original = request.spec.background is Background.ORIGINAL
    return Scene(
        size=(video.width, video.height),
        rate=float(video.rate),
        cuts=tracks.cuts,
        ledge=_ledge(request, start, tracks) if original else None,
        light=_light(plate.frame(start)) if original else None,
        shadows=original,
    )


def _light(plate: Frame) -> tuple[float, float, float]:
    """Mean linear colour of a background, 0-1."""
    small = cv2.resize(plate, (64, 36), interpolation=cv2.INTER_AREA)
    red, green, blue = (float(v) for v in _LINEAR[small].mean(axis=(0, 1)))
    return red, green, blue


def _ledge(request: Request, start: int, tracks: Tracks) -> float | None:
    """The row below which something in front of the driver hides them in the shot that begins at ``start``.

    Where the body ends well above the frame's lower edge, always at about the same row, and no feet
    are seen, something stands before it.
    """
    video = request.video
    assert video is not None
    stop = min([video.frames, start + _LOOKED_AT, *(cut for cut in tracks.cuts if cut > start)])
    person = tracks.people[0]
    feet = person.joints[start:stop, [Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE], 3]
    if np.nanmean(np.where(np.isfinite(feet), feet, 0)) > 0.3:
        return None
    rows = [
        row
        for number, (matte, _) in enumerate(found_mattes(request, Span(0, start, stop), tracks), start)
        if (row := _lowest(matte, person, number, video.width)) is not None
    ]
    if not rows:
        return None
    scale = video.height / tracks.matte_size[1]
    lowest, spread = float(np.percentile(rows, 80)) + 1, float(np.std(rows))
    if lowest > 0.97 * tracks.matte_size[1] or spread > 0.03 * tracks.matte_size[1]:
        return None
    return lowest * scale


def _lowest(matte: Frame, person: Person, number: int, width: int) -> int | None:
    """The lowest row of the trunk in a matte; None where there is none."""
    if not person.present[number]:
        return None
    scale = matte.shape[1] / width
    shoulders = person.joints[number, [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], 0] * scale
    middle, half = float(shoulders.mean()), max(2.0, 0.3 * float(abs(shoulders[0] - shoulders[1])))
    columns = matte[:, max(0, int(middle - half)) : max(0, int(middle + half)) + 1] > 127
    found = np.flatnonzero(columns.any(axis=1))
    return int(found[-1]) if len(found) else None
