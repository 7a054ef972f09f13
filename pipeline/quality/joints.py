"""How well joints agree: AKD, MKR and jitter, over the twelve joints that carry a performance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.tracks import Joint

Floats = NDArray[np.float64]
Marks = NDArray[np.bool_]

#: Shoulders, elbows, wrists, hips, knees, ankles.
TWELVE: list[Joint] = [
    *(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW),
    *(Joint.LEFT_WRIST, Joint.RIGHT_WRIST, Joint.LEFT_HIP, Joint.RIGHT_HIP),
    *(Joint.LEFT_KNEE, Joint.RIGHT_KNEE, Joint.LEFT_ANKLE, Joint.RIGHT_ANKLE),
]
#: A joint is found where the detector is at least so sure.
FOUND = 0.5
#: Farther from the truth than this share of the torso, the detector has lost its way in the ideal itself.
_LOST = 0.5


@dataclass(frozen=True, slots=True)
class Agreement:
    """How the joints of an output agree with those of the ideal; lengths over the torso's."""

    #: Mean distance between joints that are found in both; None where there are none.
    akd: float | None
    #: Share of the joints found in the ideal that are not found in the output.
    mkr: float
    #: Mean distance of the output's joints from the exact truth, and of the ideal's: the detector's floor.
    raw: float | None
    floor: float | None
    #: The same distance as ``akd``, joint by joint, of those that counted.
    by_joint: Mapping[str, float | None]
    #: The frame in which the distance is largest.
    worst_frame: int
    #: How many joints counted, of how many that the truth shows.
    counted: int
    shown: int


def agreement(output: Floats, ideal: Floats, truth: Floats, shown: Marks) -> Agreement:
    """Compare detected joints with those of an ideal rendering.

    ``output`` and ``ideal`` are (T, 12, 3): x, y and visibility as one detector found them, NaN where it
    found nobody; ``truth`` (T, 12, 2) is exact, and ``shown`` (T, 12) says which of it can be seen. A
    joint counts where the ideal shows it and the detector finds it there. The torso is the truth's median.
    """
    torso = torso_of(truth)
    near = _distance(ideal[..., :2], truth) < _LOST * torso
    counts = shown & found(ideal) & near
    both = counts & found(output)
    apart = _distance(output[..., :2], ideal[..., :2]) / torso
    return Agreement(
        akd=_mean(apart[both]),
        mkr=1 - float(both.sum() / max(1, counts.sum())),
        raw=_mean(_distance(output[..., :2], truth)[both] / torso),
        floor=_mean(_distance(ideal[..., :2], truth)[counts] / torso),
        by_joint={
            joint.name.lower(): _mean(apart[both[:, i], i])
            for i, joint in enumerate(TWELVE)
            if both[:, i].any()
        },
        worst_frame=int(np.argmax(np.where(both, apart, 0).sum(axis=1) / np.maximum(both.sum(axis=1), 1))),
        counted=int(counts.sum()),
        shown=int(shown.sum()),
    )


def jitter(joints: Floats, driver: Floats) -> float | None:
    """RMS of the second differences of ``joints`` over that of ``driver``'s, both (T, 12, 3), by torso.

    1 is as steady as the driver was found to be. Only moments in which both are found count; None
    where there are none.
    """
    steady = found(joints) & found(driver)
    three = steady[2:] & steady[1:-1] & steady[:-2]
    if not three.any():
        return None
    sizes = [np.diff(each[..., :2], n=2, axis=0)[three] / torso_of(each) for each in (joints, driver)]
    own, other = (float(np.sqrt((size**2).sum(axis=-1).mean())) for size in sizes)
    return own / max(other, 1e-9)


def found(joints: Floats) -> Marks:
    """Which of (..., 3) joints the detector is sure of."""
    return np.asarray(np.nan_to_num(joints[..., 2]) > FOUND)


def torso_of(joints: Floats) -> float:
    """Median way from the middle of the shoulders to that of the hips, of (T, 12, 2 or more)."""
    middles = [joints[:, [TWELVE.index(a), TWELVE.index(b)], :2].mean(axis=1) for a, b in _PAIRS]
    return max(1e-6, float(np.nanmedian(np.linalg.norm(middles[0] - middles[1], axis=-1))))


_PAIRS = ((Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER), (Joint.LEFT_HIP, Joint.RIGHT_HIP))


def _distance(a: Floats, b: Floats) -> Floats:
    return np.asarray(np.nan_to_num(np.linalg.norm(a - b, axis=-1), nan=np.inf), np.float64)


def _mean(values: Floats) -> float | None:
    return float(values.mean()) if values.size else None
