"""The rooms keep to themselves: who may load what, checked in processes of their own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "mediapipe", "cv2", "scipy")


@pytest.mark.parametrize(
    "module",
    [
        "api",
        "renderfarm.cli",
        "renderfarm.jobs",
        "renderfarm.dispatch",
        "renderfarm.storage",
        "workers.app",
        "workers.runner",
        "pipeline.spec",
        "pipeline.protocol",
        "pipeline.ffmpeg",
        "pipeline.stitch",
        "pipeline.__main__",
    ],
)
def test_importing_it_leaves_the_heavy_libraries_unloaded(module: str) -> None:
    program = f"import sys, {module}; print(*(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_importing_every_room_reads_no_environment_and_opens_no_connection() -> None:
    """An empty environment is enough to import all of the light rooms: nothing happens at import."""
    program = "import api, renderfarm.cli, renderfarm.dispatch, workers.app, workers.runner, pipeline.ffmpeg"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env={"PATH": ""}
    )
    assert done.returncode == 0, done.stderr
