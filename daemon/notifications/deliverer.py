"""From alerts to messages: what gathers for a channel goes out as one, and waits where it does not arrive.

A channel's record says up to which alert it was told.  Before a message goes out, the record says that it is being sent, and
by whom; another leader who finds that waits until nobody can be sending any more, and then sends it again.  So a message is
never lost, and told twice only where a leader died between the service's answer and the record of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import msgspec
import structlog

from contracts.errors import StrongroomError
from contracts.notifications import Alert, ChannelRecord, Delivery
from contracts.policy.alerts_of_nodes import condense
from daemon.catalog.buckets import RecordChanged, Stored
from daemon.catalog.catalog import Catalog
from daemon.notifications.channels import UNREADABLE, ChannelBook
from daemon.notifications.messages import message_of
from daemon.notifications.outlasting import outlasting
from daemon.notifications.sending import Outcome, Sender
from daemon.notifications.settings import NotificationSettings
from daemon.notifications.watcher import ALERTS_KEPT_S
from daemon.runs.events import EventPublisher

log = structlog.get_logger()

_LONGEST_WAIT_S: Final = 3600.0
_TOLD_AFTER: Final = 3
"""So many failures in a row are stated as an event."""
_LAST_SENDING_S: Final = 5.0
"""When the coordinator stops, a message that is being sent is given this long."""
_CLAIM_FACTOR: Final = 1.5
"""A message that another leader was sending is over after so many times as long as one may take."""


@dataclass
class _Line:
    """What waits for one channel.  Times are the event loop's: they do not step."""

    alerts: dict[str, Stored[Alert]] = field(default_factory=dict)
    since: float = 0.0
    """Since when the oldest of them waits."""
    not_before: float = 0.0
    """When a channel that failed is tried again."""
    failed_url: bytes = b""
    """The sealed address that failed: another one is tried at once."""
    claim: tuple[str, float] = ("", 0.0)
    """Whose sending was found under way, and when."""
    is_sending: bool = False


