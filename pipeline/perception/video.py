"""The analyse stage: each piece of the driving video, decoded once, gives joints, mattes, cuts, camera.

Pieces know nothing of each other, so they can be worked on side by side; each starts a few frames
early, so that trackers are warm when their first frame counts. People are looked for some fifteen
times a second and at the ends of shots; between two looks a mask is the mean of both, drawn to the
frame's own edges, and joints are left to the join.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ahead import ahead
from pipeline.ffmpeg import read_frames
from pipeline.perception.base import Perception, Pose
from pipeline.perception.camera import CameraTracker
from pipeline.perception.collect import Collector
from pipeline.perception.embedded import EmbeddedPerception
from pipeline.perception.matte import MatteSmoother, refine
from pipeline.perception.mattes import MatteWriter
from pipeline.protocol import Done, Item, Progress, Report, Request
from pipeline.shots import CutFinder
from pipeline.spec import Span, VideoInfo

Frame = NDArray[np.uint8]
#: Everybody in a frame by slot, the nearest first, in the matte's pixels.
People = dict[int, Pose]

#: The shorter side of the frames in which people are looked for. From 720 down to 480 joints differ
#: by about 1 px at 1080p, less than the detector's own noise; at 480 a frame costs a third less.
SHORT_SIDE = 480
#: The shorter side of the mattes: what they cover is removed with a rim of twice what they lose.
MATTE_SIDE = 360
#: People are looked for at least so often. A dancer's wrist swings at 2-3 Hz.
_LOOKS_PER_SECOND = 15


def analyse(request: Request, report: Report) -> Done:
    """Write ``piece-NNNN`` and ``matte-NNNN`` for each span of the request."""
    assert request.video is not None
    total = sum(len(span) for span in request.spans)
    done = 0
    with EmbeddedPerception(request.spec.model) as perception:
        for span in request.spans:
            files = {
                f"{name}-{span.index:04d}": request.out / f"{name}-{span.index:04d}{suffix}"
                for name, suffix in (("piece", ".npz"), ("matte", ".mkv"))
            }
            for _ in _piece(request, span, perception, *files.values()):
                done += 1
                report(Progress(done, total))
            report(Item(span.index, {name: str(path) for name, path in files.items()}))
    return Done()


def size_for(video: VideoInfo, short_side: int) -> tuple[int, int]:
    """Width and height of the video's frames with a shorter side of at most ``short_side``."""
    scale = min(1.0, short_side / min(video.width, video.height))
    return max(2, round(video.width * scale)), max(2, round(video.height * scale))


def stride_of(rate: Fraction) -> int:
    """Every how many frames people are looked for."""
    return max(1, int(rate / _LOOKS_PER_SECOND))


def _piece(request: Request, span: Span, perception: Perception, piece: Path, matte: Path) -> Iterator[None]:
    """Analyse one span and write its files; yields after each of its frames."""
    video = request.video
    assert video is not None
    size = size_for(video, MATTE_SIDE)
    camera, smooth = CameraTracker(), MatteSmoother()
    collected = Collector(span, video, size)
    perception.reset(piece=True)
    looks = ahead(_looks(request, span, perception, collected))
    with closing(looks), MatteWriter(matte, size, video.rate) as writer:
        slots = np.zeros(size[::-1], np.uint8)
        for look, people in _between(looks, size):
            if look.number >= span.stop:
                break
            small = np.asarray(cv2.resize(look.rgb, size, interpolation=cv2.INTER_AREA), np.uint8)
            if look.cut:
                smooth.reset()
            found, slots = _matte(small, people, slots)
            found = smooth(small, found)
            levels = np.asarray(np.rint(found * 255), np.uint8)
            moved = camera(small, found, look.cut)
            collected.add_frame(look.number, small, levels, moved, cut=look.cut)
            if look.number >= span.start:
                writer.write(levels, slots)
                yield
    collected.piece().save(piece)


