"""The farm's folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from renderfarm.local.home import Home


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_environment_says_where_it_is_else_the_checkout(tmp_path: Path) -> None:
    checkout = Path(__file__).resolve().parents[3]
    assert Home.find({"FARM_HOME": str(tmp_path)}).root == tmp_path
    assert Home.find({}).root == checkout / ".farm"


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    home = Home(tmp_path / ".farm")
    home.create()
    # As root PostgreSQL runs as another user, who has to pass but need not read.
    assert _mode(home.root) == (0o711 if os.geteuid() == 0 else 0o700)
    assert {_mode(folder) for folder in (home.logs, home.store, home.work)} == {0o700}


def test_a_secret_is_made_once_and_kept_to_ourselves(tmp_path: Path) -> None:
    home = Home(tmp_path)
    secret = home.secret("word")
    assert len(secret) >= 32
    assert home.secret("word") == secret
    assert home.secret("other") != secret
    assert _mode(tmp_path / "word") == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "word"]
