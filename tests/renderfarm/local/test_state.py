"""Which ports and addresses a start chooses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from renderfarm.local import state
from renderfarm.local.home import Home
from renderfarm.local.ports import answers
from renderfarm.local.state import State, choose


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.create()
    return home


def test_every_port_is_another_and_free(home: Home) -> None:
    ports = list(choose(home, {}).ports.values())
    assert len(set(ports)) == len(ports)
    assert not any(answers(port) for port in ports)


def test_a_busy_default_gives_way(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        busy = listener.getsockname()[1]
        monkeypatch.setattr(state, "API_PORT", busy)
        chosen = choose(home, {})
    assert chosen.ports["api"] != busy
    assert chosen.api_url.endswith(f":{chosen.ports['api']}")


def test_services_keep_their_ports_from_start_to_start(home: Home) -> None:
    first = choose(home, {})
    first.save(home.state)
    assert State.load(home.state) == first
    again = choose(home, {})
    assert {name: again.ports[name] for name in ("postgres", "redis")} == {
        name: first.ports[name] for name in ("postgres", "redis")
    }
    assert again.redis_url == first.redis_url


def test_given_services_are_taken_and_not_run(home: Home) -> None:
    given = {
        "DATABASE_URL": "postgresql://there/farm",
        "REDIS_URL": "redis://there",
        "FARM_STORAGE_URL": "s3://b",
    }
    chosen = choose(home, given)
    assert (chosen.database_url, chosen.redis_url, chosen.storage_url) == tuple(given.values())
    assert not chosen.own_postgres
    assert not chosen.own_redis


@pytest.mark.parametrize("text", ["", "not json", '{"ports": {}}', "[]"])
def test_a_broken_state_file_counts_as_none(home: Home, text: str) -> None:
    home.state.write_text(text)
    assert State.load(home.state) is None
    assert choose(home, {}).own_postgres
