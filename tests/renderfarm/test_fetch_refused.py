"""Addresses that try to reach inside: more than 300, each refused, and nobody is ever connected to."""

from __future__ import annotations

import gzip
import socket
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import product

import pytest

from renderfarm.errors import FarmError
from renderfarm.fetch import Guarded, Posted, check_address
from renderfarm.settings import Settings
from tests.services.hostile import Canary, Host, Names, Script, canary, host, names

LIMIT = 64 << 10
PNG = b"\x89PNG\r\n\x1a\n" + bytes(100)

#: Addresses in the forms of their own standards; none is of the public internet.
FORBIDDEN = (
    "127.0.0.1 127.0.0.2 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255"
    " 192.168.0.1 192.168.255.255 169.254.0.1 169.254.169.254 169.254.170.2 100.64.0.1 100.100.100.200"
    " 100.127.255.255 192.0.0.1 192.0.0.170 192.0.0.192 192.0.2.1 198.51.100.7 203.0.113.9 198.18.0.1"
    " 198.19.255.255 192.88.99.1 224.0.0.1 239.255.255.250 240.0.0.1 255.255.255.255 168.63.129.16"
    " ::1 :: ::2 ::127.0.0.1 ::7f00:1 ::ffff:127.0.0.1 ::ffff:7f00:1 ::ffff:10.0.0.1 ::ffff:169.254.169.254"
    " ::ffff:0:127.0.0.1 0:0:0:0:0:ffff:7f00:1"
    " 64:ff9b::127.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 64:ff9b::808:808"
    " 2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe:: 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1"
    " 2001:20::1 2001:db8::1 2001:2::1 3fff::1 fc00::1 fd00:ec2::254 fdff::1 fe80::1 fe80::a9fe:a9fe"
    " febf::1 fec0::1 feff::1 ff02::1 ff0e::1 100::1 5f00::1 4000::1 8000::1 0:0:0:0:0:0:0:1 3ffe::1"
).split()
#: What some parser or other takes for an IPv4 address of this machine or its neighbours.
SPELLINGS = (
    "2130706433 017700000001 0x7f000001 0X7F000001 0x7f.0.0.1 0x7f.1 127.1 127.0.1 0177.0.0.1 0177.0.0.01"
    " 127.0.0.01 127.000.000.001 00000177.0.0.1 0x7f.0x0.0x0.0x1 0 00 0x0 1 3232235521"
    " 2852039166 0xa9fea9fe"
    " 0xa9.0xfe.0xa9.0xfe 0251.0376.0251.0376 169.254.43518 10.1 0xa.1 012.1 192.168.1 127.0.0.1. 127.0.0.1.."
    " 127..0.1 .127.0.0.1 256.0.0.1 127.0.0.0x1 1.2.3.4.5 4294967296 127.0.0.1%00 127.0.0.1%20"
    " %31%32%37.0.0.1"
    " 127%2e0%2e0%2e1 ①②⑦.⓪.⓪.① １２７.0.0.1 127。0。0。1 127．0．0．1 127｡0｡0｡1 ١٢٧.٠.٠.١"
    " ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ｌｏｃａｌｈｏｓｔ localhost LOCALHOST localhost. localhost\u200b.a.test loc\u00adalhost"
    " [127.0.0.1] [::1 ::1] [::1%25lo] [::1%lo] [fe80::1%25eth0] [fe80::1%eth0] [::ffff:127.0.0.1%251] [v1.a]"
    " [[::1]] [::1]] [:::1] [::1].a.test [] a.test% -a.test a-.test"
    " a..test _.test a_.test .a.test *.test a,b.test"
    " a;b.test a'b.test a`b.test a|b.test $(a).test {a}.test redis postgres metadata"
).split()
#: Before or in the place of ``http``.
SCHEMES = (
    "file ftp gopher dict ldap ldaps tftp sftp scp ssh telnet imap smtp pop3 rtsp rtmp ws wss data javascript"
    " jar netdoc php phar expect glob unix redis s3 gs blob about view-source http+unix httpx hTTpz x"
).split()
#: How one writes a host so that two parsers read two; ``@here`` is the canary.
TRICKS = (
    "http://a@{c}/ http://a:b@{c}/ http://:@{c}/ http://@{c}/ http://{c}@a.test/ http://a.test@{c}/"
    " http://a.test:80@{c}/ http://a.test#@{c}/ http://a.test?@{c}/ http://{c}\\@a.test/ http://a.test\\@{c}/"
    " http:\\\\{c}\\ http:/\\{c}/ \\\\{c}\\x"
    " //{c}/ ///{c}/ http:{c}/ http:/{c}/ http:///{c}/ :{c} {c} http:// http:"
    " http://?{c} http://#{c} http://{c}:80:80/ http://{c}0000/ http://127.0.0.1:/x http://127.0.0.1:-1/"
    " http://127.0.0.1:+80/ http://127.0.0.1:0/ http://127.0.0.1:65536/ http://127.0.0.1:８０/"
    " http://127.0.0.1:22/ http://127.0.0.1:6379/ http://127.0.0.1:5432/ http://127.0.0.1:8080/"
    " http://a.test:{p}@127.0.0.1:{p}/ http://[::1]:{p}@a.test/ http://a.test:443@[::1]:{p}/"
).split()
#: These hold what ``split`` would eat.
CONTROLS = (
    "\r\n",
    "\n",
    "\r",
    "\t",
    " ",
    "\0",
    "\x0b",
    "\x7f",
    "\x85",
    "\u2028",
    "\u00a0",
    "\u3000",
    "\ud800",
)


