"""The real exporter, as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from renderfarm.local.ports import free_port
from tests.services.processes import running


@dataclass(frozen=True)
class Exporter:
    """A running exporter and its port on 127.0.0.1."""

    port: int
    process: subprocess.Popen[bytes]

    def scrape(self) -> dict[str, float]:
        """The series by name; of one with labels, the last."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=15) as answer:
            page = answer.read().decode()
        return {s.name: s.value for family in text_string_to_metric_families(page) for s in family.samples}


@contextmanager
def exporter_server(database_url: str, folder: Path, redis_url: str = "") -> Iterator[Exporter]:
    """``farm exporter`` over a database, and a Redis if there is one; its log goes to ``folder``."""
    port = free_port()
    env = {**os.environ, "DATABASE_URL": database_url, "REDIS_URL": redis_url, "FARM_METRICS_PORT": str(port)}
    command = [sys.executable, "-m", "renderfarm.cli", "exporter"]
    with running(command, port=port, env=env, log=folder / "exporter.log") as process:
        yield Exporter(port, process)
