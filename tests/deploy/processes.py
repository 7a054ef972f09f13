"""What a container may run and be told: checked against the programs and the settings themselves."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from renderfarm.settings import Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {variable_of(field.name) for field in fields(Settings)}
#: Variables that are no settings of every process: the API's address, the weights' folder, Flower's password,
#: and by which name PostgreSQL shows whose connections they are.
OWN = {"FARM_API_BIND", "FARM_WEIGHTS", "FLOWER_BASIC_AUTH", "PGAPPNAME"}
#: What each component runs; compose and the chart name them alike.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "api": ("gunicorn", "-c", "python:api.gunicorn_conf", "api:create_app()"),
    "dispatcher": ("farm", "dispatcher"),
    "courier": ("farm", "courier"),
    "exporter": ("farm", "exporter"),
    "migrate": ("farm", "migrate"),
    "worker-v3": ("python", "-m", "workers", "run", "v3"),
    "worker-v4": ("python", "-m", "workers", "run", "v4"),
    "worker-cpu": ("python", "-m", "workers", "run", "cpu"),
    "worker-fetch": ("python", "-m", "workers", "run", "fetch"),
    "flower": ("python", "-m", "workers", "flower", "--address", "0.0.0.0", "--port", "5555"),
}


def dry_run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """Have the program itself judge the command line, without starting anything.

    gunicorn loads its configuration and the application; the others know their subcommand and its
    options before they come to ``--help``. The container's folders are not this machine's: what is
    written goes to ``folder``.
    """
    bin_dir = Path(sys.executable).parent
    words = [*command, "--check-config"] if command[0] == "gunicorn" else [*command, "--help"]
    words[0] = str(bin_dir / words[0])
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    ours = {"FARM_WORK_DIR": f"{folder}/work"}
    return subprocess.run(
        words,
        env={**kept, **environment, **ours},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """``${NAME}``, ``${NAME:-default}`` and ``${NAME:?why}`` as compose reads them."""

    def value(match: re.Match[str]) -> str:
        name, kind, rest = match.groups()
        found = variables.get(name, "")
        if not found and kind == "?":
            raise KeyError(f"{name}: {rest}")
        return found or rest or ""

    return re.sub(r"\$\{(\w+)(?::([-?])([^}]*))?\}", value, text)
