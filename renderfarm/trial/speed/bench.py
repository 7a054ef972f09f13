"""``farm bench speed``: the measurements, one after another, on one ground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from renderfarm.local.errors import StackError
from renderfarm.trial.ground import Ground
from renderfarm.trial.speed import NAMES
from renderfarm.trial.speed.crowd import crowd
from renderfarm.trial.speed.door import door
from renderfarm.trial.speed.figure import Measured
from renderfarm.trial.speed.first import first
from renderfarm.trial.speed.large import large
from renderfarm.trial.speed.latency import latency
from renderfarm.trial.speed.pair import pair
from renderfarm.trial.speed.stored import stored
from renderfarm.trial.speed.wide import wide


def measure(
    only: Sequence[str], *, quick: bool, real: Path | None, tell: Callable[[str], None]
) -> dict[str, Any]:
    """``figures``, their ``rows``, ``details`` of each measurement; ``skipped``: what cannot be done here."""
    measurements: dict[str, Callable[..., Measured]] = {
        "latency": latency,
        "crowd": crowd,
        "door": partial(door, real=real),
        "stored": stored,
        "first": first,
        "large": large,
        "wide": wide,
        "pair": partial(pair, real=real),
    }
    figures: list[dict[str, Any]] = []
    rows: list[dict[str, str]] = []
    details: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    with Ground.open() as ground:
        for name in NAMES:
            if only and name not in only:
                continue
            tell(f"{name} ...")
            try:
                measured = measurements[name](ground, quick, lambda line, name=name: tell(f"{name}: {line}"))
            except StackError as error:
                skipped[name] = str(error)
                continue
            figures += [figure.to_json() for figure in measured.figures]
            rows += [figure.row() for figure in measured.figures]
            details[name] = measured.details
    return {"quick": quick, "figures": figures, "rows": rows, "details": details, "skipped": skipped}
