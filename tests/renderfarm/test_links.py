"""Addresses of finished files: how each style signs, and what the settings may not say together."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)
from sqlalchemy import select, update

from renderfarm import garbage
from renderfarm.cdn import Link, Public, caches_of
from renderfarm.db import after
from renderfarm.models import Garbage
from renderfarm.settings import Settings, SettingsError
from renderfarm.storage import FileStore, open_storage
from renderfarm.sweep import Sweeper
from tests.renderfarm.farm import Farm

KEY = "out/job_1/3f2a.mp4"
SECRET = "0123456789abcdef-secret"
BASE = "https://cdn.test"


def pem(key: Any, how: KeySerializationEncryption | None = None) -> str:
    encryption = how or NoEncryption()
    text: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    return text.decode()


@pytest.fixture(scope="module")
def rsa() -> RSAPrivateKey:
    return generate_rsa_key(65537, 2048)


def link(folder: Path | None = None, **settings: Any) -> Link:
    """The address of a finished file in a folder, or in a bucket."""
    bucket = {"storage_url": "s3://renders", "s3_access_key": "a", "s3_secret_key": "b"}
    store = {"storage_url": f"file://{folder}"} if folder else bucket
    return open_storage(Settings(database_url="", **store, **settings)).link(KEY)


def seconds_left(made: Link) -> float:
    assert made.expires_at is not None
    return (made.expires_at - datetime.now(UTC)).total_seconds()


def test_without_a_style_a_folder_is_served_by_the_farm_itself_for_good(tmp_path: Path) -> None:
    assert link(tmp_path, public_url="https://farm.test/") == Link(f"https://farm.test/files/{KEY}")
    assert link(tmp_path, cdn_base=f"{BASE}/") == Link(f"{BASE}/{KEY}")
    assert link(tmp_path, cdn_style="public", cdn_base=BASE) == Link(f"{BASE}/{KEY}")


def test_a_secure_link_signs_its_end_its_path_and_the_secret() -> None:
    made = link(cdn_style="secure-link", cdn_base=f"{BASE}/v", cdn_secret=SECRET, cdn_seconds=60)
    assert 57 < seconds_left(made) <= 60
    parts = urlsplit(made.url)
    (expires,), (md5,) = parse_qs(parts.query)["expires"], parse_qs(parts.query)["md5"]
    digest = hashlib.md5(f"{expires}/v/{KEY} {SECRET}".encode()).digest()
    assert md5 == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_cloudfront_finds_its_own_policy_signed(rsa: RSAPrivateKey) -> None:
    for text in (pem(rsa), pem(rsa).replace("\n", "\\n")):  # one line, as files of variables want it
        made = link(
            cdn_style="cloudfront",
            cdn_base=BASE,
            cdn_key_id="K2JCJMDEHXQW5F",
            cdn_private_key=text,
            cdn_seconds=600,
        )
        assert 597 < seconds_left(made) <= 600
        url, _, query = made.url.partition("?")
        found = {name: values[0] for name, values in parse_qs(query).items()}
        assert found["Key-Pair-Id"] == "K2JCJMDEHXQW5F"
        condition = {"DateLessThan": {"AWS:EpochTime": int(found["Expires"])}}
        policy = {"Statement": [{"Resource": url, "Condition": condition}]}
        signed = json.dumps(policy, separators=(",", ":")).encode()
        signature = base64.b64decode(found["Signature"].translate(str.maketrans("-_~", "+=/")))
        rsa.public_key().verify(signature, signed, PKCS1v15(), SHA1())
        with pytest.raises(InvalidSignature):
            rsa.public_key().verify(signature, signed.replace(b"3f2a", b"3f2b"), PKCS1v15(), SHA1())


def test_a_presigned_address_is_good_for_as_long_as_the_settings_say() -> None:
    for style in ("", "presigned"):
        made = link(cdn_style=style, cdn_seconds=90)
        assert parse_qs(urlsplit(made.url).query)["X-Amz-Expires"] == ["90"]
        assert 87 < seconds_left(made) <= 90


@pytest.mark.parametrize(
    ("variable", "settings"),
    [
        ("FARM_CDN_STYLE", {"cdn_style": "secret"}),
        ("FARM_CDN_STYLE", {"cdn_style": "presigned"}),
        ("FARM_CDN_STYLE", {"cdn_style": "secure-link", "cdn_secret": SECRET, "cdn_base": BASE}),
        ("FARM_CDN_BASE", {"cdn_style": "public"}),
        ("FARM_CDN_BASE", {"cdn_base": "cdn.test"}),
        ("FARM_CDN_BASE", {"cdn_style": "presigned", "cdn_base": BASE}),
        ("FARM_CDN_BASE", {"cdn_style": "secure-link", "cdn_secret": SECRET}),
        ("FARM_CDN_SECRET", {"cdn_style": "secure-link", "cdn_base": BASE}),
        ("FARM_CDN_SECRET", {"cdn_style": "secure-link", "cdn_base": BASE, "cdn_secret": "short"}),
        ("FARM_CDN_SECRET", {"cdn_style": "secure-link", "cdn_base": BASE, "cdn_secret": f'{SECRET}"; #'}),
        (
            "FARM_CDN_SECRET",
            {"cdn_secret": SECRET, "cdn_base": BASE},
        ),
        ("FARM_CDN_PRIVATE_KEY", {"cdn_private_key": "x"}),
        ("FARM_CDN_KEY_ID", {"cdn_style": "cloudfront", "cdn_base": BASE, "cdn_private_key": "x"}),
        ("FARM_CDN_PRIVATE_KEY", {"cdn_style": "cloudfront", "cdn_base": BASE, "cdn_key_id": "K"}),
        (
            "FARM_CDN_PRIVATE_KEY",
            {"cdn_style": "cloudfront", "cdn_base": BASE, "cdn_key_id": "K", "cdn_private_key": "no key"},
        ),
        ("FARM_CDN_SECONDS", {"cdn_seconds": 0}),
        ("FARM_CDN_SECONDS", {"cdn_seconds": 8 * 24 * 3600}),
    ],
)
def test_what_contradicts_itself_is_refused_by_its_name(
    tmp_path: Path, variable: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}") as refused:
        link(tmp_path, **settings)
    assert SECRET not in str(refused.value)


def test_a_key_that_is_not_rsa_or_has_a_password_is_refused(rsa: RSAPrivateKey) -> None:
    for text in (pem(generate_private_key(SECP256R1())), pem(rsa, BestAvailableEncryption(b"word"))):
        settings = {"cdn_base": BASE, "cdn_key_id": "K", "cdn_private_key": text}
        with pytest.raises(SettingsError, match=r"^FARM_CDN_PRIVATE_KEY is not an RSA key"):
            link(cdn_style="cloudfront", **settings)


def test_no_secret_is_shown_with_the_settings_or_the_links(rsa: RSAPrivateKey) -> None:
    shown = [
        Settings(database_url="", cdn_secret=SECRET, cdn_purge_secret=SECRET, cdn_private_key=SECRET),
        open_storage(
            Settings(
                database_url="",
                storage_url="s3://renders",
                cdn_style="secure-link",
                cdn_base=BASE,
                cdn_secret=SECRET,
            )
        ).links,
        caches_of(Settings(database_url="", cdn_purge_urls="http://cdn:8080", cdn_purge_secret=SECRET)),
    ]
    assert SECRET not in repr(shown)


@pytest.mark.parametrize(
    ("variable", "settings"),
    [
        ("FARM_CDN_PURGE_URLS", {"cdn_purge_urls": "http://a, b", "cdn_purge_secret": SECRET}),
        ("FARM_CDN_PURGE_SECRET", {"cdn_purge_urls": "http://a"}),
        ("FARM_CDN_PURGE_SECRET", {"cdn_purge_urls": "http://a", "cdn_purge_secret": ".*" * 10}),
    ],
)
def test_a_cache_that_cannot_be_told_is_refused_by_its_variable(
    variable: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}"):
        caches_of(Settings(database_url="", **settings))


class _Amazon(BaseHTTPRequestHandler):
    """Takes invalidations; the third one is one too many."""

    taken: list[tuple[str, list[str]]] = []  # noqa: RUF012 - one server, one test

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        paths = re.findall("<Path>(.*?)</Path>", body)
        assert f"<Quantity>{len(paths)}</Quantity>" in body
        self.taken.append((self.path, paths))
        takes = len(self.taken) != 3
        self.send_response(201 if takes else 400)
        self.end_headers()
        self.wfile.write(b"<Invalidation><Id>I1</Id></Invalidation>" if takes else _TOO_MANY)

    def log_message(self, format: str, *args: Any) -> None: ...


_TOO_MANY = b"""<ErrorResponse xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/">
<Error><Type>Sender</Type><Code>TooManyInvalidationsInProgress</Code><Message>wait</Message></Error>
<RequestId>r</RequestId></ErrorResponse>"""


@pytest.fixture
def amazon(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, list[str]]]]:
    """What a local CloudFront has been told."""
    with HTTPServer(("127.0.0.1", 0), _Amazon) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFRONT", f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        _Amazon.taken.clear()
        yield _Amazon.taken
        server.shutdown()
        thread.join()


def test_a_distribution_of_cloudfront_is_told_one_path_a_job_and_several_jobs_at_once(
    amazon: list[tuple[str, list[str]]],
) -> None:
    settings = Settings(
        database_url="", cdn_base=f"{BASE}/v", cdn_distribution="E1", s3_access_key="a", s3_secret_key="b"
    )
    (cache,) = caches_of(settings)
    files = {f"out/job_{job:02}/{name}": None for job in range(20) for name in ("mask", "output")}
    assert cache.purge({**files, "out/stray": None}) == {}
    assert {path for path, _ in amazon} == {"/2020-05-31/distribution/E1/invalidation"}
    assert [len(paths) for _, paths in amazon] == [15, 6]  # no more may be under way
    told = [path for _, paths in amazon for path in paths]
    assert told == [*(f"/v/out/job_{job:02}/*" for job in range(20)), "/v/out/stray"]

    left = cache.purge(files)
    assert left.keys() == files.keys()
    assert all(why.startswith("E1: ") and "TooManyInvalidationsInProgress" in why for why in left.values())
    assert len(amazon) == 3  # it is not asked for the rest


def test_a_distribution_is_told_once_when_nobody_reads_what_was_deleted_whatever_becomes_of_an_nginx(
    amazon: list[tuple[str, list[str]]], farm: Farm, tmp_path: Path
) -> None:
    settings = farm.with_settings(
        cdn_base=BASE,
        cdn_distribution="E1",
        cdn_purge_urls="http://127.0.0.1:9",
        cdn_purge_secret=SECRET,
        s3_access_key="a",
        s3_secret_key="b",
    ).settings
    sweeper = Sweeper(settings, farm.database, FileStore(tmp_path, Public(BASE)))
    with farm.database.begin() as session:
        garbage.throw(session, settings, ["out/job_1/mask", "out/job_1/output"], -1)
    assert sweeper.collect_garbage() == 2
    for state, told in (("deleted", 0), ("read_out", 1), ("invalidated", 1)):
        with farm.database.begin() as session:
            assert set(session.scalars(select(Garbage.state))) == {state}
            session.execute(update(Garbage).values(after=after(-1)))
        assert sweeper.purge_caches() == 2
        assert [paths for _, paths in amazon] == [["/out/job_1/*"]] * told
