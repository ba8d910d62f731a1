"""A JetStream stream read in order, each message once, over restarts of the servers.

What is stored is all that is told: messages are read by their sequences, page after page.  That something new came is heard
on core NATS, and is no more than the reason to look again: a message that was heard and never stored is not told, one that
was stored unheard is found by the look after a reconnect or at the next interval, and nothing is told twice.  So nothing is
left on the servers, whatever becomes of the reader, and it needs no right to make a consumer.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Final, Generic, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from contracts.errors import StrongroomError, Unavailable
from daemon.news import Numbered
from daemon.stream_pages import Raw, last_sequence, read_page

__all__ = ["Numbered", "StreamReader"]

T = TypeVar("T")

_BATCH: Final = 100
_LOOK_S: Final = 10.0
"""It looks this often even if nothing is heard."""
_TICK_S: Final = 0.5
"""It notices this soon that the connection was made anew."""
_AGAIN_S: Final = 1.0
_STORED_WITHIN_S: Final = (0.01, 0.05, 0.2, 1.0)
"""A message is heard before it is stored, or by another server than the one that answers: waits between looks for it."""
_MOST_HEARD: Final = 1_000
"""Messages that were heard and not yet read; those beyond are found by the looks that these cause."""
_NO_END: Final = 2**63


class StreamReader(Generic[T]):
    """Reads what is stored below some subjects.  What its decoder refuses is of a newer program, and passed over."""

    def __init__(
        self,
        client: Client,
        stream: str,
        subjects: Sequence[str],
        decode: Callable[[bytes], T],
        *,
        after: int = 0,
        since: datetime | None = None,
    ) -> None:
        """From after a sequence on, or from what was stored at or after a time.  No subject may cover another."""
        self._client = client
        self._stream = stream
        self._decode = decode
        self._places = [_Place(client, stream, subject, after, since) for subject in subjects]
        self._heard = _Heard()

    async def stored(self) -> AsyncGenerator[Numbered[T], None]:
        """What there is now, oldest first.  Raises: Unavailable."""
        async with aclosing(self._until(await last_sequence(self._client, self._stream))) as found:
            async for each in found:
                yield each

    async def following(self) -> AsyncGenerator[Numbered[T], None]:
        """What there is and what comes, without an end; servers may come and go meanwhile."""
        async with self._listening():
            while True:
                self._heard.woken.clear()
                try:
                    # Of one subject, whatever page is read continues the one before.  Of several, what was stored between
                    # the reading of one and of the next would be told too early.
                    several = len(self._places) > 1
                    end = await last_sequence(self._client, self._stream) if several else _NO_END
                    async with aclosing(self._until(end)) as found:
                        async for each in found:
                            yield each
                except (Unavailable, NatsError):
                    await asyncio.sleep(_AGAIN_S)
                    continue
                await self._heard.wait_for_more(self._client)

    async def _until(self, end: int) -> AsyncGenerator[Numbered[T], None]:
        """What is stored, up to and with this sequence, merged by sequence.  Raises: Unavailable."""
        for place in self._places:
            place.exhausted = False
        while True:
            heads: list[tuple[int, _Place]] = []
            for place in self._places:
                head = await place.head()
                if head is not None and head <= end:
                    heads.append((head, place))
            if not heads:
                return
            _, first = min(heads, key=lambda head: head[0])
            raw = first.take()
            self._heard.read(raw.data)
            try:
                value = self._decode(raw.data)
            except StrongroomError:
                continue
            yield Numbered(raw.sequence, value)

    @asynccontextmanager
    async def _listening(self) -> AsyncIterator[None]:
        """Before the first look, so that nothing can come between."""
        subscriptions = []
        try:
            for place in self._places:  # one by one: those made before a failure are ended too
                subscriptions.append(await self._client.subscribe(place.subject, cb=self._heard.hear))  # noqa: PERF401
            with contextlib.suppress(NatsError, TimeoutError):  # not connected at the moment: the look after that finds it
                await self._client.flush()
            yield
        finally:
            for subscription in subscriptions:
                with contextlib.suppress(NatsError):  # the connection is closed: nothing is left of it
                    await subscription.unsubscribe()


class _Place:
    """How far one subject was read."""

    def __init__(self, client: Client, stream: str, subject: str, after: int, since: datetime | None) -> None:
        self._client = client
        self._stream = stream
        self.subject = subject
        self._next = after + 1
        self._since = since
        """Until the first message is read."""
        self._waiting: deque[Raw] = deque()
        self._left = 0
        self.exhausted = False
        """The end of what is stored was seen since this was last set to False."""

    async def head(self) -> int | None:
        """The sequence of the next message; None at the end of what is stored.  Raises: Unavailable."""
        if not self._waiting and not self.exhausted:
            page = await read_page(
                self._client, self._stream, self.subject, start=self._next, since=self._since, batch=_BATCH
            )
            self._waiting.extend(page.messages)
            self.exhausted = not (page.left and page.messages)
            if page.messages:
                self._next, self._since = page.messages[-1].sequence + 1, None
        return self._waiting[0].sequence if self._waiting else None

    def take(self) -> Raw:
        return self._waiting.popleft()


class _Heard:
    """Messages that were heard and are still to be found in the stream."""

    def __init__(self) -> None:
        self.woken = asyncio.Event()
        self._unread: Counter[int] = Counter()
        self._tries = 0
        self._reconnects = 0

    async def hear(self, message: Msg) -> None:
        if self._unread.total() < _MOST_HEARD:
            self._unread[hash(message.data)] += 1
        self._tries = 0
        self.woken.set()

    def read(self, data: bytes) -> None:
        if (left := self._unread.pop(hash(data), 0) - 1) > 0:
            self._unread[hash(data)] = left

    async def wait_for_more(self, client: Client) -> None:
        """Until there is reason to look again: something was heard, the connection is new, or some time has passed."""
        if self._unread:
            if self._tries < len(_STORED_WITHIN_S):
                wait_s = _STORED_WITHIN_S[self._tries]
                self._tries += 1
                await asyncio.sleep(wait_s)
                return
            self._unread.clear()  # a repetition that the stream did not take
        loop = asyncio.get_running_loop()
        until = loop.time() + _LOOK_S
        while not self.woken.is_set() and loop.time() < until:
            if client.stats["reconnects"] != self._reconnects and client.is_connected:
                self._reconnects = client.stats["reconnects"]
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_S):
                    await self.woken.wait()
