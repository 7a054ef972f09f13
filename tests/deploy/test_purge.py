"""What is deleted leaves the caches: a real nginx, S3 server and PostgreSQL."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import NoReturn
from urllib.parse import urlsplit

import pytest
from sqlalchemy import func, select, update

from renderfarm import garbage
from renderfarm.cdn import caches_of
from renderfarm.cdn.purge import SLICE, Nginx
from renderfarm.db import Database
from renderfarm.models import Garbage
from renderfarm.sweep import Sweeper
from tests.services.cdn import DATA, PURGE, PURGE_SECRET, Cdn, cdn_over
from tests.services.s3 import S3Server


def test_a_purge_leaves_none_of_the_slices_and_is_no_strangers_to_ask_for(cdn: Cdn) -> None:
    (cache,) = caches_of(cdn.settings)
    assert cdn.get().content == DATA
    for headers in ({}, {"X-CDN-Purge": ""}, {"X-CDN-Purge": PURGE_SECRET + "x"}, {"X-CDN-Purge": ".*"}):
        assert cdn.raw(f"/purge/{cdn.key}", **headers)[0] == 403
    left = cache.purge({"out/job_1/gone": 1, cdn.key: len(DATA), "out/job_1/too": 1})
    assert left == {cdn.key: f"{cdn.nginx.url} answered 206 where it had to be gone"}  # it is there still
    cdn.storage.delete(cdn.key)
    assert cdn.get().content == DATA  # nobody has told the cache
    assert cache.purge({cdn.key: len(DATA)}) == {}
    for start in range(0, len(DATA), SLICE):
        assert cdn.range(start, start + 9).status_code == 404
    # Nor on the disk, where an outage, or the next start, would find it.
    files = [path.read_bytes() for path in (cdn.nginx.log.parent / "cache").rglob("*") if path.is_file()]
    kept = [file for file in files if f"KEY: /{cdn.key} ".encode() in file]
    assert len(kept) == 4
    for start in range(0, len(DATA), SLICE):
        assert not any(DATA[start + 10 : start + 900] in file for file in kept)
    for change, why in (
        ({"cdn_purge_secret": "another-secret-than-its"}, "answered 403"),
        ({"cdn_purge_urls": "http://127.0.0.1:9"}, "does not answer"),
        ({"cdn_purge_urls": "http://nobody.invalid"}, "has no address"),
        # One path too many, and it is another's 404.
        ({"cdn_purge_urls": f"{cdn.nginx.url}/cdn"}, "is no cache of ours"),
    ):
        (cache,) = caches_of(replace(cdn.settings, **change))  # type: ignore[arg-type]
        left = cache.purge({cdn.key: 1, "out/job_1/gone": 1})
        assert left.keys() == {cdn.key, "out/job_1/gone"}
        assert all(why in told for told in left.values())


def test_a_purge_is_told_to_all_that_have_the_name_and_one_that_is_away_holds_up_no_other(
    cdn: Cdn, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = urlsplit(cdn.nginx.url).port
    all_of_them = [
        *((socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", port)) for n in (1, 1)),
        (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
    ]
    known = socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *more, **named: all_of_them if host == "cdn.test" else known(host, *more, **named),
    )
    (cache,) = caches_of(replace(cdn.settings, cdn_purge_urls=f"http://cdn.test:{port}"))
    assert cdn.get().content == DATA
    cdn.storage.delete(cdn.key)
    (why,) = cache.purge({cdn.key: len(DATA)}).values()
    assert why.startswith(f"http://[::1]:{port} does not answer")
    assert cdn.get().status_code == 404


def test_a_purge_finds_one_that_has_an_address_of_ipv6(s3: S3Server, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError as reason:
            pytest.skip(f"no IPv6 here: {reason}")
        port = probe.getsockname()[1]
    both = {"default_server;": f"default_server; listen [::1]:{port};"}
    with cdn_over(s3, tmp_path, **both) as cdn:
        cdn.put()
        assert cdn.get().content == DATA
        cdn.storage.delete(cdn.key)
        (cache,) = caches_of(replace(cdn.settings, cdn_purge_urls=f"http://[::1]:{port}"))
        assert cache.purge({cdn.key: len(DATA)}) == {}
        assert cdn.get().status_code == 404


def noted(database: Database) -> list[tuple[str, int | None]]:
    """How far each file on its way out is, and its size; the time of all has come."""
    with database.begin() as session:
        session.execute(update(Garbage).values(after=func.now() - timedelta(seconds=1)))
        return [(row.state, row.deleted_size) for row in session.scalars(select(Garbage))]


def test_the_sweeper_makes_every_cache_forget_what_it_deletes(cdn: Cdn, database: Database) -> None:
    settings = replace(cdn.settings, database_url=database.url)
    away = replace(settings, cdn_purge_urls=f"http://127.0.0.1:9,{cdn.nginx.url}")
    sweeper, cut_off = (Sweeper(each, database, cdn.storage) for each in (settings, away))
    assert cdn.get().content == DATA
    with database.begin() as session:
        garbage.throw(session, settings, [cdn.key], -1)
    assert cut_off.collect_garbage() == 1
    assert not cdn.storage.exists(cdn.key)
    assert cut_off.purge_caches() == 1
    assert cdn.get().status_code == 404  # the other one is told all the same
    cdn.put()
    assert cdn.raw(f"/purge/{cdn.key}", **PURGE, Range=f"bytes={3 * SLICE}-")[0] == 206
    cdn.storage.delete(cdn.key)
    assert cdn.range(3 * SLICE, 3 * SLICE + 9).status_code == 206  # as by who was reading it meanwhile
    assert noted(database) == [("read_out", len(DATA))]
    assert cut_off.purge_caches() == 1
    assert cdn.range(3 * SLICE, 3 * SLICE + 9).status_code == 404
    assert noted(database) == [("invalidated", len(DATA))]  # for the one that is away
    assert sweeper.purge_caches() == 1
    assert noted(database) == []


def test_whoever_dies_on_the_way_of_a_file_out_leaves_the_step_to_the_next_one(
    cdn: Cdn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = Sweeper(replace(cdn.settings, database_url=database.url), database, cdn.storage)
    size = len(DATA)

    def dies(what: str, step: Callable[[], int]) -> None:
        def die(*_: object) -> NoReturn:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(what, die)
            step()

    assert cdn.get().content == DATA
    with database.begin() as session:
        garbage.throw(session, sweeper._settings, [cdn.key], -1)
    dies("renderfarm.crash.here", sweeper.collect_garbage)
    assert not cdn.storage.exists(cdn.key)
    assert noted(database) == [("stored", size)]  # which nobody could find out any more
    assert sweeper.collect_garbage() == 1
    for state in ("deleted", "read_out"):
        assert noted(database) == [(state, size)]
        dies("renderfarm.cdn.purge.Nginx.purge", sweeper.purge_caches)
        assert sweeper.purge_caches() == 0  # somebody may be at it
        assert noted(database) == [(state, size)]
        dies("renderfarm.garbage.move", sweeper.purge_caches)
        assert cdn.get().status_code == 404
        assert noted(database) == [(state, size)]
        assert sweeper.purge_caches() == 1
    assert noted(database) == []


def test_no_transaction_is_open_while_a_cache_is_told(
    cdn: Cdn, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweeper = Sweeper(replace(cdn.settings, database_url=database.url), database, cdn.storage)
    with database.begin() as session:
        garbage.throw(session, sweeper._settings, [cdn.key], -1)
    assert sweeper.collect_garbage() == 1
    told: list[str] = []

    def purge(cache: Nginx, sizes: dict[str, int | None]) -> dict[str, str]:
        with database.begin() as session:
            free = session.scalars(select(Garbage.key).with_for_update(skip_locked=True)).all()
            told.extend(free)
            garbage.throw(session, sweeper._settings, free)  # as for a second upload
        return {}

    monkeypatch.setattr(Nginx, "purge", purge)
    assert sweeper.purge_caches() == 1
    assert told == [cdn.key]
    assert noted(database) == [("stored", None)]  # what was thrown meanwhile is to go anew
