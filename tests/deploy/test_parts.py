"""Parts of uploads to a store that nobody reaches from outside, through the nginx before the API."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests

from renderfarm.local.ports import free_port
from renderfarm.storage import Storage, open_storage
from tests.services.debian import Unavailable
from tests.services.nginx import nginx_server
from tests.services.s3 import BUCKET, S3Server

#: S3 takes no part under 5 MiB but the last.
PART = 5 << 20
DATA = os.urandom(PART + 1000)
KEY = "in/acct_1/up_1.mp4"


@dataclass(frozen=True)
class Front:
    """The nginx before the API, and a farm that signs for it."""

    url: str
    storage: Storage

    def part(self, handle: str, number: int, size: int) -> str:
        """The address of a part."""
        url = self.storage.part_url(KEY, handle, number, size, 60)
        assert url is not None and url.startswith(f"{self.url}/{BUCKET}/{KEY}?")
        return url


@pytest.fixture(scope="module")
def front(s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    nobody = f"http://127.0.0.1:{free_port()}"
    variables = {
        "API_ORIGIN": nobody,
        "STORE_ORIGIN": s3.endpoint,
        "STORE_BUCKET": BUCKET,
        "API_MAX_BODY_MB": "1",
        "NGINX_LOCAL_RESOLVERS": "127.0.0.1",
    }
    try:
        with nginx_server(tmp_path_factory.mktemp("nginx"), ["api.conf.template"], variables) as nginx:
            yield Front(nginx.url, open_storage(s3.settings(s3_public_endpoint=nginx.url)))
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def handle(front: Front) -> Iterator[str]:
    """An upload that has begun."""
    yield front.storage.open_parts(KEY, 2, "video/mp4")
    front.storage.delete(KEY)


def test_an_upload_in_two_parts_is_whole_in_the_store(front: Front, handle: str, s3: S3Server) -> None:
    for number, data in ((2, DATA[PART:]), (1, DATA[:PART])):
        sent = requests.put(front.part(handle, number, len(data)), data, timeout=20)
        assert sent.status_code == 200, sent.text
        assert sent.headers["ETag"] and sent.headers["Access-Control-Allow-Origin"] == "*"
    front.storage.join_parts(KEY, handle, PART)
    assert front.storage.first(KEY, len(DATA)) == DATA
    assert front.storage.source(KEY).startswith(s3.endpoint), "the farm itself asks the store"


def test_what_is_not_as_it_was_signed_is_refused_by_the_store(front: Front, handle: str) -> None:
    url = front.part(handle, 1, 10)
    assert requests.put(url, b"other length", timeout=10).status_code == 403
    for told, other in (("partNumber=1", "partNumber=2"), ("up_1", "up_2"), ("Expires=60", "Expires=90")):
        assert told in url
        assert requests.put(url.replace(told, other), bytes(10), timeout=10).status_code == 403, other
    assert front.storage.parts(KEY, handle, PART) == {}


def test_nothing_else_of_the_bucket_is_reached(front: Front, handle: str) -> None:
    url = front.part(handle, 1, 10)
    page, _, query = url.partition("?")
    for method in ("GET", "HEAD", "POST", "DELETE"):
        assert requests.request(method, url, timeout=10).status_code == 404, method
    for other in (
        page,
        f"{page}?{query}&acl=",
        f"{page}?{query}&acl",
        f"{page}?acl&{query}",
        page + "?" + query.replace("uploadId", "uploadID"),
        page + "?" + query.replace("partNumber", "part"),
        page + "?" + query.replace("X-Amz-Signature", "Signature"),
        f"{page}%3F{query}",
        f"{front.url}/{BUCKET}/in/?{query}",
        f"{front.url}/{BUCKET}/in/%2e%2e/%2e%2e?{query}",
    ):
        assert requests.put(other, bytes(10), timeout=10).status_code in {404, 503}, other
    assert front.storage.parts(KEY, handle, PART) == {}


def test_a_signed_link_is_good_where_it_was_signed_for_and_does_not_pass_here(
    front: Front, s3: S3Server
) -> None:
    key = "in/acct_2/a.mp4"
    with front.storage.writer(key) as out:
        out.write(b"finished")
        out.commit()
    link = front.storage.url(key)
    assert link.startswith(front.url) and requests.get(link, timeout=10).status_code == 404
    there = open_storage(s3.settings(s3_endpoint="http://127.0.0.1:9", s3_public_endpoint=s3.endpoint))
    assert requests.get(there.url(key), timeout=10).content == b"finished"
    front.storage.delete(key)


def test_a_browser_may_ask_whether_it_may_send_from_another_site(front: Front, handle: str) -> None:
    asked = {"Origin": "https://studio.example", "Access-Control-Request-Method": "PUT"}
    allowed = requests.options(front.part(handle, 1, 10), headers=asked, timeout=10)
    assert allowed.status_code == 204
    assert allowed.headers["Access-Control-Allow-Origin"] == "*"
    assert allowed.headers["Access-Control-Allow-Methods"] == "PUT"


def test_a_body_above_the_largest_part_is_not_taken(front: Front, handle: str) -> None:
    with requests.Session() as session:
        request = requests.Request("PUT", front.part(handle, 1, 10)).prepare()
        request.headers["Content-Length"] = str((64 << 20) + 1)
        assert session.send(request, timeout=10).status_code == 413
