"""The worker's own processes load nothing heavy: only what draws does."""

from __future__ import annotations

import subprocess
import sys

_HEAVY = ("torch", "torchvision", "cv2", "mediapipe", "scipy", "flask", "api")


def test_a_worker_and_the_process_that_draws_load_nothing_heavy_before_they_are_asked_to() -> None:
    program = f"""
import sys
import workers.__main__, workers.process, workers.tasks, workers.presence, pipeline.serve, pipeline.__main__
from renderfarm.settings import Settings
workers.process.create_app(Settings(database_url="postgresql://nowhere/none"), "cpu", lambda: None)
print(*sorted(set({_HEAVY!r}) & set(sys.modules)))
"""
    asked = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert asked.stdout.split() == []
