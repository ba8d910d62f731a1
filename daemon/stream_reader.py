"""A JetStream stream read in order, each message once, over restarts of the servers.

A pull consumer made anew where the last message ended, rather than the library's ordered push consumer: that one, made for a
start time, cannot be made anew after a restart (it then names a start time and a start sequence, which the server refuses),
and before its first message it would begin with the whole stream.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Final, Generic, TypeAlias, TypeVar

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from contracts.bus import patiently
from contracts.errors import StrongroomError, Unavailable
from daemon.news import Numbered

__all__ = ["Numbered", "StreamReader"]

T = TypeVar("T")
_Subscription: TypeAlias = JetStreamContext.PullSubscription

_BATCH: Final = 100
_PULL_S: Final = 3.0
_ABANDONED_AFTER_S: Final = 60.0
"""The server forgets a consumer that nobody reads, for the case that its reader could not remove it."""
_AGAIN_S: Final = 1.0


class StreamReader(Generic[T]):
    """Reads what is stored below some subjects.  What its decoder refuses is of a newer program, and passed over."""

    def __init__(
        self,
        js: JetStreamContext,
        stream: str,
        subjects: Sequence[str],
        decode: Callable[[bytes], T],
        *,
        after: int = 0,
        since: datetime | None = None,
    ) -> None:
        """From after a sequence on, or from what was stored at or after a time.  No subject may cover another."""
        self._js = js
        self._stream = stream
        self._subjects = list(subjects)
        self._decode = decode
        self._last = after
        self._since = since
        self._consumer = f"reader-{secrets.token_hex(8)}"
        """One name for all that are made for this reader, one after the other: none is left behind when an answer is lost
        or a server found again after its restart what it had not known at first."""

    async def stored(self) -> AsyncGenerator[Numbered[T], None]:
        """What there is now, oldest first.  Raises: Unavailable."""
        try:
            subscription, pending = await self._open()
            try:
                while pending:
                    try:
                        batch, pending = await self._fetch(subscription, min(_BATCH, pending))
                    except (TimeoutError, NatsError, APIError):
                        pending = await self._still_pending()
                        continue
                    for each in batch:
                        yield each
            finally:
                await _unsubscribe(subscription)
        finally:
            await self._remove()

    async def following(self) -> AsyncGenerator[Numbered[T], None]:
        """What there is and what comes, without an end; servers may come and go meanwhile."""
        try:
            while True:
                opened = await self._try_to_open()
                if opened is None:
                    await asyncio.sleep(_AGAIN_S)
                    continue
                try:
                    async with aclosing(self._until_lost(*opened)) as found:
                        async for each in found:
                            yield each
                finally:
                    await _unsubscribe(opened[0])
        finally:
            await self._remove()

    async def _until_lost(self, subscription: _Subscription, pending: int) -> AsyncGenerator[Numbered[T], None]:
        while True:
            try:
                # One at a time when there is nothing to catch up on: a batch would wait for its last one.
                batch, pending = await self._fetch(subscription, max(1, min(_BATCH, pending)))
            except TimeoutError:
                if await self._is_lost():
                    return
                pending = 0
                continue
            except (Unavailable, NatsError, APIError):
                await asyncio.sleep(_AGAIN_S)
                if await self._is_lost():
                    return
                continue
            for each in batch:
                yield each

    async def _is_lost(self) -> bool:
        try:
            await self._js.consumer_info(self._stream, self._consumer)
        except NotFoundError:
            return True
        except (NatsError, APIError, TimeoutError):
            await asyncio.sleep(_AGAIN_S)
        return False

    async def _still_pending(self) -> int:
        """How many are waiting, when none of them came.  Raises: Unavailable when the server does not say."""
        try:
            info = await patiently(lambda: self._js.consumer_info(self._stream, self._consumer), f"read {self._stream}")
        except (NatsError, APIError) as exc:
            raise Unavailable("bus.unavailable", f"the stream {self._stream} could not be read to its end: {exc}") from exc
        return info.num_pending or 0

    async def _try_to_open(self) -> tuple[_Subscription, int] | None:
        try:
            return await self._open()
        except (Unavailable, NatsError, APIError, TimeoutError):
            return None

    async def _open(self) -> tuple[_Subscription, int]:
        """A consumer from after the last message on; how many it has waiting."""
        by_time = self._since is not None and not self._last
        await self._remove()
        config = ConsumerConfig(
            name=self._consumer,
            filter_subjects=self._subjects,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=_ABANDONED_AFTER_S,
            deliver_policy=DeliverPolicy.BY_START_TIME if by_time else DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=None if by_time else self._last + 1,
            opt_start_time=self._since if by_time else None,
        )

        async def add() -> int:
            return (await self._js.add_consumer(self._stream, config)).num_pending or 0

        try:
            pending = await patiently(add, f"read {self._stream}")
        except NotFoundError as exc:
            raise Unavailable(
                "bus.unavailable",
                f"there is no stream {self._stream} on this NATS server: has a coordinator ever run on it?",
            ) from exc
        return await self._js.pull_subscribe_bind(consumer=self._consumer, stream=self._stream), pending

    async def _fetch(self, subscription: _Subscription, count: int) -> tuple[list[Numbered[T]], int]:
        """Up to `count`, and how many are still waiting.  Raises: TimeoutError when none came for a while."""
        found: list[Numbered[T]] = []
        pending = 0
        for message in await subscription.fetch(count, timeout=_PULL_S):
            self._last = message.metadata.sequence.stream
            pending = message.metadata.num_pending
            try:
                found.append(Numbered(self._last, self._decode(message.data)))
            except StrongroomError:
                continue
        return found, pending

    async def _remove(self) -> None:
        """Leaves no consumer behind, if the server can be reached."""
        try:
            await self._js.delete_consumer(self._stream, self._consumer)
        except (NatsError, APIError, TimeoutError):
            return


async def _unsubscribe(subscription: _Subscription) -> None:
    try:
        await subscription.unsubscribe()
    except NatsError:
        return
