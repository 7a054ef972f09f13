"""A real nginx with the farm's own configuration: only ports and paths are others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from renderfarm.local.ports import free_port
from tests.services.debian import program
from tests.services.processes import running

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "nginx"


@dataclass(frozen=True)
class Nginx:
    """A running server."""

    url: str
    #: What it wrote: its access log.
    log: Path


@contextmanager
def nginx_server(
    folder: Path, templates: list[str], variables: Mapping[str, str], change: Mapping[str, str] | None = None
) -> Iterator[Nginx]:
    """nginx with these templates of ours; raises ``Unavailable``. ``change`` is done to their text."""
    nginx = program("nginx", "nginx-light", "libnginx-mod-http-js")
    port, inner = free_port(), free_port()
    places = {
        "/tmp/": f"{folder}/tmp/",
        "/var/cache/nginx": f"{folder}/cache",
        "/etc/nginx/conf.d": f"{folder}/conf.d",
        "/etc/nginx/njs": str(FOLDER),
        "/dev/stdout": f"{folder}/access.log",
        "/dev/stderr": f"{folder}/error.log",
        "127.0.0.1:8081": f"127.0.0.1:{inner}",
        "listen 8080": f"listen 127.0.0.1:{port}",
        **(change or {}),
    }
    for name in ("tmp", "cache", "conf.d"):
        (folder / name).mkdir(parents=True)
    main = folder / "nginx.conf"
    main.write_text(_replaced((FOLDER / "nginx.conf").read_text(), places))
    for name in templates:
        text = _replaced((FOLDER / name).read_text(), places)
        (folder / "conf.d" / name.removesuffix(".template")).write_text(_substituted(text, variables))
    command = [nginx, "-c", str(main), "-e", f"{folder}/error.log", "-g", "daemon off; user root;"]
    with running(command, port=port, env=variables, log=folder / "start.log"):
        yield Nginx(f"http://127.0.0.1:{port}", folder / "access.log")


def _replaced(text: str, places: Mapping[str, str]) -> str:
    for place, here in places.items():
        text = text.replace(place, here)
    return text


def _substituted(text: str, variables: Mapping[str, str]) -> str:
    """As envsubst does it in the image: variables that are set, and no others."""
    return re.sub(r"\$\{(\w+)\}", lambda found: variables.get(found[1], found[0]), text)
