"""The double: a character in the pose that a driver is truly in, without any engine.

It is what a perfect render would show: the driver's known directions on the character's own lengths.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.samples.actor import CHARACTER_BODY, Figure
from pipeline.samples.looks import CHARACTER, Look
from pipeline.samples.pose import FACE, JOINTS, Body, Point, skeleton, stand

_SIDES = ("left", "right")
#: Every joint's own parent, parents first.
_PARENTS: Mapping[str, str] = {
    **{"chest": "hips", "neck": "chest", "head": "neck", "crown": "head"},
    **{name: "head" for name in FACE},
    **{f"{side}_hip": "hips" for side in _SIDES},
    **{f"{side}_shoulder": "chest" for side in _SIDES},
    **{
        f"{side}_{child}": f"{side}_{parent}"
        for side in _SIDES
        for parent, children in {
            "shoulder": ("elbow",),
            "elbow": ("wrist",),
            "wrist": ("index", "pinky", "thumb"),
            "hip": ("knee",),
            "knee": ("ankle",),
            "ankle": ("heel", "foot_index"),
        }.items()
        for child in children
    },
}
_NOSE, _SHOULDERS, _HIPS, _ANKLES = (
    JOINTS.index("nose"),
    *([JOINTS.index(f"{side}_{name}") for side in _SIDES] for name in ("shoulder", "hip", "ankle")),
)


@dataclass(frozen=True, slots=True)
class Double:
    """Who stands in for a driver."""

    look: Look = CHARACTER
    body: Body = CHARACTER_BODY
    #: Whether driver and character are seen down to their feet. Then the size is such that the way from
    #: nose to ankles is the driver's, and feet stand on the driver's feet; else nose to hips, and
    #: shoulders are where the driver's are.
    whole: bool = True

    def of(self, driver: Figure) -> Figure:
        """The driver's pose, performed by the double in the driver's place."""
        joints = _performed(driver, self.body)
        scale = driver.scale * _reach(driver.body, self.whole) / _reach(self.body, self.whole)
        figure = replace(
            driver, joints=joints, body=self.body, look=self.look, scale=scale, origin=(0.0, 0.0)
        )
        x, y = _move(driver, figure, self.whole)
        # The origin stays on the floor under the double: shadows lie there.
        floor = min(float(joints[f"{side}_heel"][1]) for side in _SIDES) - 0.35 * self.body.ankle
        lowered = {name: point - np.array([0.0, floor, 0.0]) for name, point in joints.items()}
        return replace(figure, joints=lowered, origin=(float(x), float(y) - floor * scale))


def _performed(driver: Figure, body: Body) -> dict[str, Point]:
    """The driver's directions on the lengths of ``body``, from the hips outwards."""
    posed = _with_middles(driver.joints)
    lengths, own = (_with_middles(skeleton(b, stand())) for b in (driver.body, body))
    joints: dict[str, Point] = {"hips": np.zeros(3)}
    for name, parent in _PARENTS.items():
        ratio = np.linalg.norm(own[name] - own[parent]) / np.linalg.norm(lengths[name] - lengths[parent])
        joints[name] = joints[parent] + (posed[name] - posed[parent]) * ratio
    return joints


def _with_middles(joints: Mapping[str, Point]) -> dict[str, Point]:
    middles = {
        name: (joints[f"left_{pair}"] + joints[f"right_{pair}"]) / 2
        for name, pair in (("hips", "hip"), ("chest", "shoulder"))
    }
    return {**joints, **middles}


def _reach(body: Body, whole: bool) -> float:
    """From the nose to the ankles, or to the hips, in body heights."""
    joints = _with_middles(skeleton(body, stand()))
    end = (joints["left_ankle"] + joints["right_ankle"]) / 2 if whole else joints["hips"]
    return float(np.linalg.norm((joints["nose"] - end)[:2]))


def _move(driver: Figure, double: Figure, whole: bool) -> NDArray[np.float64]:
    """By how many pixels the double must move to stand where the driver does."""
    there, here = driver.pixels(), double.pixels()
    if not whole:
        return np.asarray((there[_SHOULDERS] - here[_SHOULDERS]).mean(axis=0), np.float64)
    # The lower foot carries the weight, and two at one height share it.
    feet = there[_ANKLES]
    torso = np.linalg.norm(there[_SHOULDERS].mean(axis=0) - there[_HIPS].mean(axis=0))
    load = np.exp((feet[:, 1] - feet[:, 1].max()) / (0.06 * torso))
    return np.asarray(((feet - here[_ANKLES]) * (load / load.sum())[:, None]).sum(axis=0), np.float64)
