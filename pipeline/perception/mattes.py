"""The mattes of a video: one file a piece, read as one stream.

A frame of the file is twice as high as the matte: above, how much of each pixel is people; below,
under which number (slot) the frame's finder has the person whose pixel it is. So mattes cost the
same however many people there are, and stay lossless.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import chain, islice, repeat
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import GrayWriter, read_gray
from pipeline.perception.bodies import outline
from pipeline.perception.join import GAP_SECONDS
from pipeline.perception.tracks import Person, Tracks
from pipeline.protocol import Request
from pipeline.shots import shot_at
from pipeline.spec import Span

Matte = NDArray[np.uint8]
#: Everybody's matte, and the slots of the people whose pixels they are.
Found = tuple[Matte, Matte]


class MatteWriter:
    """Writes a piece's mattes, frame by frame; use it in a ``with``."""

    def __init__(self, path: Path, size: tuple[int, int], rate: Fraction) -> None:
        width, height = size
        self._writer = GrayWriter(path, width, 2 * height, rate)

    def write(self, matte: Matte, slots: Matte) -> None:
        """Append a frame; both uint8 (H, W)."""
        self._writer.write(np.vstack([matte, slots]))

    def __enter__(self) -> MatteWriter:
        self._writer.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.__exit__(*error)  # type: ignore[arg-type]  # what __exit__ is given


def found_mattes(request: Request, span: Span, tracks: Tracks) -> Iterator[Found]:
    """The matte of every frame of ``span`` as the detector found it."""
    assert request.video is not None
    width, height = tracks.matte_size
    for piece in request.plan.pieces(request.video.frames):
        start, stop = max(span.start, piece.start), min(span.stop, piece.stop)
        if start < stop:
            path = request.inputs[f"matte-{piece.index:04d}"]
            for both in read_gray(path, width, 2 * height, start - piece.start, stop - start):
                yield both[:height], both[height:]


def chosen_mattes(request: Request, numbers: Sequence[int], tracks: Tracks) -> Iterator[Matte | None]:
    """Everybody's matte in the frames of these ``numbers``, which ascend.

    None for a frame in which the detector missed somebody who is there.
    """
    assert request.video is not None
    wanted = sorted(numbers)
    for piece in request.plan.pieces(request.video.frames):
        here = [number for number in wanted if piece.start <= number < piece.stop]
        if here:
            span = Span(piece.index, here[0], here[-1] + 1)
            for number, found in enumerate(found_mattes(request, span, tracks), span.start):
                if number in here:
                    there = (person for person in tracks.people if person.present[number])
                    yield found[0] if all(_of(each, found, number).any() for each in there) else None


def mattes(
    request: Request, span: Span, tracks: Tracks, people: Sequence[Person] | None = None
) -> Iterator[Matte]:
    """The matte of ``people`` (default: of all in ``tracks``) in every frame of ``span``, uint8 (H, W)."""
    nothing = np.zeros(tracks.matte_size[::-1], np.uint8)
    for each in mattes_of(request, span, tracks, tracks.people if people is None else people):
        yield union(each) if each else nothing


def union(mattes: Sequence[Matte]) -> Matte:
    """What any of one or more ``mattes`` of one size covers."""
    whole = mattes[0]
    for matte in mattes[1:]:
        whole = np.asarray(cv2.max(whole, matte), np.uint8)
    return whole


def mattes_of(
    request: Request, span: Span, tracks: Tracks, people: Sequence[Person]
) -> Iterator[tuple[Matte, ...]]:
    """The matte of each of ``people`` in every frame of ``span``; where tracks bridge a gap, so do mattes.

    A frame in which the detector missed a person who is there gets what the nearest mattes on both
    sides cover, in its own shot: empty, it would show the driver beside the character, and in the plate.
    Where those are too far away (somebody is behind another), the body is drawn from its joints, and
    taken out of mattes that were drawn over it. It is the same in whatever span it is read.
    """
    video = request.video
    assert video is not None
    reach = round(GAP_SECONDS * video.rate)
    start, stop = max(0, span.start - reach), min(video.frames, span.stop + reach)
    nothing = np.zeros(tracks.matte_size[::-1], np.uint8)
    found = found_mattes(request, Span(span.index, start, stop), tracks)
    before, after = reach - (span.start - start), reach - (stop - span.stop)
    stream = chain(repeat((nothing, nothing), before), found, repeat((nothing, nothing), after))
    window = deque(islice(stream, 2 * reach), 2 * reach + 1)
    bodies = _Bodies(tracks, video.width)
    for number, last in enumerate(stream, span.start):
        window.append(last)
        here = [_of(person, window[reach], number) for person in people]
        for index, person in enumerate(people):
            if not person.present[number] or here[index].any():
                continue
            bridged = _bridged(person, window, number, shot_at(number, tracks.cuts, video.frames))
            if bridged is None:
                bridged = bodies.behind(person, number)
                here = [np.where(bridged > 0, np.uint8(0), matte) for matte in here]
            here[index] = bridged
        yield tuple(here)


class _Bodies:
    """Draws people's outlines from their joints."""

    def __init__(self, tracks: Tracks, width: int) -> None:
        self._tracks = tracks
        self._scale = np.array([tracks.matte_size[0] / width] * 3 + [1], np.float32)

    def behind(self, person: Person, number: int) -> Matte:
        """What can be seen of somebody who was not found since they are behind the others."""
        size = self._tracks.matte_size[::-1]
        body = outline(person.joints[number] * self._scale, size)
        for other in self._tracks.people:
            if other.id != person.id and other.present[number]:
                body[outline(other.joints[number] * self._scale, size) > 0] = 0
        return body


def _of(person: Person, found: Found, number: int) -> Matte:
    matte, slots = found
    slot = int(person.slot[number])
    return np.where(slots == slot, matte, np.uint8(0)) if slot >= 0 else np.zeros_like(matte)


def _bridged(person: Person, window: Sequence[Found], number: int, shot: tuple[int, int]) -> Matte | None:
    """What a person's nearest mattes before and after frame ``number`` cover; None where one is missing.

    ``window`` is what was found in the frames around it, of which those in its own ``shot`` count.
    """
    reach = len(window) // 2
    earlier = range(number - 1, max(number - reach, shot[0]) - 1, -1)
    later = range(number + 1, min(number + reach + 1, shot[1]))
    before, after = (
        next((own for at in side if (own := _of(person, window[at - number + reach], at)).any()), None)
        for side in (earlier, later)
    )
    return None if before is None or after is None else union((before, after))
