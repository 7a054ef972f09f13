"""Caches that keep copies of finished files, and how each is told that one is gone.

A purge comes after the object is gone from the store, and is repeated until it has succeeded; twice does
no harm. ``disposal.py`` says when.
"""

from __future__ import annotations

import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar
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
#: For so many seconds one nginx is told of files; then the rest has to wait.
_PATIENCE = 60.0
#: So many paths with a ``*`` may be under way at a distribution at once. One more, and the whole request is
#: refused; those are told again later.
PATHS = 15


class Cache(ABC):
    """Something that keeps copies of finished files."""

    #: Each telling costs money.
    costs: ClassVar[bool]

    @abstractmethod
    def purge(self, sizes: Mapping[str, int | None]) -> dict[str, str]:
        """Nobody gets these files from here any more; the size of one may be unknown.

        Returns those that it may have still, and why: to be told again.
        """


@dataclass(frozen=True, slots=True)
class Nginx(Cache):
    """nginx with our configuration: all that answer to the name of the address, over plain HTTP.

    It has no way to drop what it holds. A request with the secret makes it ask the store again, whose 404
    then takes the place of what it held: one request for each slice, since each is held by itself.
    """

    costs = False
    url: str
    secret: str = field(repr=False)

    def purge(self, sizes: Mapping[str, int | None]) -> dict[str, str]:
        try:
            urls = self._each()
        except OSError as error:
            return dict.fromkeys(sizes, f"{self.url} has no address: {error}")
        left: dict[str, str] = {}
        for url in urls:
            left |= self._purge(url, sizes)
        return left

    def _each(self) -> list[str]:
        """The address of each that has the name: every one holds copies of its own."""
        parts = urlsplit(self.url)
        if parts.scheme == "https":
            return [self.url]  # a certificate is for the name
        port = parts.port or 80
        # None of a kind that this machine has no way to.
        found = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
        hosts = {f"[{at[0]}]" if family == socket.AF_INET6 else str(at[0]) for family, *_, at in found}
        return sorted(f"http://{host}:{port}{parts.path}" for host in hosts)

    def _purge(self, url: str, sizes: Mapping[str, int | None]) -> dict[str, str]:
        """Tell the one at this address. Where it is away, or slow, the rest has to wait, and nobody else."""
        left: dict[str, str] = {}
        end = time.monotonic() + _PATIENCE
        with requests.Session() as session:
            session.trust_env = False  # no proxy between: it would get the secret
            for number, (key, size) in enumerate(sizes.items()):
                if time.monotonic() > end:
                    left[key] = f"{url} takes its time"
                    continue
                try:
                    answers = (self._ask(session, url, key, start) for start in _slices(size))
                    wrong = next(filter(None, answers), "")
                except requests.RequestException as error:
                    left |= dict.fromkeys(list(sizes)[number:], f"{url} does not answer: {error}")
                    break
                if wrong:
                    left[key] = f"{url} {wrong}"
        return left

    def _ask(self, session: requests.Session, url: str, key: str, start: int) -> str:
        """What is wrong with its answer; empty where it has nothing any more."""
        headers = {_HEADER: self.secret, "Range": f"bytes={start}-{start}", "Host": urlsplit(self.url).netloc}
        asked = session.get(
            f"{url}/purge/{key}", headers=headers, timeout=_SECONDS, allow_redirects=False, stream=True
        )
        with asked as answer:
            if answer.status_code != requests.codes.not_found:
                return f"answered {answer.status_code} where it had to be gone"
            known = answer.headers.get(_STATUS) == "BYPASS"
            return "" if known else "is no cache of ours: it has nothing at all under /purge/"


@dataclass(frozen=True, slots=True)
class Distribution(Cache):
    """A distribution of CloudFront: it is told a path for each job.

    A path costs the same for one file and for all that begin with what is before its ``*``; what is there
    of the job still is fetched again.
    """

    costs = True
    id: str
    #: Before the key.
    path: str
    client: Any = field(repr=False)

    def purge(self, sizes: Mapping[str, int | None]) -> dict[str, str]:
        paths = {key: f"{self.path}/{_family(key)}" for key in sizes}
        wanted = sorted(set(paths.values()))
        for start in range(0, len(wanted), PATHS):
            if why := self._invalidate(wanted[start : start + PATHS]):
                left = set(wanted[start:])  # nor would it take more
                return {key: why for key, path in paths.items() if path in left}
        return {}

    def _invalidate(self, paths: list[str]) -> str:
        """One request for all of them; why it was refused, or nothing."""
        from botocore.exceptions import BotoCoreError, ClientError

        # With a reference that it has had before it does nothing.
        batch = {
            "Paths": {"Quantity": len(paths), "Items": paths},
            "CallerReference": f"{paths[0]} {time.time()}",
        }
        try:
            self.client.create_invalidation(DistributionId=self.id, InvalidationBatch=batch)
        except (BotoCoreError, ClientError) as error:
            return f"{self.id}: {error}"
        return ""


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


def _slices(size: int | None) -> Iterable[int]:
    """Where each slice of a file begins; the first is always there."""
    return range(0, LARGEST if size is None else max(size, 1), SLICE)


def _family(key: str) -> str:
    """What is told of at once with it: all of its job. A file that is of no job goes by itself."""
    public, job, *name = key.split("/")
    return f"{public}/{job}/*" if name else key
