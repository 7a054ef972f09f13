"""Caches that keep copies of finished files, and how each is told that one is gone.

A purge comes after the object is gone from the store, and is repeated until it has succeeded: it may be
told as often as one likes.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests

from renderfarm.cdn.links import checked_secret
from renderfarm.settings import Settings, SettingsError

#: What nginx keeps a file in (``slice`` in deploy/nginx/cdn.conf.template).
SLICE = 2 << 20
#: Of a file whose size nobody knows any more so much is purged.
LARGEST = 2 << 30
#: What the caches serve; the rest of a store they have never seen.
PUBLIC = "out/"
_HEADER = "X-CDN-Purge"
#: It says that the store was asked: of anything under any path there is a server that says 404.
_STATUS = "X-Cache-Status"
_SECONDS = (5, 30)


class PurgeError(Exception):
    """A cache may have the file still."""


class Cache(ABC):
    """Something that keeps copies of finished files."""

    @abstractmethod
    def purge(self, key: str, size: int | None) -> None:
        """Nobody gets the file from here any more; its ``size`` may be unknown. Raises ``PurgeError``."""


@dataclass(frozen=True, slots=True)
class Nginx(Cache):
    """nginx with our configuration: all that answer to the name of the address, over plain HTTP.

    It has no way to drop what it holds. A request with the secret makes it ask the store again, whose 404
    then takes the place of what it held: one request for each slice, since each is held by itself.
    """

    url: str
    secret: str = field(repr=False)

    def purge(self, key: str, size: int | None) -> None:
        for url in self._each():
            with requests.Session() as session:
                session.trust_env = False  # no proxy between: it would get the secret
                for start in _slices(LARGEST if size is None else size):
                    self._purge(session, url, key, start)

    def _each(self) -> list[str]:
        """The address of each that has the name: every one holds copies of its own."""
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return [self.url]  # a certificate is for the name
        port = parts.port or 80
        try:
            found = socket.getaddrinfo(parts.hostname, port, socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            raise PurgeError(f"{self.url} has no address: {error}") from error
        return sorted({f"http://{address[0]!s}:{port}{parts.path}" for *_, address in found})

    def _purge(self, session: requests.Session, url: str, key: str, start: int) -> None:
        headers = {_HEADER: self.secret, "Range": f"bytes={start}-{start}", "Host": urlsplit(self.url).netloc}
        try:
            with session.get(
                f"{url}/purge/{key}",
                headers=headers,
                timeout=_SECONDS,
                allow_redirects=False,
                stream=True,
            ) as answer:
                status, cached = answer.status_code, answer.headers.get(_STATUS)
        except requests.RequestException as error:
            raise PurgeError(f"{url} does not answer: {error}") from error
        if status != requests.codes.not_found:
            raise PurgeError(f"{url} answered {status} where {key} had to be gone")
        if cached != "BYPASS":
            raise PurgeError(f"{url} is no cache of ours: it has nothing at all under /purge/")


@dataclass(frozen=True, slots=True)
class Distribution(Cache):
    """A distribution of CloudFront."""

    id: str
    #: Before the key.
    path: str
    client: Any = field(repr=False)

    def purge(self, key: str, size: int | None) -> None:
        from botocore.exceptions import BotoCoreError, ClientError

        path = f"{self.path}/{key}"
        # With a reference that it has had before it does nothing.
        batch = {"Paths": {"Quantity": 1, "Items": [path]}, "CallerReference": f"{path} {time.time()}"}
        try:
            self.client.create_invalidation(DistributionId=self.id, InvalidationBatch=batch)
        except (BotoCoreError, ClientError) as error:
            raise PurgeError(f"{self.id}: {error}") from error


def caches_of(settings: Settings) -> tuple[Cache, ...]:
    """The caches that the settings name; ``SettingsError`` where they cannot be told anything."""
    urls = [url.strip().rstrip("/") for url in settings.cdn_purge_urls.split(",") if url.strip()]
    for url in urls:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise SettingsError(f"FARM_CDN_PURGE_URLS={url!r} is not such as http://cdn:8080")
    if urls and not settings.cdn_purge_secret:
        raise SettingsError("FARM_CDN_PURGE_SECRET is not set, and FARM_CDN_PURGE_URLS need it")
    caches: list[Cache] = [Nginx(url, checked_secret(settings, "cdn_purge_secret")) for url in urls]
    if settings.cdn_distribution:
        import boto3

        client = boto3.client(
            "cloudfront",
            region_name="us-east-1",
            aws_access_key_id=settings.s3_access_key or None,
            aws_secret_access_key=settings.s3_secret_key or None,
        )
        path = urlsplit(settings.cdn_base).path.rstrip("/")
        caches.append(Distribution(settings.cdn_distribution, path, client))
    return tuple(caches)


def _slices(size: int) -> Iterator[int]:
    """Where each slice of a file begins; the first is always there."""
    return iter(range(0, max(size, 1), SLICE))
