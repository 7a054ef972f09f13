"""Where the weights are that no wheel carries: a folder of the operator's, which may be missing."""

from __future__ import annotations

from pathlib import Path

_folder: Path | None = None


def look_in(folder: Path | None) -> None:
    """Look for weights in ``folder`` from now on; entry points say where, nobody reads the environment."""
    global _folder  # noqa: PLW0603  # one folder for the process, as there is one set of engines
    _folder = folder


def find(name: str) -> Path | None:
    """The weights file ``name``; None where it, or the folder, is not there."""
    path = None if _folder is None else _folder / name
    return path if path is not None and path.is_file() else None
