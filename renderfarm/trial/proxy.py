"""A network between a process and a server, which can be slow, silent or cut."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_CHUNK = 1 << 16
_LOOK_SECONDS = 0.05


class Proxy:
    """Made by ``open``: passes on what comes to ``port``, unless it is told otherwise."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        #: Where clients connect, on 127.0.0.1.
        self.port = 0
        #: Seconds by which each chunk, in either direction, is late.
        self.delay = 0.0
        #: Whether nothing arrives any more, on connections that stay open.
        self.silent = False
        #: Whether new connections are refused.
        self.refusing = False

    @classmethod
    @contextmanager
    def open(cls, target: int) -> Iterator[Proxy]:
        """A network to the port ``target`` of 127.0.0.1."""
        proxy = cls(target)
        thread = threading.Thread(target=proxy._loop.run_forever, name="proxy")
        thread.start()
        try:
            asyncio.run_coroutine_threadsafe(proxy._listen(), proxy._loop).result(10)
            yield proxy
        finally:
            asyncio.run_coroutine_threadsafe(proxy._close(), proxy._loop).result(10)
            proxy._loop.call_soon_threadsafe(proxy._loop.stop)
            thread.join()
            proxy._loop.close()

    def cut(self) -> None:
        """Break every connection there is."""
        self._loop.call_soon_threadsafe(self._abort)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        assert self._server is not None
        self._server.close()
        self._abort()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    def _abort(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        try:
            back, forth = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, forth}
        self._writers |= ends
        try:
            await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))
        finally:
            self._writers -= ends
            for end in ends:
                end.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(_CHUNK):
                await asyncio.sleep(self.delay)
                while self.silent:
                    await asyncio.sleep(_LOOK_SECONDS)
                writer.write(data)
                await writer.drain()
            writer.write_eof()
