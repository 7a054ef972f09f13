"""What users may ask us to fetch: the parts of a URL that are taken, and the addresses behind it."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote, urlsplit

import idna

from renderfarm.errors import FarmError
from renderfarm.settings import Settings

IPAddress = IPv4Address | IPv6Address

_LONGEST = 2048
#: Before the browser-like parsers come: what they drop, fold or take for another character.
_ODD = re.compile(r"[\x00-\x20\x7f-\x9f\\\s]")
_NETLOC = re.compile(
    r"(?:\[(?P<v6>[0-9A-Fa-f:.]{2,45})\]|(?P<name>[^\[\]:@%/]{1,255}))(?::(?P<port>[0-9]{1,5}))?"
)
_LABEL = re.compile(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?")
#: Parsers disagree on whether such a name is an IPv4 address: 2130706433, 0x7f.1, 127.1, 0177.0.0.1.
_LAST_OF_A_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PORTS = {"http": 80, "https": 443}
#: Beyond what ``is_global`` knows: relays of 6to4, and the address at which Azure serves its machines.
_NOT_OURS_V4 = tuple(map(ipaddress.IPv4Network, ("192.88.99.0/24", "168.63.129.16/32", "192.0.0.0/24")))
#: What is routed on the internet; not mapped IPv4, NAT64, site-local, link-local, unique local.
_ROUTED_V6 = ipaddress.IPv6Network("2000::/3")
#: Of that: protocols (Teredo, ORCHID), documentation, 6to4: the last two carry other addresses in them.
_NOT_OURS_V6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "3ffe::/16"))
)
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))


class Refused(FarmError):
    """CS-ORIV-014, and to ask again would not help. The message says nothing of what is behind it."""

    retryable = False

    def __init__(self, message: str = "") -> None:
        super().__init__("CS-ORIV-014", message)


class Unreachable(Refused):
    """CS-ORIV-014, but the same address may answer later."""

    retryable = True


@dataclass(frozen=True, slots=True)
class Address:
    """A URL that may be asked for, in its parts; ``host`` is in ASCII and lower case."""

    scheme: str
    host: str
    port: int
    #: Path and query, quoted: what the request line says.
    target: str
    #: The host, where it is an address and not a name.
    literal: IPAddress | None = None

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if isinstance(self.literal, IPv6Address) else self.host
        port = "" if self.port == _PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{port}{self.target}"


def check_address(settings: Settings, url: str) -> Address:
    """The parts of a URL that may be asked for, as far as can be told without a network.

    Raises ``Refused`` (CS-ORIV-014).
    """
    if len(url) > _LONGEST or _ODD.search(url):
        raise Refused("The address is not a URL that can be fetched.")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise Refused("The address is not a URL that can be fetched.") from error
    if parts.scheme not in _PORTS:
        raise Refused("The address has to start with http:// or https://.")
    found = _NETLOC.fullmatch(parts.netloc)
    if found is None:
        raise Refused("The address has to name a host, without a user or a password.")
    host, literal = _host(found["v6"], found["name"])
    port = int(found["port"] or _PORTS[parts.scheme])
    if port not in settings.fetched_ports:
        raise Refused("The address has a port that is not fetched from.")
    if literal is not None:
        judge(settings, literal)
    elif "." not in host and not settings.fetch_private:
        raise Refused("The address has to name a host in full.")
    return Address(parts.scheme, host, port, _target(parts.path, parts.query), literal)


def judge(settings: Settings, address: IPAddress) -> None:
    """Raise ``Refused`` unless the address belongs to the public internet."""
    if settings.fetch_private and address in _LOOPBACK:
        return
    if isinstance(address, IPv6Address):
        routed = address in _ROUTED_V6 and address.scope_id is None
        public = routed and not any(address in network for network in _NOT_OURS_V6)
    else:
        public = not any(address in network for network in _NOT_OURS_V4)
    if not (public and address.is_global) or address.is_multicast or address.is_reserved:
        raise Refused("The address is not one of the public internet.")


def _target(path: str, query: str) -> str:
    try:
        target = quote(path or "/", safe="/%:@!$&'()*+,;=~-._")
        return target + ("?" + quote(query, safe="/?%:@!$&'()*+,;=~-._[]") if query else "")
    except UnicodeError as error:  # half a character
        raise Refused("The address is not a URL that can be fetched.") from error


def _host(v6: str | None, name: str | None) -> tuple[str, IPAddress | None]:
    """The host as it is asked for, and the address it is if it is one."""
    try:
        if v6 is not None:
            address = IPv6Address(v6)
            return str(address), address
        host = _name(name or "")
        if not _LAST_OF_A_NUMBER.fullmatch(host.rpartition(".")[2]):
            return host, None
        literal = IPv4Address(host)  # which takes four plain decimals, and nothing else
        return str(literal), literal
    except (ValueError, UnicodeError) as error:  # IDNAError is a UnicodeError
        raise Refused("The address names no host that can be fetched from.") from error


def _name(name: str) -> str:
    """The name in ASCII; raises ``ValueError`` for what is no name of the DNS."""
    host = name.lower() if name.isascii() else idna.encode(name, strict=True, std3_rules=True).decode()
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise ValueError("not a name")
    return host
