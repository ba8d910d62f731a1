"""A front of the real store that fails as it is told: it cuts, holds, refuses, loses answers and changes bytes."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web
from yarl import URL

_HOP_BY_HOP = {"transfer-encoding", "connection", "content-length", "expect", "date", "server"}
EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"


@dataclass
class Passage:
    """One request on its way through the front, for a fault to change."""

    request: web.Request
    number: int
    """From 1, of all requests with this method."""
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def part(self) -> int:
        return int(self.request.query.get("partNumber", "0"))


Fault = Callable[[Passage], Awaitable[web.StreamResponse | None]]
"""Called before a request is passed on.  None: pass it on, with whatever the fault has changed of it."""
AnswerFault = Callable[[Passage, int, dict[str, str], bytes], Awaitable[web.StreamResponse | None]]
"""Called with the store's answer.  None: hand it on as it is."""


class FaultyStore:
    """`on_put`, `on_get` decide before the store is asked, `on_answer` after it has answered."""

    def __init__(self, store_url: str) -> None:
        self._store_url = URL(store_url)
        self.url = ""
        self.on_put: Fault = _pass
        self.on_get: Fault = _pass
        self.on_answer: AnswerFault = _pass_answer
        self.puts: list[int] = []
        """Part numbers in the order in which their PUTs began."""
        self.ranges: list[str] = []
        self.stored_parts: set[int] = set()
        self.held = asyncio.Event()
        """Set when a request is being held by `hold_until`."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[FaultyStore]:
        async with aiohttp.ClientSession(auto_decompress=False) as self._client:
            app = web.Application(client_max_size=1024**3)
            app.router.add_route("*", "/{path:.*}", self._handle)
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
            try:
                yield self
            finally:
                await runner.cleanup()

    def hold_until(self, released: asyncio.Event) -> Fault:
        async def hold(_: Passage) -> None:
            self.held.set()
            await released.wait()

        return hold

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        passage = Passage(request, 0, headers={k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP})
        if request.method == "PUT":
            self.puts.append(passage.part)
            passage.number = len(self.puts)
            answer = await self.on_put(passage)
        else:
            self.ranges.append(request.headers.get("Range", ""))
            passage.number = len(self.ranges)
            answer = await self.on_get(passage)
        return answer if answer is not None else await self._pass_on(passage)

    async def _pass_on(self, passage: Passage) -> web.StreamResponse:
        request = passage.request
        body = passage.body or await request.read()
        url = self._store_url.join(request.rel_url)
        async with self._client.request(
            request.method, URL(str(url), encoded=True), data=io.BytesIO(body) if body else None, headers=passage.headers
        ) as answer:
            data = await answer.read()
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP_BY_HOP}
            if request.method == "PUT" and answer.status == 200:
                self.stored_parts.add(passage.part)
            changed = await self.on_answer(passage, answer.status, headers, data)
            return changed if changed is not None else web.Response(status=answer.status, headers=headers, body=data)


async def _pass(_: Passage) -> None:
    return None


async def _pass_answer(_: Passage, __: int, ___: dict[str, str], ____: bytes) -> None:
    return None


def first(times: int, fault: Fault) -> Fault:
    """The fault for the first so many requests, none afterwards."""

    async def limited(passage: Passage) -> web.StreamResponse | None:
        return await fault(passage) if passage.number <= times else None

    return limited


def answer(status: int, text: str = "", headers: dict[str, str] | None = None) -> Fault:
    async def say(passage: Passage) -> web.StreamResponse:
        await passage.request.read()
        return web.Response(status=status, text=text, headers=headers)

    return say


def cut_upload_after(count: int) -> Fault:
    """Closes the connection when so many bytes of the body have come."""

    async def cut(passage: Passage) -> web.StreamResponse:
        await passage.request.content.readexactly(count)
        return hang_up(passage.request)

    return cut


def flip_byte(at: int, *, hide: bool = False) -> Fault:
    """Changes a byte of the body; with `hide` also takes away what would let the store notice."""

    async def flip(passage: Passage) -> None:
        body = bytearray(await passage.request.read())
        body[at] ^= 1
        passage.body = bytes(body)
        if hide:
            passage.headers.pop("Content-MD5", None)

    return flip


def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


def cut_answers_after(count: int, times: int) -> AnswerFault:
    """The first so many answers break off after so many bytes."""

    async def cut(passage: Passage, status: int, headers: dict[str, str], data: bytes) -> web.StreamResponse | None:
        if passage.number > times:
            return None
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(data))})
        await response.prepare(passage.request)
        await response.write(data[:count])
        hang_up(passage.request)
        return response

    return cut
