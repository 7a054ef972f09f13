"""Left and right: the joints of both sides changed over, and kept from changing over by mistake."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.perception.bodies import size_of
from pipeline.perception.tracks import Joint

Floats = NDArray[np.float32]

#: The joints of the left side and, in the same order, of the right.
_LEFT_JOINTS = (1, 2, 3, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31)
_RIGHT_JOINTS = (4, 5, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32)
#: By which a change of sides is known: where they are tells left from right.
_TELLING = [
    *(Joint.LEFT_SHOULDER, Joint.RIGHT_SHOULDER, Joint.LEFT_ELBOW, Joint.RIGHT_ELBOW),
    *(Joint.LEFT_WRIST, Joint.RIGHT_WRIST, Joint.LEFT_HIP, Joint.RIGHT_HIP),
]
#: What it costs to doubt the detector for one look, in bodies' sizes of movement.
_DOUBT = 0.02


def mirrored(joints: Floats) -> Floats:
    """The same joints with left and right changed over: how one seen from behind is driven from the front."""
    order = np.arange(33)
    order[list(_LEFT_JOINTS)] = _RIGHT_JOINTS
    order[list(_RIGHT_JOINTS)] = _LEFT_JOINTS
    return np.ascontiguousarray(joints[..., order, :])


def steady_sides(looks: Floats) -> Floats:
    """``looks`` (n, 33, 4), one after the other, with the sides as their movement says.

    When a head turns away, detectors now and then take a front for a back: every joint of the left jumps
    to the right and, some looks later, back again. Nobody moves so. Of all ways to read the looks the one
    that moves least is taken (Viterbi), and each look that is read against the detector costs a little:
    somebody who really turns round moves no joint far, and is left as they are.
    """
    if len(looks) < 2:
        return looks
    both = np.stack([looks, mirrored(looks)])[:, :, _TELLING, :2]
    size = max(1.0, float(np.median([size_of(look) for look in looks])))
    cost, back = np.array([0.0, _DOUBT]), np.zeros((len(looks), 2), np.intp)
    for number in range(1, len(looks)):
        moves = (
            np.linalg.norm(both[:, None, number - 1] - both[None, :, number], axis=-1).mean(axis=-1) / size
        )
        total = cost[:, None] + moves + np.array([0.0, _DOUBT])
        back[number] = total.argmin(axis=0)
        cost = total.min(axis=0)
    steady, state = looks.copy(), int(cost.argmin())
    for number in reversed(range(len(looks))):
        if state:
            steady[number] = mirrored(looks[number])
        state = int(back[number, state])
    return steady
