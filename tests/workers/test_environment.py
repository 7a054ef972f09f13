"""The process that draws is given no secret of the farm's."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psutil
import pytest

from renderfarm.local.processes import MARK
from tests.waiting import until
from workers.drawing import Drawing

SECRETS = (
    "DATABASE_URL",
    "REDIS_URL",
    "FARM_S3_SECRET_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "PGPASSWORD",
    "A_TOKEN",
)
NEEDED = ("PATH", "LC_ALL", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "FARM_WEIGHTS", MARK)


def test_what_draws_knows_no_secret_and_all_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*SECRETS, *NEEDED):
        monkeypatch.setenv(name, os.environ.get(name, str(tmp_path)))
    drawing = Drawing((sys.executable, "-c", "import sys; sys.stdin.read()"))
    try:
        drawing.warm()
        assert drawing.pid is not None
        process = psutil.Process(drawing.pid)
        until(lambda: "PATH" in process.environ())
        found = process.environ()
    finally:
        drawing.close()
    assert set(found) >= set(NEEDED)
    assert not set(found) & set(SECRETS)
