"""Addresses under https: whom the guarded client believes, and what it tells them."""

from __future__ import annotations

import select
import socket
import ssl
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address

import pytest

from renderfarm.errors import FarmError
from renderfarm.fetch import Fetched, Guarded, Refused, Unreachable
from renderfarm.fetch.wire import Limits, Watch, connect, encrypted
from renderfarm.settings import Settings
from tests.services.certificates import Authority
from tests.services.hostile import Host, host, names

PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)
FILE = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n" + PNG
LOOPBACK = ip_address("127.0.0.1")


@dataclass(frozen=True)
class Web:
    """A host under TLS that ``here.test`` and ``there.test`` name, and a client that trusts its authority."""

    host: Host
    authority: Authority
    settings: Settings
    client: Guarded

    def fetch(self, name: str = "here.test", path: str = "/a.png") -> Fetched:
        return self.client.fetch(f"https://{name}:{self.host.port}{path}", lambda _: None, 1 << 16)

    def moved(self, where: str) -> None:
        """From now on ``/moved`` leads there."""
        head = f"HTTP/1.1 302 Found\r\nLocation: {where}\r\n\r\n"
        self.host.scripts["/moved"] = lambda sock: sock.sendall(head.encode())

    def refuses(self, name: str = "here.test", path: str = "/a.png") -> None:
        """It is refused for good before anything is asked, and the message says nothing of what is there."""
        asked = self.host.asked["/a.png"]
        with pytest.raises(Refused, match="CS-ORIV-014") as raised:
            self.fetch(name, path)
        assert not raised.value.retryable
        assert not any(word in raised.value.message for word in (".test", "127."))
        assert self.host.asked["/a.png"] == asked


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("certificates") / "ours")


@pytest.fixture(scope="module")
def right(authority: Authority) -> ssl.SSLContext:
    """What ``here.test`` shows."""
    return authority.server("DNS:here.test")


@pytest.fixture
def web(authority: Authority, right: ssl.SSLContext) -> Iterator[Web]:
    with host() as server, names({"here.test": [["127.0.0.1"]], "there.test": [["127.0.0.1"]]}) as resolver:
        settings = Settings(
            database_url="none",
            development=True,
            fetch_private=True,
            fetch_ports=f"80,443,{server.port}",
            fetch_resolver=resolver.address,
        )
        server.tls = right
        server.scripts["/a.png"] = lambda sock: sock.sendall(FILE)
        yield Web(server, authority, settings, Guarded(settings, authority.pem))


def test_a_trusted_host_under_its_own_name_is_fetched_from_and_told_which_name_is_asked_for(
    web: Web, right: ssl.SSLContext
) -> None:
    told: list[str | None] = []
    right.sni_callback = lambda _sock, name, _context: told.append(name)
    try:
        fetched = web.fetch("HERE.test")
    finally:
        right.sni_callback = None
    assert (fetched.size, fetched.content_type) == (len(PNG), "image/png")
    assert fetched.final_url == f"https://here.test:{web.host.port}/a.png"
    assert told == ["here.test"]
    assert f"\r\nHost: here.test:{web.host.port}\r\n" in web.host.heads[0]


def test_a_host_that_shows_another_name_is_refused(web: Web) -> None:
    web.refuses("there.test")
    web.refuses("127.0.0.1")


def test_an_address_in_the_place_of_a_name_is_believed_where_the_certificate_is_of_it(web: Web) -> None:
    web.host.tls = web.authority.server("IP:127.0.0.1")
    assert web.fetch("127.0.0.1").size == len(PNG)
    web.refuses("here.test")


def test_an_authority_that_nobody_trusts_is_refused(
    web: Web, tmp_path_factory: pytest.TempPathFactory
) -> None:
    web.host.tls = Authority(tmp_path_factory.mktemp("others") / "theirs").server("DNS:here.test")
    web.refuses()


def test_what_the_public_authorities_do_not_know_is_refused(web: Web) -> None:
    replace(web, client=Guarded(web.settings)).refuses()


def test_a_certificate_that_has_run_out_is_refused(web: Web) -> None:
    web.host.tls = web.authority.server("DNS:here.test", expired=True)
    web.refuses()


def test_a_host_that_speaks_nothing_newer_than_tls_1_1_is_refused(
    web: Web, authority: Authority, right: ssl.SSLContext
) -> None:
    old, lax = authority.server("DNS:here.test"), ssl.create_default_context(cafile=str(authority.pem))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        old.minimum_version = lax.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    for context in (old, lax):
        context.set_ciphers("ALL:@SECLEVEL=0")
    web.host.tls = old
    # Whoever puts up with it gets through.
    with (
        socket.create_connection(("127.0.0.1", web.host.port), 5) as sock,
        lax.wrap_socket(sock, server_hostname="here.test") as safe,
    ):
        assert safe.version() == "TLSv1.1"
    web.refuses()


def test_a_redirect_leads_from_https_to_https_alone_and_is_believed_no_sooner_than_the_first_address(
    web: Web,
) -> None:
    web.moved("/a.png")
    assert web.fetch(path="/moved").final_url == f"https://here.test:{web.host.port}/a.png"
    web.moved(f"http://here.test:{web.host.port}/a.png")
    web.refuses(path="/moved")
    web.moved(f"https://there.test:{web.host.port}/a.png")
    web.refuses(path="/moved")


def test_a_webhook_is_sent_under_the_same_conditions(web: Web) -> None:
    web.host.scripts["/hook"] = lambda sock: sock.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
    url = f":{web.host.port}/hook"
    assert web.client.post(f"https://here.test{url}", b"{}", {}, 5).status == 204
    with pytest.raises(Refused):
        web.client.post(f"https://there.test{url}", b"{}", {}, 5)
    assert web.host.asked["/hook"] == 1


def watch() -> Watch:
    return Watch(Limits(connect=5, silence=5, total=5), lambda: None)


@pytest.mark.parametrize(("asked", "led"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
def test_a_connection_that_leads_to_another_address_than_asked_for_is_dropped(asked: str, led: str) -> None:
    """The system takes the address of no machine for that of this one, and says so in the peer's name."""
    with socket.create_server((led, 0), family=socket.AF_INET6 if ":" in led else socket.AF_INET) as listener:
        with pytest.raises(Refused, match="leads elsewhere"):
            connect(ip_address(asked), listener.getsockname()[1], watch())
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(1) == b""


def test_a_host_that_hangs_up_before_tls_begins_may_be_asked_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sock = connect(LOOPBACK, listener.getsockname()[1], watch())
        peer, _ = listener.accept()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset
        coming = select.poll()
        coming.register(sock, 0)  # which tells of hang-ups alone
        assert coming.poll(5000)
        with pytest.raises(FarmError) as raised:
            encrypted(sock, "here.test", ssl.create_default_context(), watch())
        assert isinstance(raised.value, Unreachable)
        assert sock.fileno() == -1
