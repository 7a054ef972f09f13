"""A Redis of our own: on loopback, with a password, every write in its log, nothing evicted."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Redis:
    """One server's folder. ``prepare`` writes its settings, ``command`` runs it in the foreground."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        """The address that clients use."""
        return f"redis://:{quote(self.password)}@127.0.0.1:{self.port}/0"

    def prepare(self) -> None:
        """Write the settings file; it holds the password, which a command line would show to everyone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f'dir "{_escaped(self.folder)}"',
            f'requirepass "{self.password}"',
            "appendonly yes",
            "appendfsync everysec",
            'save ""',
            "maxmemory-policy noeviction",
            "daemonize no",
        ]
        if _major_version() >= 7:
            # A title would overwrite the environment, by which our processes are found.
            lines.append("set-proc-title no")
        settings = os.open(self._settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(settings, "w") as file:
            file.write("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        """The server's command line; it logs to stdout."""
        return ["redis-server", str(self._settings)]

    @property
    def _settings(self) -> Path:
        return self.folder / "redis.conf"


def _major_version() -> int:
    """Of the redis-server that will run; 0 where it does not say."""
    told = subprocess.run(["redis-server", "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"v=(\d+)", told)
    return int(found[1]) if found else 0


def _escaped(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')
