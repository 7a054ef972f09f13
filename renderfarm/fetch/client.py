"""The guarded client: one request at a time to an address that a user gave."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, IncompleteRead
from pathlib import Path
from urllib.parse import urljoin

import certifi

from renderfarm.fetch.address import Address, Refused, Unreachable, check_address
from renderfarm.fetch.names import addresses_of
from renderfarm.fetch.wire import Limits, Watch, Wire, connect, encrypted
from renderfarm.settings import Settings

_AGENT = "renderfarm/1 (+fetching on behalf of a user)"
_ACCEPT = "image/*, video/*, */*;q=0.5"
_MOVED = frozenset({301, 302, 303, 307, 308})
#: Answers that another try may change.
_LATER = frozenset({408, 425, 429, 500, 502, 503, 504})
_MOST_REDIRECTS = 3
#: Of a host's addresses so many are tried.
_MOST_ADDRESSES = 3
_HEAD_BYTES = 64 << 10
_CHUNK = 64 << 10
#: What is read of the answer to a ``post``.
_ANSWER_BYTES = 4 << 10
#: ``binary/octet-stream`` is what S3 says of objects of which it was told nothing.
_TYPES = re.compile(r"(image|video)/[\w.+-]+|(application|binary)/octet-stream", re.ASCII | re.IGNORECASE)
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
#: Answers whose ``Retry-After`` is taken, and the longest that is, in seconds.
_ASK_FOR_TIME = frozenset({429, 503})
_LONGEST_WAIT = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came from where."""

    #: After the last redirect.
    final_url: str
    #: As the host says, without parameters; empty where it says nothing.
    content_type: str
    size: int


@dataclass(frozen=True, slots=True)
class Posted:
    """What was answered to a ``post``."""

    status: int
    #: Seconds for which the host wants to be left alone, 0 to a day; None where it says nothing of it.
    retry_after: float | None = None


def _no_tick() -> None:
    pass


