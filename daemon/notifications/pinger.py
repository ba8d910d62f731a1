"""Sends pings: the newest of each service, tried again a few times, and then left to the switch itself to notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Final

import msgspec
import structlog

from contracts.errors import StrongroomError
from contracts.notifications import PendingPing, PingOutcome, PingRecord, PingSignal
from daemon.catalog.catalog import Catalog
from daemon.notifications.calling import call, signal_url
from daemon.notifications.channels import UNREADABLE
from daemon.notifications.pings import PingBook
from daemon.notifications.settings import NotificationSettings
from daemon.runs.events import EventPublisher

log = structlog.get_logger()

_TRIES: Final = 6
"""With the wait doubling in between: some eight minutes."""
_AT_ONCE: Final = 16
_WORDS: Final = {PingSignal.SUCCESS: "completed", PingSignal.FAILURE: "failed", PingSignal.START: "started"}


class Pinger:
    """Runs under a lease.  A ping may be sent twice, where a leader died after it: that says nothing new to a switch."""

    def __init__(
        self,
        catalog: Catalog,
        book: PingBook,
        events: EventPublisher,
        settings: NotificationSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._events = events
        self._settings = settings
        self._now = now
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._waiting: dict[str, float] = {}
        """When each is due, by the event loop's clock."""
        self._tries: dict[tuple[str, PendingPing], int] = {}
        self._under_way: set[str] = set()

    async def begin(self) -> None:
        """Loads what was not sent and does not wait here already.  May be repeated."""
        for stored in await self._catalog.pings.select(skip_unreadable=True):
            if stored.value.pending is not None and stored.key not in self._under_way:
                self._waiting.setdefault(stored.key, 0.0)

    def add(self, names: Iterable[str]) -> None:
        """Sends the pings of these services as soon as possible."""
        self._waiting |= dict.fromkeys(names, 0.0)

    def send_due(self, group: asyncio.TaskGroup) -> None:
        """Begins to send what is due; each for itself."""
        clock = asyncio.get_running_loop().time()
        for name, due_at in list(self._waiting.items()):
            if due_at <= clock and name not in self._under_way:
                del self._waiting[name]
                self._under_way.add(name)
                group.create_task(self._send(name), name=f"ping:{name}")

    async def _send(self, name: str) -> None:
        try:
            async with self._slots:
                await self._try(name)
        except StrongroomError as exc:
            log.warning("ping.postponed", ping=name, code=exc.code, reason=exc.message)
            self._again(name, self._settings.retry_s)
        except Exception:
            log.exception("ping.failed", ping=name)
        finally:
            self._under_way.discard(name)

    async def _try(self, name: str) -> None:
        stored = await self._catalog.pings.get(name)
        if stored is None or stored.value.pending is None:
            return
        record, pending = stored.value, stored.value.pending
        url = self._book.open(record)
        outcome = UNREADABLE
        if url is not None:
            body = f"{record.project}/{record.service}: backup {pending.run_id} {_WORDS[pending.signal]}"
            outcome = await call(signal_url(url, pending.signal), record.method, body, self._settings)
        tries = self._tries.pop((name, pending), 0) + 1
        gives_up = not outcome.ok and tries >= _TRIES
        now = self._now()
        told = PingOutcome(signal=pending.signal, run_id=pending.run_id, at=now, ok=outcome.ok, message=outcome.words)

        def settled(current: PingRecord) -> PingRecord:
            if current.sealed_url != record.sealed_url:
                return current  # set anew meanwhile
            is_over = current.pending == pending and (outcome.ok or gives_up)
            return msgspec.structs.replace(
                current,
                pending=None if is_over else current.pending,
                last=told,
                last_ok_at=now if outcome.ok else current.last_ok_at,
            )

        after = await self._catalog.pings.change(name, settled)
        if outcome.ok:
            log.info("ping.sent", ping=name, signal=str(pending.signal))
        else:
            log.warning("ping.refused", ping=name, target=record.target, reason=outcome.words, tries=tries)
        if after is not None and after.pending is not None:
            self._tries[name, pending] = tries
            newer = after.pending != pending
            self._again(name, 0.0 if newer else self._settings.retry_s * 2 ** (tries - 1))
        if gives_up:
            await self._state_failure(record, pending, outcome.words)

    def _again(self, name: str, in_s: float) -> None:
        self._waiting.setdefault(name, asyncio.get_running_loop().time() + in_s)

    async def _state_failure(self, record: PingRecord, pending: PendingPing, words: str) -> None:
        await self._events.publish(
            "notification.failed",
            key=f"ping:{record.project}/{record.service}/{pending.run_id}:{pending.signal}",
            at=self._now(),
            project=record.project,
            service=record.service,
            reason=words,
            facts={"ping": str(pending.signal), "target": record.target},
        )
