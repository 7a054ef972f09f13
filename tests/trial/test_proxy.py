"""A network that can be slow, silent or cut."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from renderfarm.trial.proxy import Proxy


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    """To a server that sends back what it gets."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    while data := peer.recv(1024):
                        peer.sendall(data)

        threading.Thread(target=serve, daemon=True).start()
        with Proxy.open(server.getsockname()[1]) as proxy:
            yield proxy
        server.shutdown(socket.SHUT_RDWR)


def ask(peer: socket.socket, word: bytes = b"hello") -> bytes:
    peer.sendall(word)
    return peer.recv(1024)


def connect(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=10)


def is_cut(peer: socket.socket) -> bool:
    """Whether nothing more comes; a network says so in one of two ways."""
    try:
        return peer.recv(1024) == b""
    except ConnectionError:
        return True


def test_it_passes_on_what_comes(proxy: Proxy) -> None:
    with connect(proxy) as peer:
        assert ask(peer, b"one") == b"one"
        assert ask(peer, b"two") == b"two"


def test_it_can_be_slow(proxy: Proxy) -> None:
    with connect(proxy) as peer:
        proxy.delay = 0.1
        begun = time.monotonic()
        assert ask(peer) == b"hello"
        assert time.monotonic() - begun >= 0.2, "the question or the answer was not late"


def test_silence_ends_and_nothing_is_lost(proxy: Proxy) -> None:
    with connect(proxy) as peer:
        assert ask(peer) == b"hello"
        proxy.silent = True
        peer.sendall(b"anybody?")
        peer.settimeout(0.2)
        with pytest.raises(TimeoutError):
            peer.recv(1024)
        proxy.silent = False
        peer.settimeout(10)
        assert peer.recv(1024) == b"anybody?"


def test_it_can_be_cut_and_refuse(proxy: Proxy) -> None:
    with connect(proxy) as peer:
        assert ask(peer) == b"hello"
        proxy.refusing = True
        proxy.cut()
        assert is_cut(peer)
    with connect(proxy) as peer:
        assert is_cut(peer)
    proxy.refusing = False
    with connect(proxy) as peer:
        assert ask(peer) == b"hello"
