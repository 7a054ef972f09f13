"""Which layer lies on which, frame by frame."""

from __future__ import annotations

from pipeline.engines.puppet.performance import Performance


def drawing_order(performance: Performance, frame: int) -> tuple[str, ...]:
    """The layers' names, rearmost first."""
    behind = [
        f"{side}_{part}"
        for i, side in enumerate(("left", "right"))
        if performance.behind[frame, i] > 0.5
        for part in ("forearm", "upper_arm")
    ]
    far, near = ("right", "left") if performance.legs[frame] > 0 else ("left", "right")
    shins, thighs = ([f"{side}_{part}" for side in (far, near)] for part in ("shin", "thigh"))
    front = [
        f"{side}_{part}"
        for i, side in enumerate(("left", "right"))
        if performance.behind[frame, i] <= 0.5
        for part in ("upper_arm", "forearm")
    ]
    # A forearm may cross the other arm: both lie over both upper arms.
    front.sort(key=lambda name: name.endswith("forearm"))
    return (*behind, *shins, "torso", *thighs, "head", *front)
