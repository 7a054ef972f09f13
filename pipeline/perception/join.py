"""The join stage: what needs the whole video is decided here, once, and never per piece or segment.

Smoothing, presence, ids, shots and the camera's way would each make a seam if a piece decided them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NoPerson
from pipeline.perception.bodies import size_of
from pipeline.perception.camera import Matrix, scaled, shift
from pipeline.perception.fill_in import Found, found_of, hidden_filled
from pipeline.perception.link import people_of
from pipeline.perception.pieces import Piece
from pipeline.perception.smoothing import close_gaps, one_euro, runs
from pipeline.perception.tracks import Joint, Person, Tracks
from pipeline.protocol import Done, Progress, Report, Request
from pipeline.shots import join_cuts, shots
from pipeline.spec import Model, VideoInfo

#: Somebody must be there for so long, or for such a share of a short video; in seconds.
_ENOUGH_SECONDS, _ENOUGH_SHARE = 0.5, 0.1
#: Seconds: longer absences are not bridged, shorter appearances are not believed.
GAP_SECONDS, _GLIMPSE_SECONDS = 0.3, 0.15
#: Others than the lead are seen for so long, in this share of the time that they are about.
_OTHERS_SECONDS, _STEADY = 0.8, 0.6
#: Pixels of the matte: a camera whose frames never leave the shot's first by more stands still.
_STILL = 0.8


def join(request: Request, report: Report) -> Done:
    """Write ``tracks``; raises ``NoPerson`` where nobody performs."""
    assert request.video is not None
    names = sorted(name for name in request.inputs if name.startswith("piece-"))
    pieces = [Piece.load(request.inputs[name]) for name in names]
    tracks = join_pieces(pieces, request.video, request.spec.model)
    path = request.out / "tracks.npz"
    tracks.save(path)
    report(Progress(1, 1))
    facts = {"cuts": list(tracks.cuts), "people": [person.id for person in tracks.people]}
    return Done({"tracks": str(path)}, facts)


def join_pieces(pieces: Sequence[Piece], video: VideoInfo, model: Model = Model.V4) -> Tracks:
    """The tracks of the whole video from all of its pieces in order."""
    candidates = np.concatenate([piece.cuts for piece in pieces])
    cuts = join_cuts((int(cut) for cut in candidates), video.frames, video.rate)
    spans, rate = shots(cuts, video.frames), float(video.rate)
    looked = np.concatenate([piece.looked for piece in pieces])
    chains = people_of(pieces, spans, rate)
    finds = (found_of(chain, pieces, looked, spans, rate) for chain in chains)
    people = [
        person for found in hidden_filled(list(finds), spans, rate) if (person := _person(found, spans, rate))
    ]
    enough = max(1, min(round(_ENOUGH_SECONDS * rate), round(_ENOUGH_SHARE * video.frames)))
    people = [person for person in people if person.present.sum() >= enough]
    if not people:
        raise NoPerson("No person was found in the driving video.")
    people.sort(key=lambda person: (-_prominence(person), person.id))
    people = [people[0], *(person for person in people[1:] if _steady(person, rate))]
    camera = _camera(pieces, spans, video)
    light = np.concatenate([piece.light for piece in pieces])
    return Tracks(tuple(people), cuts, pieces[0].matte_size, camera, light, model)


def _person(found: Found, spans: Sequence[tuple[int, int]], rate: float) -> Person | None:
    """One person through the whole video; None for a find that is not believed."""
    sure = np.array([_plausible(joints) for joints in found.joints])
    joints = np.full_like(found.joints, np.nan)
    present = np.zeros(len(joints), bool)
    for start, stop in spans:
        here = slice(start, stop)
        bridged, there = close_gaps(found.joints[here], sure[here], round(GAP_SECONDS * rate))
        for first, last in runs(there):
            if last - first < min(stop - start, _GLIMPSE_SECONDS * rate):
                continue
            run = slice(start + first, start + last)
            present[run] = True
            joints[run] = _smooth(bridged[first:last], rate)
    if not present.any():
        return None
    name = hashlib.blake2s(joints.tobytes(), digest_size=4).hexdigest()
    slot = np.where(present, found.slot, -1).astype(np.int16)
    return Person(f"person_{name}", joints, present, slot, found.face, found.hands)


def _steady(person: Person, rate: float) -> bool:
    """Whether somebody beside the lead is seen for long enough, and most of the time that they are about.

    A face on a poster or a coat on a hook is a person now and then, and not for long.
    """
    frames = np.flatnonzero(person.present)
    about = frames[-1] - frames[0] + 1
    enough = min(_OTHERS_SECONDS * rate, 0.5 * len(person.present))
    return bool(len(frames) >= enough and len(frames) > _STEADY * about)


def _prominence(person: Person) -> float:
    """How much of the video somebody fills: the lead is who fills most of it."""
    return sum(size_of(joints) ** 2 for joints in person.joints[person.present])


def _plausible(joints: NDArray[np.float32]) -> bool:
    """Whether the detector is sure of shoulders and face, and they are of a size that can be drawn."""
    if not np.isfinite(joints).all():
        return False
    trunk = joints[[Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER]]
    return bool(trunk[:, 3].mean() > 0.5 and size_of(joints) > 4)


def _smooth(joints: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    size = float(np.median([size_of(frame) for frame in joints]))
    smooth = one_euro(joints.astype(np.float64), rate, size)
    # Visibility is a share, not a place: it has no size.
    smooth[..., 3] = one_euro(joints[..., 3].astype(np.float64), rate, 1.0)
    return smooth.astype(np.float32)


def _camera(
    pieces: Sequence[Piece], spans: Sequence[tuple[int, int]], video: VideoInfo
) -> NDArray[np.float64] | None:
    """From each frame's pixels to those of its shot's first frame; None for a camera that stands still."""
    chained = list(_chained(pieces, {start for start, _ in spans}))
    width, height = pieces[0].matte_size
    camera = np.tile(np.eye(3), (len(chained), 1, 1))
    for start, stop in spans:
        ways = chained[start:stop]
        if max(shift(way, width, height) for way in ways) > _STILL:
            factors = video.width / width, video.height / height
            camera[start:stop] = [scaled(way / way[2, 2], *factors) for way in ways]
    return None if (camera == np.eye(3)).all() else camera


def _chained(pieces: Sequence[Piece], starts: Set[int]) -> Iterator[Matrix]:
    """Each frame's way to its shot's first; ``starts`` are the shots'.

    Every shot begins anew: zooms of many shots on each other leave nothing of a number's digits.
    """
    before, way = np.eye(3), np.eye(3)
    for piece in pieces:
        for number, step in enumerate(piece.camera, piece.start):
            if number in starts:
                before = np.linalg.inv(step)
            way = before @ step
            yield way
        before = way
