"""What can happen between the farm's processes and their servers, while each side is well."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit, urlunsplit

from renderfarm.trial.case import Case, Fault
from renderfarm.trial.kinds.processes import LONG
from renderfarm.trial.proxy import Proxy

_SERVERS = {"PostgreSQL": "DATABASE_URL", "Redis": "REDIS_URL"}
#: Added to every question and to every answer.
_DELAY = 0.05


def faults() -> Iterator[Fault]:
    """To each server: slow, silent for longer than the lease, and cut."""
    harms: tuple[tuple[str, Callable[[Proxy], None]], ...] = (
        ("answers slowly", _slow),
        ("falls silent", _silent),
        ("is cut off", _cut),
    )
    nobody = {"workers": {}, "dispatchers": 0}
    for server, variable in _SERVERS.items():
        for what, harm in harms:
            name = f"the network to {server} {what}"
            yield Fault(name=name, act=_between(variable, harm), farm=nobody)


def _between(variable: str, harm: Callable[[Proxy], None]) -> Callable[[Case], None]:
    def act(case: Case) -> None:
        settings = case.farm.settings
        url = {"DATABASE_URL": settings.database_url, "REDIS_URL": settings.redis_url}[variable]
        parts = urlsplit(url)
        assert parts.port
        proxy = case.lend(Proxy.open(parts.port))
        there = parts.netloc.replace(f":{parts.port}", f":{proxy.port}")
        armed = {variable: urlunsplit(parts._replace(netloc=there))}
        case.farm.add_dispatcher(**armed)
        for queue in ("v4", "v4", "cpu"):
            case.farm.add_worker(queue, **armed)
        case.farm.wait_ready()
        [first, _] = case.submit()
        case.farm.wait_drawing(first, "analyse:0")
        harm(proxy)

    return act


def _slow(proxy: Proxy) -> None:
    proxy.delay = _DELAY


def _silent(proxy: Proxy) -> None:
    proxy.silent = True
    time.sleep(LONG)
    proxy.silent = False


def _cut(proxy: Proxy) -> None:
    proxy.refusing = True
    proxy.cut()
    time.sleep(LONG)
    proxy.refusing = False
