"""Flower over the same app: behind a password, and gone when it is told to go."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import requests

from renderfarm.local.ports import free_port
from tests.services.processes import running
from tests.waiting import until


def test_flower_asks_for_the_password_and_keeps_what_it_saw(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    env = {
        **os.environ,
        "DATABASE_URL": "postgresql://nowhere/none",
        "REDIS_URL": redis_url,
        "FLOWER_BASIC_AUTH": "farm:secret",
    }
    options = [f"--port={port}", f"--db={tmp_path / 'flower.db'}", "--url-prefix=flower"]
    command = [sys.executable, "-m", "workers", "flower", *options]
    with running(command, env=env, port=port, log=tmp_path / "log") as flower:
        page = f"http://127.0.0.1:{port}/flower/workers"
        assert requests.get(page, timeout=20).status_code == 401
        metrics = f"http://127.0.0.1:{port}/flower/metrics"
        assert requests.get(metrics, timeout=20).status_code == 401
        assert "flower_" in requests.get(metrics, auth=("farm", "secret"), timeout=20).text
        shown = requests.get(page, auth=("farm", "secret"), timeout=20)
        assert shown.status_code == 200 and "Flower" in shown.text
        flower.terminate()
        until(lambda: flower.poll() is not None)
    assert "secret" not in (tmp_path / "log").read_text()
    assert any(path.name.startswith("flower.db") for path in tmp_path.iterdir())


def test_flower_without_a_password_does_not_start() -> None:
    env = {**os.environ, "DATABASE_URL": "postgresql://nowhere/none", "REDIS_URL": "redis://127.0.0.1:1/0"}
    command = [sys.executable, "-m", "workers", "flower", "--port=0"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FLOWER_BASIC_AUTH" in done.stderr
