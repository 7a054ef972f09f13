"""The CDN for the tests: nginx over a network to a real S3 server, and how the farm sees it."""

from __future__ import annotations

import http.client
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from renderfarm.cdn.purge import SLICE
from renderfarm.db import new_id
from renderfarm.settings import Settings
from renderfarm.storage import Storage, open_storage
from renderfarm.trial.proxy import Proxy
from tests.services.debian import Unavailable
from tests.services.nginx import Nginx, nginx_server
from tests.services.s3 import BUCKET, S3Server

SECRET, PURGE_SECRET = "0123456789abcdef-links", "0123456789abcdef-purge"
PURGE = {"X-CDN-Purge": PURGE_SECRET}
#: Three slices and a bit.
DATA = os.urandom(3 * SLICE + 1000)


@dataclass
class Cdn:
    """A running one, the network behind it, and how the farm sees both."""

    nginx: Nginx
    network: Proxy
    settings: Settings
    storage: Storage
    #: A file that no cache has seen.
    key: str

    @property
    def url(self) -> str:
        """Its signed address."""
        return self.storage.url(self.key)

    def get(self, method: str = "GET", **headers: str) -> requests.Response:
        """Fetch it."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return requests.request(method, self.url, headers=named, timeout=10)

    def range(self, first: int, last: int) -> requests.Response:
        """Fetch these bytes."""
        return self.get(Range=f"bytes={first}-{last}")

    def raw(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Ask for exactly this path, as no library would send it."""
        connection = http.client.HTTPConnection(urlsplit(self.nginx.url).netloc, timeout=10)
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body

    def put(self, key: str = "", data: bytes = DATA) -> None:
        with self.storage.writer(key or self.key, "video/mp4") as out:
            out.write(data)
            out.commit()


@contextmanager
def cdn_over(s3: S3Server, folder: Path, style: str = "secure-link", **change: str) -> Iterator[Cdn]:
    """nginx over a network to the S3 server, and a farm whose links have this style."""
    with Proxy.open(urlsplit(s3.endpoint).port or 0) as network:
        variables = {
            "CDN_STYLE": style,
            "CDN_ORIGIN": f"http://{change.pop('store', '127.0.0.1')}:{network.port}",
            "CDN_BUCKET": BUCKET,
            "CDN_REGION": "us-east-1",
            "CDN_ACCESS_KEY": s3.access_key,
            "CDN_SECRET_KEY": change.pop("secret_key", s3.secret_key),
            "CDN_LINK_SECRET": SECRET,
            "CDN_PURGE_SECRET": change.pop("purge_secret", PURGE_SECRET),
            "CDN_CACHE_SIZE": "1g",
            "NGINX_LOCAL_RESOLVERS": change.pop("resolver", "127.0.0.1"),
        }
        try:
            with nginx_server(folder, ["cdn.conf.template", "s3.conf.template"], variables, change) as nginx:
                settings = s3.settings(
                    cdn_style=style,
                    cdn_base=nginx.url,
                    cdn_secret=SECRET if style == "secure-link" else "",
                    cdn_purge_urls=nginx.url,
                    cdn_purge_secret=PURGE_SECRET,
                )
                yield Cdn(nginx, network, settings, open_storage(settings), f"out/{new_id('job')}/3f2a.mp4")
        except Unavailable as reason:
            pytest.skip(str(reason))
