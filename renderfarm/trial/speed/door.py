"""What the ingress takes and shows under the load of many connections."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from renderfarm.trial import ingress
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed.figure import Figure, Measured


def door(ground: Ground, quick: bool, tell: Callable[[str], None], real: Path | None = None) -> Measured:
    """Rounds of bare probes, of orders and of questions, interleaved.

    With the folder of the ``real`` clips the order is one of these, else the samples'.
    """
    picture = clip = None
    if real is not None:
        picture = real / "crossed-arms.jpg"
        clip = ingress.first_second(real / "sweater-dance.mp4", ground.folder / "second.mp4")
    tell(f"{ingress.CONNECTIONS} connections")
    rounds, seconds = (1, 3.0) if quick else (3, 6.0)
    said = ingress.measure(ground, picture, clip, rounds=rounds, seconds=seconds).to_json()
    share, asked = said["post_share_of_bare_probes"], said["get_per_second"]
    failed = said["post_errors"] + said["get_errors"]
    return Measured(
        (
            Figure("orders taken, of bare probes", share, "x", 0.8, 0.9),
            Figure("jobs shown", asked, "/s", 500, 800),
            Figure("a job shown, p99", said["get_p99_ms"], "ms", 250, 250),
            Figure("requests that failed", failed, "", 0, 0),
        ),
        said,
    )