@dataclass(frozen=True, slots=True)
class _Look:
    """A frame, and who is in it where somebody looked."""

    number: int
    rgb: Frame
    cut: bool
    people: People | None


def _looks(request: Request, span: Span, perception: Perception, collected: Collector) -> Iterator[_Look]:
    """The frames of ``span`` from its warm-up on, and on to the first look behind it.

    Looks are at fixed numbers, so that pieces agree on them; besides, at the last frame before a cut,
    so that nothing is guessed across it, and at the video's last.
    """
    video = request.video
    assert video is not None
    stride = stride_of(video.rate)
    first = max(0, span.start - request.plan.warmup_frames)
    frames = read_frames(
        request.inputs["video"],
        video,
        Span(0, first, min(video.frames, span.stop + stride)),
        size=size_for(video, SHORT_SIDE),
    )
    find_cut = CutFinder(video.rate)

    def looked(number: int, rgb: Frame, cut: bool, *, last: bool) -> _Look:
        if number % stride and not (cut or last or number == first):
            return _Look(number, rgb, cut, None)
        people = perception.look(rgb)
        collected.add_look(number, rgb, people, perception.details(rgb, people))
        return _Look(number, rgb, cut, people)

    held: tuple[int, Frame, bool] | None = None
    for number, rgb in enumerate(frames, first):
        cut = find_cut(rgb)
        if held is not None:
            yield looked(*held, last=cut)
            if cut:
                perception.reset()
        held = number, rgb, cut
    if held is not None:
        yield looked(*held, last=held[0] + 1 == video.frames)


def _between(looks: Iterator[_Look], size: tuple[int, int]) -> Iterator[tuple[_Look, People]]:
    """Every look with its people at ``size``: where nobody looked, the mean of those before and after."""
    before: People = {}
    waiting: list[_Look] = []
    for look in looks:
        if look.people is None:
            waiting.append(look)
            continue
        here = {slot: _resized(pose, size) for slot, pose in look.people.items()}
        for step, passed in enumerate(waiting, 1):
            yield passed, _mean(before, here, step / (len(waiting) + 1))
        waiting.clear()
        yield look, here
        before = here
    yield from ((passed, before) for passed in waiting)


def _resized(pose: Pose, size: tuple[int, int]) -> Pose:
    factor = np.array(
        [size[0] / pose.mask.shape[1], size[1] / pose.mask.shape[0], size[0] / pose.mask.shape[1], 1]
    )
    mask = cv2.resize(pose.mask, size, interpolation=cv2.INTER_AREA)
    return Pose((pose.joints * factor).astype(np.float32), np.asarray(mask, np.float32))


def _mean(before: People, after: People, share: float) -> People:
    """Everybody at ``share`` of the way; who is in one only, as they are there."""
    people: People = {}
    for slot in [*before, *(slot for slot in after if slot not in before)]:
        one, other = before.get(slot), after.get(slot)
        if one is None or other is None:
            people[slot] = one or other  # type: ignore[assignment]  # it is in one of them
        else:
            people[slot] = Pose(
                (1 - share) * one.joints + share * other.joints,
                np.asarray(cv2.addWeighted(one.mask, 1 - share, other.mask, share, 0), np.float32),
            )
    return people


def _matte(rgb: Frame, people: People, before: Frame) -> tuple[NDArray[np.float32], Frame]:
    """Everybody's matte, 0-1, and each pixel's slot; where two claim one, the nearer has it.

    Where nobody claims one it stays whose it was (``before``): what smoothing leaves of somebody who is
    not found any more must not become another's.
    """
    found = np.zeros(rgb.shape[:2], np.float32)
    slots = before.copy()
    for slot, pose in people.items():
        own = refine(rgb, pose.mask, pose.joints)
        slots[own > found] = slot
        found = np.asarray(cv2.max(found, own), np.float32)
    return found, slots
