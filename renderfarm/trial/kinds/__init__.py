"""Every kind of fault that the farm must survive."""

from __future__ import annotations

from dataclasses import replace

from renderfarm.trial.case import Fault
from renderfarm.trial.kinds import (
    addresses,
    broker,
    crashes,
    engines,
    network,
    processes,
    races,
    rows,
    store,
    stored,
    upgrade,
)


def every() -> list[Fault]:
    """All of them, each under a name of its own."""
    rooms = (crashes, processes, broker, rows, network, store, engines, races, upgrade, addresses, stored)
    return [
        replace(fault, room=room.__name__.rpartition(".")[2]) for room in rooms for fault in room.faults()
    ]