class Guarded:
    """Fetches from, and posts to, the public internet only, whatever the address, its name or its host try.

    Every failure is ``Refused`` (CS-ORIV-014), ``Unreachable`` where another try may succeed. No proxies,
    cookies or credentials of this machine are used. ``authorities``: certificates (PEM) to trust instead
    of the public ones.
    """

    def __init__(self, settings: Settings, authorities: Path | None = None) -> None:
        self._settings = settings
        self._tls = ssl.create_default_context(cafile=str(authorities or certifi.where()))
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever this machine's OpenSSL is told
        self._tls.set_alpn_protocols(["http/1.1"])

    def fetch(
        self,
        url: str,
        sink: Callable[[bytes], object],
        limit_bytes: int,
        tick: Callable[[], None] = _no_tick,
    ) -> Fetched:
        """Hand the bytes behind a URL to ``sink`` as they come, ``limit_bytes`` at most.

        ``tick`` may raise to stop; it is called at least every quarter of a second, while a name is looked
        up every 1.5 s. Raises ``Refused`` and ``Unreachable``, when ``sink`` may have been given bytes.
        """
        settings = self._settings
        limits = Limits(
            settings.fetch_connect_seconds,
            settings.fetch_silence_seconds,
            settings.fetch_seconds,
            settings.fetch_slowest,
        )
        watch = Watch(limits, tick)
        address = check_address(settings, url)
        for _ in range(_MOST_REDIRECTS + 1):
            with self._exchange(address, watch, "GET", headers={"Accept": _ACCEPT}) as (response, wire):
                if response.status not in _MOVED:
                    return _read(address, response, wire, sink, limit_bytes)
                address = self._moved(address, response)
        raise Refused("The address redirects too often.")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Posted:
        """Send ``body`` and say what was answered; a redirect is an answer like any other.

        ``timeout`` is for all of it, in seconds. Raises ``Refused`` and ``Unreachable``.
        """
        watch = Watch(Limits(min(timeout, self._settings.fetch_connect_seconds), timeout, timeout), _no_tick)
        address = check_address(self._settings, url)
        with self._exchange(address, watch, "POST", body, headers) as (response, _):
            with suppress(Refused):  # it has been told, and has said what it thinks of it
                _next(response, _ANSWER_BYTES)
            return Posted(response.status, _retry_after(response))

    @contextmanager
    def _exchange(
        self,
        address: Address,
        watch: Watch,
        method: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[tuple[HTTPResponse, Wire]]:
        """One request, and its answer up to the end of its headers."""
        wire = self._connected(address, watch)
        # It is given its socket: it resolves nothing, and cannot open another.
        connection = HTTPConnection(address.host, address.port)
        connection.auto_open = 0
        connection.sock = wire
        standing = {"Host": _host_header(address), "User-Agent": _AGENT, "Connection": "close"}
        try:
            with _proper():
                connection.request(method, address.target, body, {**(headers or {}), **standing})
                response = connection.getresponse()
            with response:
                yield response, wire
        finally:
            connection.close()
            wire.hang_up()

    def _connected(self, address: Address, watch: Watch) -> Wire:
        """A connection to one of the host's addresses."""
        failed: Unreachable | None = None
        for each in addresses_of(self._settings, address, watch.check)[:_MOST_ADDRESSES]:
            try:
                sock = connect(each, address.port, watch)
            except Unreachable as error:
                failed = error
                continue
            if address.scheme == "https":
                sock = encrypted(sock, address.host, self._tls, watch)
            return Wire(sock, watch, _HEAD_BYTES)
        raise failed or Refused("The host of the address is not known.")

    def _moved(self, address: Address, response: HTTPResponse) -> Address:
        """Where a redirect leads, judged like the first address."""
        location = response.getheader("Location") or ""
        try:
            # Header lines are latin-1; a location that is not ASCII is UTF-8 by every habit.
            location = location.encode("latin-1").decode()
            there = check_address(self._settings, urljoin(address.url, location)) if location else None
        except ValueError as error:
            raise Refused("The address redirects to nowhere.") from error
        if there is None:
            raise Refused("The address redirects to nowhere.")
        if address.scheme == "https" and there.scheme != "https":
            raise Refused("The address redirects from https to http.")
        return there


def _read(
    address: Address, response: HTTPResponse, wire: Wire, sink: Callable[[bytes], object], limit: int
) -> Fetched:
    """The body of the last answer, judged by its head and measured as it comes."""
    if response.status != 200:
        kind = Unreachable if response.status in _LATER else Refused
        raise kind("The host of the address answered with an error.")
    kind_of = (response.getheader("Content-Type") or "").partition(";")[0].strip()
    if kind_of and not _TYPES.fullmatch(kind_of):
        raise Refused("The address is not that of a picture or a video.")
    if (response.getheader("Content-Encoding") or "identity").strip().lower() != "identity":
        # It was asked not to, and what it unpacks to is anybody's guess.
        raise Refused("The host of the address sends its file packed.")
    lengths = set(response.headers.get_all("Content-Length", []))
    if len(lengths) > 1 or not all(_NUMBER.fullmatch(length) for length in lengths):
        raise Refused("The host of the address gave no proper answer.")
    if lengths and int(lengths.pop()) > limit:
        raise Refused(_too_large(limit))
    # What frames chunks is not of the file; a host that sends more of it than of the file is no good one.
    wire.allowance = 2 * limit + _HEAD_BYTES
    size = 0
    while chunk := _next(response, _CHUNK):
        size += len(chunk)
        if size > limit:
            raise Refused(_too_large(limit))
        sink(chunk)
    if response.length:
        raise Unreachable("The host of the address broke the connection off.")
    return Fetched(address.url, kind_of.lower(), size)


def _retry_after(response: HTTPResponse) -> float | None:
    """What a host that asks for time asks for: seconds, or a date (RFC 9110, 10.2.3)."""
    asked = (response.getheader("Retry-After") or "").strip()
    if response.status not in _ASK_FOR_TIME or not asked:
        return None
    if _NUMBER.fullmatch(asked):
        wait = float(asked)
    else:
        try:
            at = parsedate_to_datetime(asked)
            wait = (at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
        except (ValueError, OverflowError):  # no date, or none of this calendar
            return None
    return min(max(wait, 0.0), _LONGEST_WAIT)


def _next(response: HTTPResponse, size: int) -> bytes:
    with _proper():
        return response.read(size)


@contextmanager
def _proper() -> Iterator[None]:
    """What is no answer is ``Refused``, or ``Unreachable`` where it may have been the way."""
    try:
        yield
    except (OSError, IncompleteRead) as error:  # also ``RemoteDisconnected``
        raise Unreachable("The host of the address broke the connection off.") from error
    except (HTTPException, ValueError) as error:
        raise Refused("The host of the address gave no proper answer.") from error


def _too_large(limit: int) -> str:
    return f"The file at the address is larger than {limit >> 20} MB."


def _host_header(address: Address) -> str:
    return address.url.removeprefix(f"{address.scheme}://").removesuffix(address.target)
