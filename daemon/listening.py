"""Messages of a subject, handled side by side up to a bound, and brought to an end when the coordinator stops."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError

from contracts.tasks import cancel_surely

log = structlog.get_logger()

QUEUE: Final = "coordinator"
"""Queue group of all handlers: of several coordinators, one gets each message."""
_AT_ONCE: Final = 256
"""Messages of one subject being handled at the same time; more wait in the subscription."""
_DRAIN_S: Final = 10.0


class Listener:
    """The coordinator's subscriptions."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._subscriptions: list[Subscription] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> None:
        """Has every message of the subject handled.  An error that a handler lets out is logged, and ends nothing else."""
        slots = asyncio.Semaphore(_AT_ONCE)

        async def work(message: Msg) -> None:
            try:
                await handle(message)
            except Exception:
                log.exception("message.failed", subject=message.subject)
            finally:
                slots.release()

        async def receive(message: Msg) -> None:
            await slots.acquire()
            task = asyncio.create_task(work(message), name=f"handle:{subject}")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

        self._subscriptions.append(await self._client.subscribe(subject, queue=QUEUE, cb=receive))

    async def close(self) -> None:
        """Takes no more messages, and gives those in hand some seconds to be answered."""
        for subscription in self._subscriptions:
            try:
                await subscription.unsubscribe()
            except NatsError as exc:
                log.debug("unsubscribe.failed", error=str(exc))
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_DRAIN_S)
        await cancel_surely(*self._tasks)
