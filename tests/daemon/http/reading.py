"""Reading streams as a program does, and tokens for it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec

from contracts import control
from contracts.access import Role
from contracts.subjects import EVENTS_STREAM, LOGS_STREAM
from daemon.sse import FrameDecoder
from tests.daemon.running import Operator


async def make_token(operator: Operator, role: Role = Role.VIEWER, *, project: str = "", **fields: Any) -> control.NewToken:
    request = msgspec.convert({"name": "test", "role": role, "project": project, **fields}, control.TokenCreate)
    return await operator.call(control.TOKEN_CREATE, request)


def bearer(token: control.NewToken) -> dict[str, str]:
    return {"Authorization": f"Bearer {token.token}"}


async def consumers(operator: Operator) -> int:
    """How many somebody holds on the streams that are read over HTTP."""
    js = operator.client.jetstream(timeout=5)
    return sum([(await js.stream_info(name)).state.consumer_count for name in (EVENTS_STREAM, LOGS_STREAM)])


class Reading:
    """One open stream."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self.answer = answer
        self._decoder = FrameDecoder()
        self._frames: list[tuple[str, Any, str]] = []

    async def next(self) -> tuple[str, Any, str]:
        """Name, data and id.  Raises: EOFError after the last one."""
        while not self._frames:
            data = await self.answer.content.readany()
            if not data:
                raise EOFError
            self._frames += [(each.event, msgspec.json.decode(each.data), each.id) for each in self._decoder.feed(data)]
        return self._frames.pop(0)

    async def rest(self) -> list[tuple[str, Any, str]]:
        """All that comes until the stream ends by itself."""
        found = []
        while True:
            try:
                found.append(await self.next())
            except EOFError:
                return found


@asynccontextmanager
async def reading(url: str, token: control.NewToken, *, after: str = "", **query: Any) -> AsyncIterator[Reading]:
    headers = bearer(token) | ({"Last-Event-ID": after} if after else {})
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.get(url, headers=headers, params=query) as answer,
    ):
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "text/event-stream"
        yield Reading(answer)
