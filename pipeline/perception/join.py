"""The join stage: what needs the whole video is decided here, once, and never per piece or segment.

Smoothing, presence, ids, shots and the camera's way would each make a seam if a piece decided them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NoPerson
from pipeline.perception.camera import Matrix, scaled, shift
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
    joints = np.concatenate([piece.joints for piece in pieces])
    candidates = np.concatenate([piece.cuts for piece in pieces])
    cuts = join_cuts((int(cut) for cut in candidates), len(joints), video.rate)
    person = _person(joints, shots(cuts, len(joints)), float(video.rate))
    camera = _camera(pieces, shots(cuts, len(joints)), video)
    light = np.concatenate([piece.light for piece in pieces])
    return Tracks((person,), cuts, pieces[0].matte_size, camera, light, model)


def _person(raw: NDArray[np.float32], spans: Sequence[tuple[int, int]], rate: float) -> Person:
    seen = np.array([_plausible(joints) for joints in raw])
    joints = np.full_like(raw, np.nan)
    present = np.zeros(len(raw), bool)
    for start, stop in spans:
        here = slice(start, stop)
        bridged, there = close_gaps(raw[here], seen[here], round(GAP_SECONDS * rate))
        for first, last in runs(there):
            if last - first < min(stop - start, _GLIMPSE_SECONDS * rate):
                continue
            run = slice(start + first, start + last)
            present[run] = True
            joints[run] = _smooth(bridged[first:last], rate)
    enough = max(1, min(round(_ENOUGH_SECONDS * rate), round(_ENOUGH_SHARE * len(raw))))
    if seen.sum() < enough or present.sum() < enough:
        raise NoPerson("No person was found in the driving video.")
    name = hashlib.blake2s(joints.tobytes(), digest_size=4).hexdigest()
    return Person(f"person_{name}", joints, present, np.where(seen, 0, -1).astype(np.int8))


def _plausible(joints: NDArray[np.float32]) -> bool:
    """Whether the detector is sure of shoulders and face, and they are of a size that can be drawn."""
    if not np.isfinite(joints).all():
        return False
    trunk = joints[[Joint.NOSE, Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_HIP, Joint.RIGHT_HIP]]
    return bool(trunk[:3, 3].mean() > 0.5 and _size(joints) > 4)


def _size(joints: NDArray[np.float32]) -> float:
    """Pixels from the middle of the shoulders to the middle of the hips, or the shoulders' width."""
    shoulders = joints[[Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER], :2]
    hips = joints[[Joint.LEFT_HIP, Joint.RIGHT_HIP], :2]
    torso = np.linalg.norm(shoulders.mean(axis=0) - hips.mean(axis=0))
    return float(max(torso, np.linalg.norm(shoulders[0] - shoulders[1])))


def _smooth(joints: NDArray[np.float32], rate: float) -> NDArray[np.float32]:
    size = float(np.median([_size(frame) for frame in joints]))
    smooth = one_euro(joints.astype(np.float64), rate, size)
    # Visibility is a share, not a place: it has no size.
    smooth[..., 3] = one_euro(joints[..., 3].astype(np.float64), rate, 1.0)
    return smooth.astype(np.float32)


def _camera(
    pieces: Sequence[Piece], spans: Sequence[tuple[int, int]], video: VideoInfo
) -> NDArray[np.float64] | None:
    """From each frame's pixels to those of its shot's first frame; None for a camera that stands still."""
    chained: list[Matrix] = []
    for piece in pieces:
        last = chained[-1] if chained else np.eye(3)
        chained.extend(last @ step for step in piece.camera)
    width, height = pieces[0].matte_size
    camera = np.tile(np.eye(3), (len(chained), 1, 1))
    for start, stop in spans:
        home = np.linalg.inv(chained[start])
        ways = [home @ way for way in chained[start:stop]]
        if max(shift(way, width, height) for way in ways) > _STILL:
            factors = video.width / width, video.height / height
            camera[start:stop] = [scaled(way / way[2, 2], *factors) for way in ways]
    return None if (camera == np.eye(3)).all() else camera
