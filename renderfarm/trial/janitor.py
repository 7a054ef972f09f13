"""``python -m renderfarm.trial.janitor``: cleans up behind a trial, even one that was killed.

Each line of its input names a folder. At the input's end, which comes with its parent's, it ends
every process that is marked with one of them, and removes them.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Self

from renderfarm.local.processes import sweep


class Janitor:
    """The janitor at work, seen from its parent."""

    def __init__(self) -> None:
        self._popen = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._popen.communicate()

    def mind(self, *folders: Path) -> None:
        """End the processes marked with a folder, and remove it, at the latest when this process ends."""
        assert self._popen.stdin is not None
        self._popen.stdin.write("".join(f"{folder}\n" for folder in folders))
        self._popen.stdin.flush()


def main() -> None:
    """Wait for the parent's end, then clean up."""
    folders = [line.rstrip("\n") for line in sys.stdin]
    for folder in folders:
        sweep(folder, grace=0)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
