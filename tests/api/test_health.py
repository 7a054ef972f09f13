"""Alive, and ready."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

from flask.testing import FlaskClient

from api import create_app
from renderfarm.settings import Settings


def test_a_farm_at_work_is_alive_and_ready(client: FlaskClient) -> None:
    assert client.get("/healthz").get_json()["status"] == "ok"
    ready = client.get("/readyz")
    assert ready.status_code == 200
    assert ready.get_json() == {"status": "ok", "checks": {"database": "ok", "storage": "ok"}}


def test_without_its_database_it_is_alive_but_not_ready(settings: Settings) -> None:
    away = replace(settings, database_url="postgresql://farm:hunter2@127.0.0.1:9/farm")
    client = create_app(away).test_client()
    assert client.get("/healthz").status_code == 200
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["checks"]["storage"] == "ok"
    assert ready.get_json()["checks"]["database"] != "ok"
    assert "hunter2" not in ready.text


def test_without_its_store_it_is_not_ready(settings: Settings, client: FlaskClient, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "store", ignore_errors=True)
    (tmp_path / "store").write_text("a file where the folder should be")
    ready = client.get("/readyz")
    assert ready.status_code == 503
    assert ready.get_json()["checks"]["database"] == "ok"
    assert ready.get_json()["checks"]["storage"] != "ok"
