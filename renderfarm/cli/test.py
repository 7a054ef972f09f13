"""``farm test``: everything that decides what lands."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import click

from renderfarm.cli.common import ROOT

_CHECKS = (
    ("ruff", "check", "."),
    ("ruff", "format", "--check", "."),
    ("mypy",),
    ("lint-imports",),
    # Three at a time, on two cores: half of the suite waits, for servers, leases and graces.
    ("pytest", "-n", "3", "--no-loadscope-reorder"),
)


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("pytest_arguments", nargs=-1, type=click.UNPROCESSED)
def test(pytest_arguments: tuple[str, ...]) -> None:
    """Run ruff, mypy, lint-imports and pytest; with arguments, only pytest with them."""
    checks = (("pytest", *pytest_arguments),) if pytest_arguments else _CHECKS
    own_bin = Path(sys.executable).parent
    environ = {**os.environ, "PATH": f"{own_bin}{os.pathsep}{os.environ.get('PATH', '')}"}
    failed: list[str] = []
    for tool, *arguments in checks:
        name = tool if tool == "pytest" else " ".join((tool, *arguments))
        click.secho(f"== {name}", bold=True)
        began = time.monotonic()
        done = subprocess.run([own_bin / tool, *arguments], cwd=ROOT, env=environ, check=False)
        click.echo(f"{name}: exit {done.returncode} after {time.monotonic() - began:.0f} s")
        if done.returncode != 0:
            failed.append(name)
    if failed:
        click.secho(f"Failed: {', '.join(failed)}", fg="red", err=True)
        sys.exit(1)