class Deliverer:
    """Runs under a lease."""

    def __init__(
        self,
        catalog: Catalog,
        book: ChannelBook,
        sender: Sender,
        events: EventPublisher,
        settings: NotificationSettings,
        *,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._book = book
        self._sender = sender
        self._events = events
        self._settings = settings
        self._public_url = public_url
        self._now = now
        self._term = ""
        self._lines: dict[str, _Line] = {}

    async def begin(self, term: str) -> None:
        """Loads what was not delivered.  `term` tells this leader from others; begun again in it, lines keep their place."""
        if term != self._term:
            self._term = term
            self._lines.clear()
        await self.load()

    async def load(self) -> None:
        """What is stored and not in the lines.  To be repeated now and then: a list may come from a replica that lags."""
        channels = {stored.key: stored.value for stored in await self._catalog.channels.select(skip_unreadable=True)}
        handled = {id_: record.delivery.handled for id_, record in channels.items()}
        self.add(await self._catalog.alerts.select(skip_unreadable=True), handled)

    def add(self, alerts: Iterable[Stored[Alert]], handled: dict[str, int] | None = None) -> None:
        """Puts alerts into the lines of the channels that they go out on, but for those that were `handled` there."""
        clock = asyncio.get_running_loop().time()
        for stored in alerts:
            for id_ in stored.value.channels:
                if handled is not None and stored.revision <= handled.get(id_, stored.revision):
                    continue
                line = self._lines.setdefault(id_, _Line())
                if not line.alerts:
                    line.since = clock
                line.alerts.setdefault(stored.key, stored)

    async def send_due(self, group: asyncio.TaskGroup) -> None:
        """Begins to send what has gathered long enough; each channel for itself."""
        clock = asyncio.get_running_loop().time()
        due = [
            id_
            for id_, line in self._lines.items()
            if line.alerts and not line.is_sending and clock >= line.since + self._settings.window_s
        ]
        for id_ in due:
            line = self._lines[id_]
            if clock < line.not_before and not await self._has_new_url(id_, line):
                continue
            line.is_sending = True
            group.create_task(self._deliver(id_, line), name=f"channel:{id_}")

    async def _has_new_url(self, id_: str, line: _Line) -> bool:
        stored = await self._catalog.channels.get(id_)
        return stored is None or stored.value.sealed_url != line.failed_url

    async def _deliver(self, id_: str, line: _Line) -> None:
        try:
            await outlasting(self._try(id_, line), grace_s=_LAST_SENDING_S)
        except RecordChanged:
            log.debug("channel.changed", channel_id=id_)
        except StrongroomError as exc:
            log.warning("message.postponed", channel_id=id_, code=exc.code, reason=exc.message)
        except Exception:
            log.exception("message.failed", channel_id=id_)
            line.not_before = asyncio.get_running_loop().time() + self._settings.retry_s
        finally:
            line.is_sending = False

    async def _try(self, id_: str, line: _Line) -> None:
        stored = await self._catalog.channels.get(id_)
        if stored is None:
            line.alerts.clear()
            return
        record = stored.value
        waiting = [each for each in line.alerts.values() if each.revision > record.delivery.handled]
        until = max((each.revision for each in waiting), default=record.delivery.handled)
        line.alerts = {name: each for name, each in line.alerts.items() if self._is_news(each.value)}
        told = condense([each.value for each in waiting if self._is_news(each.value)])
        if not told or not record.enabled:
            if until > record.delivery.handled:
                delivery = msgspec.structs.replace(record.delivery, handled=until, sending="")
                await self._write(stored, delivery)
            self._drop(line, until)
            return
        if self._is_claimed(record.delivery, line):
            return
        claim = msgspec.structs.replace(record.delivery, sending=self._term)
        await self._write(stored, claim)
        url = self._book.open(record)
        message = message_of(told, self._public_url)
        outcome = await self._sender.send(id_, url, message) if url else UNREADABLE
        after = await self._settle(id_, until, outcome)
        if outcome.ok:
            log.info("message.sent", channel_id=id_, target=record.target, alerts=len(told))
            line.not_before = 0.0
            self._drop(line, until)
            return
        failures = after.delivery.failures if after is not None else 1
        wait_s = min(_LONGEST_WAIT_S, self._settings.retry_s * 2 ** min(failures - 1, 20))
        line.not_before = asyncio.get_running_loop().time() + wait_s
        line.failed_url = record.sealed_url
        log.warning("message.refused", channel_id=id_, target=record.target, reason=outcome.words, again_in_s=wait_s)
        if after is not None and failures == _TOLD_AFTER:
            await self._state_failure(after)

    def _is_claimed(self, delivery: Delivery, line: _Line) -> bool:
        """Whether somebody else may still be sending what waits here."""
        if delivery.sending in ("", self._term):
            return False
        clock = asyncio.get_running_loop().time()
        if line.claim[0] != delivery.sending:
            line.claim = (delivery.sending, clock)
        return clock < line.claim[1] + _CLAIM_FACTOR * self._settings.send_timeout_s

    def _is_news(self, alert: Alert) -> bool:
        return self._now() - alert.noted_at < timedelta(seconds=ALERTS_KEPT_S)

    def _drop(self, line: _Line, until: int) -> None:
        line.alerts = {name: each for name, each in line.alerts.items() if each.revision > until}
        line.since = asyncio.get_running_loop().time()

    async def _write(self, stored: Stored[ChannelRecord], delivery: Delivery) -> None:
        """Raises: RecordChanged; then the next look finds the record as it is."""
        record = msgspec.structs.replace(stored.value, delivery=delivery)
        await self._catalog.channels.update(stored.key, record, stored.revision)

    async def _settle(self, id_: str, until: int, outcome: Outcome) -> ChannelRecord | None:
        """The channel with what became of the message; None where it is gone."""
        now = self._now()

        def settled(record: ChannelRecord) -> ChannelRecord:
            before = record.delivery
            if before.sending != self._term:
                return record  # somebody else has taken it over
            if outcome.ok:
                after = Delivery(handled=max(before.handled, until), last_sent_at=now)
            else:
                after = msgspec.structs.replace(
                    before,
                    sending="",
                    failures=before.failures + 1,
                    failing_since=before.failing_since or now,
                    error=outcome.words,
                )
            return msgspec.structs.replace(record, delivery=after)

        return await self._catalog.channels.change(id_, settled)

    async def _state_failure(self, record: ChannelRecord) -> None:
        since = record.delivery.failing_since
        await self._events.publish(
            "notification.failed",
            key=f"{record.id}:{since.isoformat() if since else ''}",
            at=self._now(),
            project=record.project,
            reason=record.delivery.error,
            facts={"channel": record.name, "id": record.id, "target": record.target},
        )
