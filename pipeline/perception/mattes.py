"""The mattes of a video, read from the pieces' files as one stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import chain, islice, repeat

import cv2
import numpy as np
from numpy.typing import NDArray

from pipeline.ffmpeg import read_gray
from pipeline.perception.join import GAP_SECONDS
from pipeline.perception.tracks import Tracks
from pipeline.protocol import Request
from pipeline.spec import Span

Matte = NDArray[np.uint8]


def found_mattes(request: Request, span: Span, tracks: Tracks) -> Iterator[Matte]:
    """The matte of every frame of ``span`` as the detector found it."""
    assert request.video is not None
    for piece in request.plan.pieces(request.video.frames):
        start, stop = max(span.start, piece.start), min(span.stop, piece.stop)
        if start < stop:
            path = request.inputs[f"matte-{piece.index:04d}"]
            yield from read_gray(path, *tracks.matte_size, start - piece.start, stop - start)


def mattes(request: Request, span: Span, tracks: Tracks) -> Iterator[Matte]:
    """The matte of every frame of ``span``; where the tracks bridge a gap, so do the mattes.

    A frame in which the detector missed a person who is there gets what the nearest mattes on both
    sides cover: empty, it would show the driver beside the character, and in the plate. It is the
    same in whatever span it is read.
    """
    video = request.video
    assert video is not None
    reach = round(GAP_SECONDS * video.rate)
    start, stop = max(0, span.start - reach), min(video.frames, span.stop + reach)
    nothing = np.zeros(tracks.matte_size[::-1], np.uint8)
    stream = chain(
        repeat(nothing, reach - (span.start - start)),
        found_mattes(request, Span(span.index, start, stop), tracks),
        repeat(nothing, reach - (stop - span.stop)),
    )
    window = deque(islice(stream, 2 * reach), 2 * reach + 1)
    for number, last in enumerate(stream, span.start):
        window.append(last)
        around = list(window)
        matte = around[reach]
        if not matte.any() and any(person.present[number] for person in tracks.people):
            sides = reversed(around[:reach]), around[reach + 1 :]
            before, after = (next((side for side in near if side.any()), nothing) for near in sides)
            matte = np.asarray(cv2.max(before, after), np.uint8)
        yield matte
