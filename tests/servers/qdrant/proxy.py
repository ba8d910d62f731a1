"""A TCP proxy before a server, so that a test can break its connections, or have it gone, whatever server that is."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

_PIECE_BYTES: Final = 64 * 1024


class Proxy:
    """Made by `running_proxy`.  Holds little of what flows through it."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        """Takes connections, on the port it had before."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port, limit=_PIECE_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Breaks all connections; new ones are taken."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def close(self) -> None:
        """Breaks all connections and takes no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.cut()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        try:
            await self._serve(reader, writer)
        finally:
            self._serving.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for option in (socket.SO_SNDBUF, socket.SO_RCVBUF):
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, option, _PIECE_BYTES)
        self._writers.add(writer)
        try:
            ours, theirs = await asyncio.open_connection(*self._target, limit=_PIECE_BYTES)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(theirs)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pass_on(reader, theirs))
                group.create_task(self._pass_on(ours, writer))
        finally:
            for each in (writer, theirs):
                self._writers.discard(each)
                each.transport.abort() if each.transport.is_closing() else each.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while piece := await reader.read(_PIECE_BYTES):
                writer.write(piece)
                await writer.drain()
            writer.close()


@asynccontextmanager
async def running_proxy(host: str, port: int) -> AsyncIterator[Proxy]:
    proxy = Proxy(host, port)
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()
