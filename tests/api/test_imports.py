"""What the ingress loads, in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "torchvision", "mediapipe", "cv2", "scipy", "celery", "workers")


@pytest.mark.parametrize("work", ["import api", "import api.gunicorn_conf", "api.create_app(settings)"])
def test_it_never_loads_what_draws(work: str) -> None:
    program = f"""
import sys, os
os.environ["DATABASE_URL"] = "postgresql://nowhere"
import api
from renderfarm.settings import Settings
settings = Settings(database_url="postgresql://nowhere", storage_url="file:///nowhere/at/all")
{work}
print(*(set({HEAVY!r}) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_configuration_is_read_before_the_metrics_library_is() -> None:
    """It decides at its import whether processes share their counts."""
    program = """
import os, sys
os.environ |= {"DATABASE_URL": "postgresql://nowhere", "FARM_METRICS_PORT": "9"}
import api.gunicorn_conf
assert "prometheus_client" not in sys.modules
api.gunicorn_conf.on_exit(None)
"""
    subprocess.run([sys.executable, "-c", program], check=True)
