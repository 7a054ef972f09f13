"""``farm bench``: how fast, and in how much memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import click

from pipeline.spec import Model
from renderfarm.cli.common import ROOT, as_json, emit, table
from renderfarm.local.errors import StackError


@click.group()
def bench() -> None:
    """Measure the farm on this machine."""


@bench.command()
@click.option(
    "--model", type=click.Choice([m.value for m in Model]), default=Model.V4.value, show_default=True
)
@as_json
def demo(model: str, as_json: bool) -> None:
    """Time each stage of the sample's render."""
    samples = [str(ROOT / "samples" / name) for name in ("character.png", "driver.mp4")]
    command = [sys.executable, "-m", "pipeline", "bench", *samples, "--model", model]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise StackError("The measurement failed.", "The lines above say why.")
    measured: dict[str, Any] = json.loads(done.stdout)

    def show() -> None:
        rows = [{"what": name, "value": value} for name, value in _flat(measured)]
        table(("what", "value"), rows)

    emit(measured, as_json, show)


def _flat(data: dict[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Nested figures as dotted names."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        path = f"{prefix}{name}"
        found += _flat(value, f"{path}.") if isinstance(value, dict) else [(path, value)]
    return found
