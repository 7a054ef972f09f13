"""How much sooner the first frame of a render is there when its character and its scene were prepared."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from renderfarm.client import Client
from renderfarm.models import FINAL, Unit
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import ROOT, Ground
from renderfarm.trial.ingress import first_second
from renderfarm.trial.speed.figure import Figure, Measured
from renderfarm.trial.speed.run import steady
from renderfarm.trial.waiting import until

_ROUNDS = 3
#: A frame is known by its worker's next heartbeat: so often they come here.
_HEARTBEAT = 0.05


def first(ground: Ground, quick: bool, tell: Callable[[str], None]) -> Measured:
    """The samples' driver (quick: a second of it) by the model's own engine, through the whole farm.

    From the moment at which the request is sent, which brings the files where nothing is stored, to the
    first frame that is drawn; in turns, on workers that have drawn before.
    """
    picture, clip = ROOT / "samples" / "character.png", ROOT / "samples" / "driver.mp4"
    if quick:
        clip = first_second(clip, ground.folder / "second.mp4")
    sooner: dict[str, list[float]] = {"on demand": [], "prepared": []}
    clock = {**steady(), "heartbeat_seconds": _HEARTBEAT}
    with Farm.open(ground, workers={"v4": 1, "cpu": 1}, api=True, **clock) as farm:
        client = farm.client
        character = client.preprocess_character("a", picture)["character_id"]
        scene = client.preprocess_scene("a", clip)["scene_id"]
        for asset in (character, scene):
            until(partial(_ready, client, asset), 900, f"{asset} to be ready")
        orders: dict[str, tuple[Path | str, Path | str]] = {
            "on demand": (picture, clip),
            "prepared": (character, scene),
        }
        client.wait(client.render(character, scene)["job_id"])  # the engine is loaded
        for _ in range(1 if quick else _ROUNDS):
            for name, order in orders.items():
                sent = time.monotonic()
                job_id = client.render(*order)["job_id"]
                until(partial(_drawn, farm, job_id), 900, "the first frame")
                sooner[name].append(time.monotonic() - sent)
                tell(f"{name}: the first frame after {sooner[name][-1]:.2f} s")
                client.wait(job_id)
    waits = {name: median(seconds) for name, seconds in sooner.items()}
    ratio = waits["on demand"] / waits["prepared"]
    figure = Figure("the first frame of a prepared render, of one on demand", ratio, "x sooner", 3.0, 10.0)
    return Measured((figure,), {"seconds": sooner})


def _ready(client: Client, asset_id: str) -> bool:
    asset = client.asset(asset_id)
    if asset["status"] == "failed":
        raise RuntimeError(f"{asset_id} failed: {asset['error']}")
    return asset["status"] == "ready"


def _drawn(farm: Farm, job_id: str) -> bool:
    with farm.database.begin() as session:
        unit = session.get(Unit, f"{job_id}:segment:0")
        if unit is not None and (unit.attempt_done or unit.status == "done"):
            return True
    if farm.job(job_id).status in FINAL:
        raise RuntimeError(f"{job_id} ended without a frame")
    return False
