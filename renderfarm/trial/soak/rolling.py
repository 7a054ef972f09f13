"""A rolling upgrade: every process of the farm is replaced, one after the other, while it works."""

from __future__ import annotations

import threading
import time
import xmlrpc.client
from collections.abc import Callable
from dataclasses import dataclass

import psutil
from sqlalchemy import text

from renderfarm.local.ports import answers
from renderfarm.trial.soak.local import LocalFarm
from renderfarm.trial.waiting import InVain, until

#: In this order: who draws, who hands out and who tells, and at last who takes orders.
_ORDER = ("workers", "dispatch", "flower", "api")
#: For a worker to hand over what it has in hand, and for the new one to have loaded what it needs.
_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class Replaced:
    """A program that was replaced: from ``at`` on, in seconds of the soak, it took ``seconds``."""

    program: str
    at: float
    seconds: float


class Rolling:
    """Made before the farm is to be watched; ``run`` belongs into a thread of its own."""

    def __init__(self, farm: LocalFarm, now: Callable[[], float]) -> None:
        self._farm = farm
        self._now = now
        self.replaced: list[Replaced] = []
        self.wrong: list[str] = []

    def run(self, begin: float, end: float, stop: threading.Event) -> None:
        """Replace each program in turn, evenly from ``begin`` to ``end``; the next when this one works."""
        programs = self._programs()
        for number, (name, group) in enumerate(programs):
            due = begin + (end - begin) * number / len(programs)
            if stop.wait(max(0.0, due - self._now())):
                return
            try:
                self._replace(name, group)
            except (InVain, OSError, psutil.Error, xmlrpc.client.Error) as error:
                self.wrong.append(f"{name} was not replaced: {error}")

    def _programs(self) -> list[tuple[str, str]]:
        found = [(name, group) for name, group in self._farm.groups.items() if group in _ORDER]
        return sorted(found, key=lambda each: (_ORDER.index(each[1]), each[0]))

    def _replace(self, name: str, group: str) -> None:
        began = self._now()
        if group == "api":
            self._reload(name, group)
        else:
            before = time.time()
            self._farm.supervisor.restart(group, name)
            until(lambda: self._works(name, before), _SECONDS, f"the new {name} to work")
        self.replaced.append(Replaced(name, round(began, 1), round(self._now() - began, 1)))

    def _reload(self, name: str, group: str) -> None:
        """HUP: gunicorn keeps its sockets and replaces its workers, so that nobody is turned away.

        A restart would refuse whoever asks meanwhile, which a deployment leaves to its load balancer.
        """
        old = psutil.Process(self._farm.pid(name)).children()
        self._farm.supervisor.signal(group, name, "HUP")
        until(
            lambda: not any(each.is_running() for each in old),
            _SECONDS,
            "the old workers of the ingress to end",
        )

    def _works(self, name: str, since: float) -> bool:
        """Whether the new process of a program does what it is there for."""
        pid = self._farm.pid(name)
        if not pid or psutil.Process(pid).create_time() < since - 1:
            return False
        queue = self._farm.state.worker_names.get(name)
        if queue is not None:  # it reports itself once it consumes
            return self._counted("SELECT count(*) FROM workers WHERE name LIKE :what", f"%:{queue}-{pid}-%")
        if name in ("dispatcher", "courier"):
            listening = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :what"
            return self._counted(f"{listening} AND query LIKE 'LISTEN%'", name)
        ports = self._farm.state.ports
        return answers(ports.get(name) or ports[f"metrics-{name}"])

    def _counted(self, query: str, what: str) -> bool:
        with self._farm.database.begin() as session:
            return bool(session.scalar(text(query), {"what": what}))
