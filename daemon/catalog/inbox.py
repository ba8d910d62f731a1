"""Where the many messages of one answer arrive.

Half as dear as the library's `next_msg`, which makes a future and a timer for every message: lists have thousands of them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from types import TracebackType
from typing import Final, Self

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

_SILENCE_S: Final = 5.0


class Inbox:
    """A subject of our own, as long as the block lasts."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.subject = client.new_inbox()
        self._messages: deque[Msg] = deque()
        self._arrived = asyncio.Event()
        self._subscription: Subscription | None = None

    async def __aenter__(self) -> Self:
        # What waits here was asked for, page by page, so no limit of bytes shall cut it.
        self._subscription = await self._client.subscribe(self.subject, cb=self._take, pending_bytes_limit=0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._subscription is not None
        await self._subscription.unsubscribe()

    async def next(self) -> Msg:
        """The next message.  Raises: TimeoutError when none has come for 5 s."""
        while not self._messages:
            self._arrived.clear()
            async with asyncio.timeout(_SILENCE_S):
                await self._arrived.wait()
        return self._messages.popleft()

    async def _take(self, message: Msg) -> None:
        self._messages.append(message)
        self._arrived.set()
