"""When each run reached each stage, by the wall clock, and what comes of many such times."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Final

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import DeliverPolicy

from contracts.events import event_decoder
from contracts.subjects import EVENTS_STREAM

_BACKUP_EVENTS: Final = "strongroom.event.backup.>"
_ENDINGS: Final = ("backup.completed", "backup.failed", "backup.cancelled", "backup.missed", "backup.skipped")


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds."""

    count: int
    p50: float
    p95: float
    most: float


def spread(values: Iterable[float]) -> Spread | None:
    """Percentiles by nearest rank; None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    rank = len(ordered) - 1
    return Spread(count=len(ordered), p50=ordered[rank * 50 // 100], p95=ordered[-(-rank * 95 // 100)], most=ordered[-1])


class Times:
    """By `project/service/run id`."""

    def __init__(self) -> None:
        self.requested: dict[str, float] = {}
        """When the server stored the request for the agent."""
        self.claimed: dict[str, float] = {}
        """When the agent had the coordinator's word for it."""
        self.reported: dict[str, float] = {}
        """When the agent sent its report."""
        self.completed: dict[str, float] = {}
        """When the server stored the event that says so."""
        self.asks: dict[str, list[float]] = {}
        """How long each ask took, by its kind."""
        self.events: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        """What went otherwise than planned, on the agents' side."""
        self._ended: set[str] = set()
        self._changed = asyncio.Event()

    @property
    def ended(self) -> int:
        """Runs and due times that came to an end, whichever."""
        return len(self._ended)

    def note_event(self, type_: str, run: str, at: float) -> None:
        self.events[type_] += 1
        if type_ == "backup.completed":
            self.completed[run] = at
        if type_ in _ENDINGS:
            self._ended.add(run)
            self._changed.set()

    async def wait_ended(self, count: int, patience_s: float) -> bool:
        """Whether so many ended; False when none did for `patience_s`."""
        while self.ended < count:
            self._changed.clear()
            try:
                async with asyncio.timeout(patience_s):
                    await self._changed.wait()
            except TimeoutError:
                return False
        return True


def between(earlier: Mapping[str, float], later: Mapping[str, float]) -> list[float]:
    """Of every run that has reached both."""
    return [later[run] - at for run, at in earlier.items() if run in later]


def stored_at(message: Msg) -> float:
    """When the server stored a message that a consumer delivers.  Source: JetStream ADR-15, the ack subject's tokens."""
    return int(message.reply.split(".")[-2]) / 1e9


@asynccontextmanager
async def watched_events(client: Client, times: Times) -> AsyncIterator[None]:
    """Notes every event about a backup.

    Read from the stream and not as a core message, because the server's time stamp does not depend on how busy this
    process is when it takes the message.
    """

    async def note(message: Msg) -> None:
        event = event_decoder.decode(message.data)
        times.note_event(event.type, f"{event.project}/{event.service}/{event.backup_id}", stored_at(message))

    subscription = await client.jetstream(timeout=30).subscribe(
        _BACKUP_EVENTS, stream=EVENTS_STREAM, cb=note, ordered_consumer=True, deliver_policy=DeliverPolicy.NEW
    )
    try:
        yield
    finally:
        await subscription.unsubscribe()
