"""The events stream read in order, once each, over restarts of the servers.

A pull consumer made anew where the last event ended, rather than the library's ordered push consumer: that one, made for a
start time, cannot be made anew after a restart (it then names a start time and a start sequence, which the server refuses),
and before its first message it would begin with the whole stream.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from contracts.bus import patiently
from contracts.errors import StrongroomError, Unavailable
from contracts.events import Event, event_decoder
from contracts.subjects import EVENTS_STREAM

_BATCH: Final = 100
_PULL_S: Final = 3.0
_ABANDONED_AFTER_S: Final = 300.0
"""The server forgets a consumer that nobody reads."""
_AGAIN_S: Final = 1.0


class EventReader:
    """Reads the events whose subjects match a filter."""

    def __init__(self, bus: Client, subject: str, since: datetime) -> None:
        self._js = bus.jetstream(timeout=5)
        self._subject = subject
        self._since = since
        self._last = 0
        self._consumer = ""

    async def stored(self) -> AsyncIterator[Event]:
        """The events that there are now, oldest first.  Raises: Unavailable."""
        pending = await self._open()
        subscription = await self._bind()
        try:
            while pending:
                batch, pending = await self._fetch(subscription, min(_BATCH, pending))
                for event in batch:
                    yield event
        finally:
            await subscription.unsubscribe()

    async def following(self) -> AsyncIterator[Event]:
        """The events that there are and those that come, without an end; servers may come and go meanwhile."""
        while True:
            try:
                await self._open()
                subscription = await self._bind()
            except (Unavailable, NatsError, APIError):
                await asyncio.sleep(_AGAIN_S)
                continue
            try:
                async for event in self._until_lost(subscription):
                    yield event
            finally:
                await _unsubscribe(subscription)

    async def close(self) -> None:
        """Leaves no consumer behind, if the server can be reached."""
        if self._consumer:
            try:
                await self._js.delete_consumer(EVENTS_STREAM, self._consumer)
            except (NatsError, APIError, TimeoutError):
                return

    async def _until_lost(self, subscription: JetStreamContext.PullSubscription) -> AsyncIterator[Event]:
        while True:
            try:
                batch, _ = await self._fetch(subscription, 1)
                if not batch:
                    await self._js.consumer_info(EVENTS_STREAM, self._consumer)
            except NotFoundError:
                return
            except (Unavailable, NatsError, APIError, TimeoutError):
                await asyncio.sleep(_AGAIN_S)
                continue
            for event in batch:
                yield event

    async def _open(self) -> int:
        """A consumer from after the last event on; how many events it has waiting."""
        config = ConsumerConfig(
            filter_subject=self._subject,
            ack_policy=AckPolicy.NONE,
            mem_storage=True,
            inactive_threshold=_ABANDONED_AFTER_S,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE if self._last else DeliverPolicy.BY_START_TIME,
            opt_start_seq=self._last + 1 if self._last else None,
            opt_start_time=None if self._last else self._since,
        )

        async def add() -> tuple[str, int]:
            info = await self._js.add_consumer(EVENTS_STREAM, config)
            return info.name, info.num_pending or 0

        try:
            self._consumer, pending = await patiently(add, "read events")
        except NotFoundError as exc:
            raise Unavailable(
                "bus.unavailable", "there is no events stream on this NATS server: has a coordinator ever run on it?"
            ) from exc
        return pending

    async def _bind(self) -> JetStreamContext.PullSubscription:
        return await self._js.pull_subscribe_bind(consumer=self._consumer, stream=EVENTS_STREAM)

    async def _fetch(self, subscription: JetStreamContext.PullSubscription, count: int) -> tuple[list[Event], int]:
        """Up to `count` events, none when none came for a while; and how many are still waiting."""
        events: list[Event] = []
        pending = 0
        try:
            messages = await subscription.fetch(count, timeout=_PULL_S)
        except TimeoutError:
            return [], 0
        for message in messages:
            self._last = message.metadata.sequence.stream
            pending = message.metadata.num_pending
            try:
                events.append(event_decoder.decode(message.data))
            except StrongroomError:
                # Of a newer coordinator, in a shape that this program does not know.
                continue
        return events, pending


async def _unsubscribe(subscription: JetStreamContext.PullSubscription) -> None:
    try:
        await subscription.unsubscribe()
    except NatsError:
        return
