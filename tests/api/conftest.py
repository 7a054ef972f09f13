"""The ingress over a real database and a real folder, an account with a key, and things to send."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.datastructures import FileStorage
from werkzeug.serving import make_server
from werkzeug.test import TestResponse, encode_multipart

from api import create_app
from api.context import Farm
from renderfarm import accounts, credits
from renderfarm.db import Database, new_id
from renderfarm.models import Account, Garbage, Job
from renderfarm.settings import Settings
from tests.clips import make_clip, make_picture
from tests.services.postgres import PostgresServer

GRANT = 100


@dataclass
class Caller:
    """A client of the API with an account of its own."""

    client: FlaskClient
    account_id: str
    secret: str
    headers: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.headers = {"Authorization": f"Bearer {self.secret}"}

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.client.get(path, headers=self.headers, **more)

    def post(
        self, data: dict[str, Any] | None = None, path: str = "/api/render", **more: Any
    ) -> TestResponse:
        if data is not None and "content_type" not in more:
            boundary, body = encode_multipart(data)  # the client's own way leaves a file open
            more |= {"data": body, "content_type": f"multipart/form-data; boundary={boundary}"}
        elif data is not None:
            more["data"] = data
        return self.client.post(path, headers=self.headers, **more)

    def delete(self, path: str) -> TestResponse:
        return self.client.delete(path, headers=self.headers)


@pytest.fixture(scope="module")
def database(postgres: PostgresServer) -> Iterator[Database]:
    """One database for a module: each test has accounts of its own, and the ingress knows no more."""
    database = Database(postgres.fresh_database())
    yield database
    database.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    app.extensions["farm"].database.close()


@pytest.fixture
def farm(app: Flask) -> Farm:
    found: Farm = app.extensions["farm"]
    return found


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    return app.test_client()


@pytest.fixture
def url(app: Flask) -> Iterator[str]:
    """Where the ingress is reached over HTTP."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def caller_of(client: FlaskClient, database: Database, name: str, grant: int = GRANT) -> Caller:
    with database.begin() as session:
        account = accounts.create_account(session, f"{name} {new_id('test')}")
        if grant:
            credits.grant(session, account.id, grant)
        return Caller(client, account.id, accounts.create_key(session, account.id)[1])


@pytest.fixture
def alice(client: FlaskClient, database: Database) -> Caller:
    return caller_of(client, database, "alice")


@pytest.fixture
def bob(client: FlaskClient, database: Database) -> Caller:
    return caller_of(client, database, "bob")


@pytest.fixture
def pauper(client: FlaskClient, database: Database) -> Caller:
    return caller_of(client, database, "pauper", grant=0)


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a picture (picture.png) and a video of 2.4 s (clip.mp4), both good."""
    folder = tmp_path_factory.mktemp("media")
    make_picture(folder / "picture.png")
    make_clip(folder / "clip.mp4", seconds=2.4)
    return folder


@pytest.fixture
def upload(media: Path) -> dict[str, Any]:
    """The files of a render that is taken."""
    return {"ref_image": sent(media / "picture.png"), "driving_video": sent(media / "clip.mp4")}


def sent(path: Path) -> FileStorage:
    """A file as the client sends it."""
    return part(path.read_bytes(), path.name)


def part(data: bytes, filename: str) -> FileStorage:
    """A file part of a form."""
    return FileStorage(io.BytesIO(data), filename)


def assert_untouched(farm: Farm, *callers: Caller, granted: int = GRANT) -> None:
    """Nothing was charged, nothing is stored, and nothing of these callers waits to be deleted."""
    assert list(farm.storage.list("")) == []
    with farm.database.begin() as session:
        for caller in callers:
            left = Garbage.key.startswith(f"in/{caller.account_id}/")
            assert session.scalars(select(Garbage.key).where(left)).all() == []
            assert session.scalars(select(Job.id).where(Job.account_id == caller.account_id)).all() == []
            account = session.get_one(Account, caller.account_id)
            assert (account.available, account.held) == (granted, 0)
            assert [entry.kind for entry in credits.entries(session, caller.account_id)] in ([], ["grant"])


def error_of(response: TestResponse, status: int | None = None) -> str:
    """The code of an error answer, after a look at its form."""
    body = response.get_json()
    assert response.mimetype == "application/json"
    assert set(body) == {"detail", "error_code", "message"}
    assert set(body["detail"]) == {"error_code", "message", "action"}
    assert body["detail"]["error_code"] == body["error_code"]
    assert body["detail"]["message"] == body["message"]
    assert all(body["detail"].values())
    if status is not None:
        assert response.status_code == status
    code: str = body["error_code"]
    return code
