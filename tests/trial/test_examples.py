"""The clients that the documentation shows, as they are, against a whole farm."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from renderfarm import accounts
from renderfarm.models import Asset, Job
from renderfarm.trial.farm import Farm
from renderfarm.trial.ground import ROOT, Ground

_EXAMPLES = ROOT / "examples"
_POLL = {"python": [sys.executable, str(_EXAMPLES / "poll.py")], "shell": [str(_EXAMPLES / "poll.sh")]}
_COMMANDS = {**_POLL, "assets": [sys.executable, str(_EXAMPLES / "assets.py")]}


@pytest.fixture(scope="module")
def farm(ground: Ground) -> Iterator[Farm]:
    with Farm.open(ground, api=True, environ={"FARM_LOG_LEVEL": "DEBUG"}) as farm:
        yield farm


@pytest.fixture(scope="module")
def secret(farm: Farm) -> str:
    with farm.database.begin() as session:
        return accounts.create_key(session, farm.account_id)[1]


def _run(farm: Farm, secret: str, how: str, *words: Path) -> subprocess.CompletedProcess[str]:
    environ = {
        **os.environ,
        "FARM_API_URL": farm.settings.public_url,
        "FARM_API_KEY": secret,
        "POLL_SECONDS": "0.2",
        "NO_PROXY": "127.0.0.1",
    }
    command = [*_COMMANDS[how], *map(str, words)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("how", _POLL)
def test_what_is_sent_is_polled_and_fetched_and_no_log_knows_the_key(
    farm: Farm, ground: Ground, secret: str, how: str, tmp_path: Path
) -> None:
    done = _run(farm, secret, how, ground.picture, ground.clip, tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2].startswith("complete")
    assert b"ftyp" in (tmp_path / "out.mp4").read_bytes()[:16]
    logs = [path for path in farm.folder.rglob("*.log") if path.stat().st_size]
    assert logs
    for path in logs:
        assert secret.removeprefix("sk-") not in path.read_text(errors="replace"), path


def test_what_is_prepared_is_performed_cancelled_imported_and_deleted(
    farm: Farm, ground: Ground, secret: str, tmp_path: Path
) -> None:
    done = _run(farm, secret, "assets", ground.picture, ground.clip, tmp_path / "out.mp4")
    assert done.returncode == 0, done.stderr
    assert "cancelled: cancelled" in done.stdout
    assert b"ftyp" in (tmp_path / "out.mp4").read_bytes()[:16]
    with farm.database.begin() as session:
        scene = session.scalars(select(Asset).where(Asset.kind == "scene")).one()
        prepared = session.scalars(select(Job).where(Job.mode == "preprocessed").order_by(Job.created_at))
        assert scene.deleted_at is not None
        assert [(job.stages, job.status) for job in prepared] == [
            (["segment", "stitch"], "complete"),
            (["segment", "stitch"], "cancelled"),
        ]


@pytest.mark.parametrize("how", _COMMANDS)
def test_a_refusal_is_told_by_its_code(farm: Farm, ground: Ground, how: str, tmp_path: Path) -> None:
    refused = _run(farm, "sk-wrong", how, ground.picture, ground.clip, tmp_path / "out.mp4")
    assert refused.returncode == 1
    assert "CS-ORAU-002" in refused.stderr
    assert not (tmp_path / "out.mp4").exists()
