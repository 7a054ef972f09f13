"""What moderation says of an order, and what becomes of it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from api import create_app
from renderfarm.db import Database
from renderfarm.moderation import Request, load
from renderfarm.settings import Settings, SettingsError
from tests.api.conftest import Caller, assert_untouched, caller_of, error_of

_asked: list[Request] = []
_over = threading.Event()


def allows(request: Request) -> None:
    _asked.append(request)


def refuses(_: Request) -> str:
    return "No one may dance on a Sunday."


def breaks(_: Request) -> None:
    raise RuntimeError("no model")


def mumbles(_: Request) -> bool:
    return True


def sleeps(_: Request) -> None:
    _over.wait(20)


@pytest.fixture
def moderated(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Flask]:
    _over.clear()
    wanted = {"moderation_seconds": 0.3, **request.param}
    wanted["moderation"] = f"{__name__}:{wanted['moderation']}"
    app = create_app(replace(settings, **wanted))
    yield app
    _over.set()
    app.extensions["farm"].database.close()


def _with(moderator: str, **more: Any) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("moderated", [{"moderation": moderator, **more}], indirect=True)


@pytest.fixture
def sender(moderated: Flask, database: Database) -> Caller:
    return caller_of(moderated.test_client(), database, "alice")


@_with("allows")
def test_it_is_told_who_asks_for_what_with_which_files(
    sender: Caller, upload: dict[str, Any], media: Path
) -> None:
    _asked.clear()
    assert sender.post(upload | {"background_mode": "solid"}).status_code == 202
    (asked,) = _asked
    assert (asked.account_id, asked.kind, asked.mode) == (sender.account_id, "render", "full_pipeline")
    assert asked.fields == {"background_mode": "solid"}
    assert asked.sha256["ref_image"] == hashlib.sha256((media / "picture.png").read_bytes()).hexdigest()
    assert set(asked.keys) == {"ref_image", "driving_video"}


@_with("refuses")
def test_what_it_refuses_is_neither_charged_nor_kept(
    sender: Caller, moderated: Flask, upload: dict[str, Any]
) -> None:
    response = sender.post(upload)
    assert error_of(response, 403) == "CS-UORC01-117"
    assert response.get_json()["message"] == "No one may dance on a Sunday."
    assert_untouched(moderated.extensions["farm"], sender)


@pytest.mark.parametrize(
    "moderated", [{"moderation": name} for name in ("breaks", "mumbles", "sleeps")], indirect=True
)
def test_one_that_fails_allows_nothing(sender: Caller, moderated: Flask, upload: dict[str, Any]) -> None:
    response = sender.post(upload)
    assert error_of(response, 503) == "CS-UORC01-122"
    assert response.headers["Retry-After"]
    assert_untouched(moderated.extensions["farm"], sender)


@_with("breaks", moderation_fails_open=True)
def test_one_that_fails_lets_through_where_that_is_wanted(sender: Caller, upload: dict[str, Any]) -> None:
    assert sender.post(upload).status_code == 202


@pytest.mark.parametrize("name", ["nonsense", "os:nothing", "no.such.module:f", "os:sep", ":f"])
def test_one_that_cannot_be_loaded_is_told_at_once(name: str) -> None:
    with pytest.raises(SettingsError, match="FARM_MODERATION"):
        load(name)
