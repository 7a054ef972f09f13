"""The frames between two looks at a person, worked out from the looks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicHermiteSpline

from pipeline.perception.bodies import box_of
from pipeline.perception.link import Chain
from pipeline.perception.pieces import Piece
from pipeline.perception.sides import steady_sides
from pipeline.perception.smoothing import runs
from pipeline.perception.tracks import JOINTS, Joint

Floats = NDArray[np.float32]
#: Seconds that somebody may be hidden by another.
_HIDDEN_SECONDS = 1.5
#: Seconds between two looks at a face or hand that are still joined by a line.
_LONGEST_STEP = 0.3
_TRUNK = [Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP]


@dataclass(frozen=True, slots=True)
class Found:
    """What a chain's looks say of every frame of the video."""

    #: float32 (T, 33, 4); NaN where the person was not seen.
    joints: Floats
    #: int16 (T,): the slot in the frame's matte; -1 where not seen.
    slot: NDArray[np.int16]
    #: As in ``tracks.Person``; None where nobody looked.
    face: Floats | None = None
    hands: Floats | None = None


def found_of(
    chain: Chain,
    pieces: Sequence[Piece],
    looked: NDArray[np.bool_],
    spans: Sequence[tuple[int, int]],
    rate: float,
) -> Found:
    """The joints of ``chain`` in every frame: seen, or between two looks that saw them.

    Where only one of two neighbouring looks saw somebody, they are taken to have stood there as they
    did then: so are the mattes. Nothing reaches over a cut.
    """
    joints = np.full((len(looked), JOINTS, 4), np.nan, np.float32)
    slot = np.full(len(looked), -1, np.int16)
    for part in chain:
        piece = pieces[part.piece]
        own = piece.joints[part.slot, part.first - piece.start : part.last - piece.start + 1]
        seen = np.isfinite(own[:, 0, 0])
        joints[part.first : part.last + 1][seen] = own[seen]
        slot[part.first : part.last + 1][seen] = part.slot
    home = np.repeat(np.arange(len(pieces)), [len(piece.looked) for piece in pieces])
    for start, stop in spans:
        here = slice(start, stop)
        _between(joints[here], slot[here], looked[here], home[here])
    face, hands = (_details(name, chain, pieces, len(looked), spans, rate) for name in ("face", "hands"))
    return Found(joints, slot, face, hands)


def _details(
    name: str,
    chain: Chain,
    pieces: Sequence[Piece],
    frames: int,
    spans: Sequence[tuple[int, int]],
    rate: float,
) -> Floats | None:
    """A chain's faces or hands in every frame; straight lines between looks that are near each other."""
    if not any(len(getattr(pieces[part.piece], name)) for part in chain):
        return None
    shape = getattr(pieces[0], name).shape[2:]
    whole = np.full((frames, *shape), np.nan, np.float32)
    for part in chain:
        piece = pieces[part.piece]
        own = getattr(piece, name)[part.slot, part.first - piece.start : part.last - piece.start + 1]
        whole[part.first : part.last + 1] = np.where(np.isfinite(own), own, whole[part.first : part.last + 1])
    # A hand is seen or not by itself: each is a column of its own.
    columns = whole.reshape(frames, 2, -1) if name == "hands" else whole.reshape(frames, 1, -1)
    for start, stop in spans:
        for side in range(columns.shape[1]):
            column = columns[start:stop, side]
            at = np.flatnonzero(np.isfinite(column[:, 0]))
            for one, other in itertools.pairwise(at):
                if 1 < other - one <= _LONGEST_STEP * rate:
                    share = np.arange(1, other - one)[:, None] / (other - one)
                    column[one + 1 : other] = (1 - share) * column[one] + share * column[other]
    return columns.reshape(frames, *shape)


def _between(
    joints: Floats, slot: NDArray[np.int16], looked: NDArray[np.bool_], home: NDArray[np.int_]
) -> None:
    """Fill the frames of one shot that nobody looked at, in place; ``home`` is each frame's piece."""
    at = np.flatnonzero(looked)
    if len(at) == 0:
        return
    frames = np.arange(len(looked))
    after = np.searchsorted(at, frames).clip(0, len(at) - 1)
    later, earlier = at[after], at[np.maximum(after - 1, 0)]
    earlier = np.where(looked | (later < frames), later, earlier)
    there = slot >= 0
    # As the mattes do: the earlier look's slot, else the later one's. In another piece's mattes their
    # number means somebody else.
    before, behind = (there[look] & (home[look] == home) for look in (earlier, later))
    slot[:] = np.where(before, slot[earlier], np.where(behind, slot[later], -1))
    between = there[earlier] & there[later] & (earlier < frames) & (frames < later)
    for first, last in runs(there[at]):
        times = at[first:last]
        joints[times] = steady_sides(joints[times])
        if len(times) > 1:
            values = joints[times].astype(np.float64)
            curve = CubicHermiteSpline(times, values, np.gradient(values, times, axis=0))
            inner = np.flatnonzero(between & (frames > times[0]) & (frames < times[-1]))
            joints[inner] = curve(inner)
            joints[inner, :, 3] = np.clip(joints[inner, :, 3], 0, 1)
    held = ~looked & ~between
    joints[held] = np.where(there[earlier][:, None, None], joints[earlier], joints[later])[held]


def hidden_filled(finds: Sequence[Found], spans: Sequence[tuple[int, int]], rate: float) -> Iterator[Found]:
    """``finds`` with the time that each spent behind another bridged in straight lines.

    Somebody who goes behind another and comes out again was there all the while; for others who are
    away so long nothing says where.
    """
    for number, found in enumerate(finds):
        others = [other for i, other in enumerate(finds) if i != number]
        joints = found.joints.copy()
        for start, stop in spans:
            away = ~np.isfinite(joints[start:stop, 0, 0])
            for first, last in runs(away):
                if first == 0 or last == stop - start or last - first > _HIDDEN_SECONDS * rate:
                    continue
                gap = slice(start + first, start + last)
                share = np.linspace(0, 1, last - first + 2)[1:-1, None, None]
                way = (1 - share) * joints[gap.start - 1] + share * joints[gap.stop]
                if _behind(way, others, gap):
                    joints[gap] = way
        yield replace(found, joints=joints)


def _behind(way: NDArray[np.floating[Any]], others: Sequence[Found], gap: slice) -> bool:
    """Whether most of the way lies inside somebody else's outline."""
    covered = 0
    for joints, frame in zip(way, range(gap.start, gap.stop), strict=True):
        middle = joints[_TRUNK, :2].mean(axis=0)
        boxes = (box_of(other.joints[frame]) for other in others if np.isfinite(other.joints[frame, 0, 0]))
        covered += any(a <= middle[0] <= c and b <= middle[1] <= d for a, b, c, d in boxes)
    return covered > 0.6 * len(way)