@dataclass
class Ground:
    """Everything a case needs: two clients, and what they must not reach."""

    strict: Settings
    #: Fetches from this machine too, from the port of ``host`` alone.
    developing: Settings
    host: Host
    names: Names
    canary: Canary
    #: Where the canaries are: on this port of loopback and of this machine's own address.
    port: int
    tried: int = 0

    def refused(self, settings: Settings, *urls: str) -> None:
        """Every one of these is CS-ORIV-014, and its message names nothing that is inside."""
        wrong, client = [], Guarded(settings)
        for url in urls:
            self.tried += 1
            try:
                got = client.fetch(url, lambda _: None, LIMIT)
            except FarmError as error:
                if error.code != "CS-ORIV-014" or any(
                    word in error.message for word in ("127.", "::", "10.")
                ):
                    wrong.append(f"{url!r}: {error}")
            else:
                wrong.append(f"{url!r}: fetched {got}")
        assert not wrong, "\n".join(wrong)
        assert self.canary.seen == 0, "somebody was connected to"


def _own_address() -> list[str]:
    """This machine's own address in its network, where it has one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("10.255.255.255", 9))  # which sends nothing
        except OSError:
            return []
        address = str(sock.getsockname()[0])
    return [] if address.startswith("127.") else [address]


@pytest.fixture
def ground() -> Iterator[Ground]:
    with host() as server, names({}) as resolver:
        places = [("127.0.0.2", server.port), *((own, server.port) for own in _own_address())]
        with socket.create_server(("127.0.0.1", 0)) as spare:
            port = spare.getsockname()[1]
        places += [("127.0.0.1", port), ("127.0.0.2", port), ("::1", port)]
        with canary(*places) as bird:
            strict = Settings(
                database_url="none",
                development=True,
                fetch_ports=f"80,443,{port}",
                fetch_resolver=resolver.address,
                fetch_connect_seconds=0.5,
                fetch_silence_seconds=0.3,
                fetch_seconds=0.6,
            )
            developing = replace(strict, fetch_private=True, fetch_ports=f"80,443,{server.port}")
            yield Ground(strict, developing, server, resolver, bird, port)


def urls_of(forms: list[str], port: int, scheme: str = "http") -> list[str]:
    return [f"{scheme}://{f'[{form}]' if ':' in form and form[0] != '[' else form}:{port}/" for form in forms]


def _literals(ground: Ground) -> None:
    for scheme in ("http", "https"):
        ground.refused(ground.strict, *urls_of(FORBIDDEN, ground.port, scheme))
    ground.refused(ground.strict, *(f"http://{spelling}:{ground.port}/" for spelling in SPELLINGS))


def _schemes_and_tricks(ground: Ground) -> None:
    place = f"127.0.0.1:{ground.port}"
    ground.refused(ground.strict, *(f"{scheme}://{place}/x" for scheme in SCHEMES))
    ground.refused(ground.strict, *(trick.format(c=place, p=ground.port) for trick in TRICKS))
    forms = (f"http://{place}{{}}/", f"http://{{}}{place}/", f"{{}}http://{place}/", f"http://{place}/a{{}}b")
    ground.refused(ground.strict, *(form.format(control) for form, control in product(forms, CONTROLS)))
    ground.refused(ground.strict, "", "x" * 3000, f"http://{place}/" + "x" * 3000)


def _names(ground: Ground) -> None:
    for index, address in enumerate(FORBIDDEN):
        ground.names.answers[f"a{index}.test"] = [[address]]
        ground.names.answers[f"b{index}.test"] = [["93.184.216.34", address, "2606:2800:220:1::1"]]
        ground.names.answers[f"c{index}.test"] = [[f"CNAME a{index}.test."]]
    found = [f"{letter}{index}.test" for letter, index in product("abc", range(len(FORBIDDEN)))]
    ground.refused(ground.strict, *urls_of(found, ground.port), *urls_of(["nobody.test"], ground.port))
    assert ground.names.asked["a0.test"] == 1 and ground.names.asked["b0.test"] == 1


def _redirects(ground: Ground) -> None:
    server, start = ground.host, f"http://127.0.0.1:{ground.host.port}"
    inside = [*urls_of([each for each in FORBIDDEN if each not in {"127.0.0.1", "::1"}][:40], server.port)]
    inside += [
        f"http://127.0.0.1:{ground.port}/",
        f"//127.0.0.2:{server.port}/",
        f"http://rebind.test:{server.port}/",
    ]
    inside += [
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "ftp://a.test/",
        "",
        "http://",
        "//",
        f"http://a@{start[7:]}/",
    ]
    inside += [
        f"http://[::ffff:127.0.0.1]:{server.port}/",
        "http://2130706433/",
        f"http://127.1:{server.port}/",
    ]
    # The same name is this very host first, and then its neighbour.
    ground.names.answers["rebind.test"] = [["127.0.0.2"]]
    codes = (301, 302, 303, 307, 308)
    for index, where in enumerate(inside):
        server.scripts[f"/{index}"] = _says(f"HTTP/1.1 {codes[index % 5]} Moved\r\nLocation: {where}\r\n\r\n")
        ground.refused(ground.developing, f"{start}/{index}")
    ground.names.answers["turns.test"] = [["127.0.0.1"], ["127.0.0.2"]]
    server.scripts["/turn"] = _says(
        f"HTTP/1.1 302 F\r\nLocation: http://turns.test:{server.port}/turn\r\n\r\n"
    )
    ground.refused(ground.developing, f"http://turns.test:{server.port}/turn")
    assert server.asked["/turn"] == 1
    server.scripts["/loop"] = _says("HTTP/1.1 302 Found\r\nLocation: /loop\r\n\r\n")
    ground.refused(ground.developing, f"{start}/loop")
    assert server.asked["/loop"] == 4


def _answers(ground: Ground) -> None:
    """What a host says in place of a file."""
    fine = "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
    bomb = gzip.compress(bytes(1 << 20))
    scripts: dict[str, Script] = {
        "/silent": _hangs(""),
        "/half-head": _hangs("HTTP/1.1 200 O"),
        "/silent-body": _hangs(fine + "Content-Length: 99\r\n\r\nabc"),
        "/trickle": _trickles(fine + "\r\n"),
        "/trickled-head": _trickles("HTTP/1.1 200 OK\r\nX: "),
        "/endless": _endless(fine + "\r\n", bytes(8192)),
        "/endless-line": _endless("HTTP/1.1 200 OK\r\nX: ", b"x" * 8192),
        "/endless-head": _endless("HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 999),
        "/endless-100": _endless("", b"HTTP/1.1 100 Continue\r\n\r\n" * 99),
        "/endless-size": _endless(fine + "Transfer-Encoding: chunked\r\n\r\n", b"0" * 8192),
        "/tiny-chunks": _endless(
            fine + "Transfer-Encoding: chunked\r\n\r\n", b"1;" + b"x" * 99 + b"\r\nx\r\n"
        ),
        "/garbage-chunks": _says(fine + "Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n"),
        "/cut-chunk": _says(fine + "Transfer-Encoding: chunked\r\n\r\nff\r\nabc"),
        "/negative-chunk": _says(fine + "Transfer-Encoding: chunked\r\n\r\n-5\r\nabc"),
        "/short": _says(fine + "Content-Length: 5000\r\n\r\nabc"),
        "/huge": _says(fine + "Content-Length: 99999999999\r\n\r\nabc"),
        "/negative": _says(fine + "Content-Length: -1\r\n\r\nabc"),
        "/two-lengths": _says(fine + "Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
        "/no-number": _says(fine + "Content-Length: 0x10\r\n\r\nabc"),
        "/gzip": _says(fine + "Content-Encoding: gzip\r\n\r\n", bomb),
        "/deflate": _says(fine + "Content-Encoding: deflate\r\n\r\n", bomb),
        "/br": _says(fine + "Content-Encoding: br\r\n\r\nabc"),
        "/twice": _says(fine + "Content-Encoding: gzip, gzip\r\n\r\n", bomb),
        "/html": _says("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>"),
        "/json": _says("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"),
        "/playlist": _says("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\n\r\n#EXTM3U"),
        "/image": _says("HTTP/1.1 200 OK\r\nContent-Type: image\r\n\r\nabc"),
        "/partial": _says("HTTP/1.1 206 Partial\r\nContent-Type: image/png\r\n\r\nabc"),
        "/nothing": _says("HTTP/1.1 204 No Content\r\n\r\n"),
        "/missing": _says("HTTP/1.1 404 Not Found\r\nContent-Type: image/png\r\n\r\nabc"),
        "/key": _says("HTTP/1.1 401 No\r\nWWW-Authenticate: Basic\r\n\r\n"),
        "/broken": _says("HTTP/1.1 500 Oops\r\n\r\n10.1.2.3 is down"),
        "/switch": _says("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"),
        "/ssh": _says("SSH-2.0-OpenSSH_9\r\n"),
        "/redis": _says("-ERR unknown command\r\n"),
        "/empty": _says(""),
        "/nul": _says("", bytes(4096)),
        "/status": _says("HTTP/1.1 banana\r\n\r\n"),
        "/http2": _says("HTTP/2 200\r\n\r\n"),
    }
    ground.host.scripts.update(scripts)
    ground.refused(ground.developing, *(f"http://127.0.0.1:{ground.host.port}{path}" for path in scripts))
    # TLS is not spoken here.
    ground.host.scripts["/tls"] = _says("")
    ground.refused(ground.developing, f"https://127.0.0.1:{ground.host.port}/tls")


def test_none_of_three_hundred_addresses_reaches_inside(ground: Ground) -> None:
    for part in (_literals, _schemes_and_tricks, _names, _redirects, _answers):
        part(ground)
    print(f"{ground.tried} addresses were refused")
    assert ground.tried >= 300


def test_what_may_be_fetched_is_fetched_with_nothing_of_ours(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{ground.port}")
    ground.host.scripts["/a?b=c"] = _says(
        "HTTP/1.1 301 Moved\r\nLocation: /%C3%A9\r\nSet-Cookie: a=b\r\n\r\n"
    )
    ground.host.scripts["/%C3%A9"] = _says("HTTP/1.1 200 OK\r\nContent-Type: IMAGE/png; x=y\r\n\r\n", PNG)
    ground.names.answers["here.test"] = [["127.0.0.1"]]
    got: list[bytes] = []
    url = f"http://Here.TEST:{ground.host.port}/a?b=c#d"
    fetched = Guarded(ground.developing).fetch(url, got.append, LIMIT)
    assert b"".join(got) == PNG
    assert (fetched.content_type, fetched.size) == ("image/png", len(PNG))
    assert fetched.final_url == f"http://here.test:{ground.host.port}/%C3%A9"
    for head in ground.host.heads:
        assert f"Host: here.test:{ground.host.port}\r\n" in head and "Accept-Encoding: identity" in head
        assert not {"cookie", "authorization", "referer"} & {
            line.partition(":")[0].lower() for line in head.split("\r\n")
        }
    assert ground.canary.seen == 0


def test_a_post_says_what_was_answered_and_follows_no_redirect(ground: Ground) -> None:
    ground.host.scripts["/hook"] = _says(
        "HTTP/1.1 307 Moved\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    )
    url = f"http://127.0.0.1:{ground.host.port}/hook"
    assert Guarded(ground.developing).post(url, b"{}", {"webhook-id": "1"}, 5) == Posted(307)
    assert "webhook-id: 1\r\n" in ground.host.heads[0] and "Content-Length: 2\r\n" in ground.host.heads[0]
    ground.host.scripts["/hook"] = _endless("HTTP/1.1 200 OK\r\n\r\n", bytes(8192))
    assert Guarded(ground.developing).post(url, b"{}", {}, 5) == Posted(200)
    with pytest.raises(FarmError, match="CS-ORIV-014"):
        Guarded(ground.strict).post(f"http://127.0.0.1:{ground.port}/", b"{}", {}, 5)
    assert ground.canary.seen == 0


def test_an_address_of_the_internet_passes_before_anybody_is_asked() -> None:
    settings = Settings(database_url="none")
    for url in (
        "https://example.com/a.mp4",
        "http://1.1.1.1/",
        "https://[2606:4700::1111]/x",
        "http://bücher.example/é",
    ):
        check_address(settings, url)
    assert check_address(settings, "http://bücher.example/é").url == "http://xn--bcher-kva.example/%C3%A9"


def test_whoever_fetches_can_be_stopped(ground: Ground) -> None:
    class Enough(Exception):
        pass

    def enough() -> None:
        raise Enough

    with pytest.raises(Enough):
        Guarded(ground.developing).fetch(
            f"http://127.0.0.1:{ground.host.port}/", lambda _: None, LIMIT, enough
        )


def _says(head: str, body: bytes = b"") -> Script:
    return lambda sock: sock.sendall(head.encode() + body)


def _hangs(head: str) -> Script:
    def script(sock: socket.socket) -> None:
        sock.sendall(head.encode())
        sock.recv(1)  # until the client hangs up

    return script


def _endless(head: str, more: bytes) -> Script:
    def script(sock: socket.socket) -> None:
        sock.sendall(head.encode())
        while True:
            sock.sendall(more)

    return script


def _trickles(head: str) -> Script:
    """A byte whenever the client has waited for a little: it is never silent, and never done."""

    def script(sock: socket.socket) -> None:
        sock.sendall(head.encode())
        sock.settimeout(0.05)
        while True:
            try:
                sock.recv(1)
                return
            except TimeoutError:
                sock.sendall(b"x")

    return script
