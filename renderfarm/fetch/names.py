"""Names of the DNS, resolved once for each connection: what was judged is what is connected to."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

import dns.exception
import dns.resolver

from renderfarm.fetch.address import Address, IPAddress, Refused, Unreachable, judge
from renderfarm.settings import Settings

#: How long one question waits, in seconds, and how often it is put.
_PATIENCE = 1.5
_TRIES = 3


def addresses_of(settings: Settings, address: Address, tick: Callable[[], None]) -> list[IPAddress]:
    """Where the host is, IPv4 first; every one of its addresses has to be public, or none is given.

    Raises ``Refused``, or ``Unreachable`` while no server answers. ``tick`` may raise to stop it.
    """
    if address.literal is not None:
        found: list[IPAddress] = [address.literal]
    elif address.host == "localhost":
        found = [ipaddress.IPv4Address("127.0.0.1")]  # which is nobody's to answer (RFC 6761), and is judged
    else:
        found = _resolve(_resolver(settings), address.host, tick)
    for each in found:
        judge(settings, each)
    return sorted(found, key=lambda each: each.version)


def _resolve(resolver: dns.resolver.Resolver, host: str, tick: Callable[[], None]) -> list[IPAddress]:
    for _ in range(_TRIES):
        tick()
        try:
            # A full name: what the machine's own search list would make of it is inside.
            answer = resolver.resolve_name(f"{host}.", search=False, lifetime=_PATIENCE)
            return [ipaddress.ip_address(each) for each in answer.addresses()]
        except dns.exception.Timeout:
            continue
        except (dns.resolver.NoNameservers, OSError):
            break
        except (dns.exception.DNSException, ValueError) as error:
            raise Refused("The host of the address is not known.") from error
    raise Unreachable("The host of the address could not be looked up.")


def _resolver(settings: Settings) -> dns.resolver.Resolver:
    if not settings.fetch_resolver:
        try:
            return dns.resolver.Resolver()
        except dns.resolver.NoResolverConfiguration as error:
            raise Unreachable("The host of the address could not be looked up.") from error
    host, _, port = settings.fetch_resolver.rpartition(":")
    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers, resolver.port = [host.strip("[]")], int(port)
    return resolver
