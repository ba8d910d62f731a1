"""Channels: added, changed, tried and removed.  Their addresses are sealed as they arrive, and leave only to be sent to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

import msgspec

from contracts.control.notifications import (
    ChannelChange,
    ChannelCreate,
    ChannelList,
    ChannelRef,
    Channels,
    ChannelTest,
    ChannelView,
    TestOutcome,
)
from contracts.errors import Denied, NotFound
from contracts.notifications import ChannelRecord, Delivery
from daemon.catalog.buckets import RecordChanged, Stored
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.notifications.messages import test_message
from daemon.notifications.sending import Outcome, Sender
from daemon.notifications.settings import NotificationSettings
from daemon.notifications.targets import check_target

_ALPHABET: Final = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH: Final = 10


class ChannelBook:
    """All channels of all projects."""

    def __init__(
        self,
        catalog: Catalog,
        master_key: MasterKey,
        sender: Sender,
        settings: NotificationSettings,
        *,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        self._catalog = catalog
        self._master_key = master_key
        self._sender = sender
        self._settings = settings
        self._public_url = public_url
        self._now = now

    async def create(self, q: ChannelCreate) -> ChannelView:
        """Raises: InvalidInput naming the field; NotFound, Conflict for a project that there is not."""
        if q.project:
            await self._catalog.need_live_project(q.project)
        target = await self._check(q.url)
        id_ = "".join(secrets.choice(_ALPHABET) for _ in range(_ID_LENGTH))
        record = ChannelRecord(
            id=id_,
            name=q.name,
            project=q.project,
            sealed_url=self._seal(id_, q.project, q.url),
            target=target,
            min_severity=q.min_severity,
            kinds=tuple(dict.fromkeys(q.kinds)),
            enabled=q.enabled,
            created_at=self._now(),
            created_by=q.actor,
        )
        await self._catalog.channels.create(id_, record)
        return view_of(record)

    async def all(self, q: ChannelList) -> Channels:
        """Raises: NotFound for the project."""
        if q.project:
            await self._catalog.need_project(q.project)
        found = [stored.value for stored in await self._catalog.channels.select(skip_unreadable=True)]
        chosen = [record for record in found if q.project in ("", record.project)]
        return Channels(channels=[view_of(record) for record in sorted(chosen, key=lambda r: (r.project, r.name, r.id))])

    async def change(self, q: ChannelChange) -> ChannelView:
        """Raises: InvalidInput naming the field, NotFound `channel.not_found`."""
        stored = await self._need(q.id, q.project)
        target = await self._check(q.url) if q.url is not None else None

        def changed(record: ChannelRecord) -> ChannelRecord:
            if q.url is not None and target is not None:
                # What there is to tell goes there at once, however often the former address failed.
                delivery = msgspec.structs.replace(record.delivery, failures=0, failing_since=None, error="")
                sealed = self._seal(record.id, record.project, q.url)
                record = msgspec.structs.replace(record, sealed_url=sealed, target=target, delivery=delivery)
            return msgspec.structs.replace(
                record,
                name=record.name if q.name is None else q.name,
                min_severity=record.min_severity if q.min_severity is None else q.min_severity,
                kinds=record.kinds if q.kinds is None else tuple(dict.fromkeys(q.kinds)),
                enabled=record.enabled if q.enabled is None else q.enabled,
            )

        record = await self._catalog.channels.change(stored.key, changed)
        if record is None:
            raise _not_found(q.id)
        return view_of(record)

    async def delete(self, q: ChannelRef) -> None:
        """Raises: NotFound `channel.not_found`."""
        while True:
            stored = await self._need(q.id, q.project)
            try:
                await self._catalog.channels.delete(stored.key, stored.revision)
            except RecordChanged:
                continue  # a message has just been sent
            return

    async def test(self, q: ChannelRef) -> ChannelTest:
        """Sends a message now.  Raises: NotFound `channel.not_found`."""
        record = (await self._need(q.id, q.project)).value
        url = self.open(record)
        message = test_message(record.name, self._public_url)
        # Apart from the channel's own messages, of which one may be under way.
        outcome = await self._sender.send(f"{record.id}:test", url, message) if url else UNREADABLE
        return ChannelTest(
            channel=view_of(record),
            outcomes=[TestOutcome(target=record.target, ok=outcome.ok, message=outcome.words)],
        )

    def open(self, record: ChannelRecord) -> str | None:
        """The channel's address; None where this master key did not seal it."""
        try:
            return self._master_key.open(record.sealed_url, _context(record.id, record.project)).decode()
        except Denied:
            return None

    def _seal(self, id_: str, project: str, url: str) -> bytes:
        return self._master_key.seal(url.strip().encode(), _context(id_, project))

    async def _check(self, url: str) -> str:
        """In a thread: the first look at an address loads all kinds that there are."""
        return await asyncio.to_thread(check_target, url, allow_private=self._settings.allow_private)

    async def _need(self, id_: str, project: str) -> Stored[ChannelRecord]:
        stored = await self._catalog.channels.get(id_)
        if stored is None or (project and stored.value.project != project):
            raise _not_found(id_)
        return stored


UNREADABLE: Final = Outcome(False, "the master key does not open its address: set the address again")


def view_of(record: ChannelRecord) -> ChannelView:
    delivery: Delivery = record.delivery
    return ChannelView(
        id=record.id,
        name=record.name,
        project=record.project,
        target=record.target,
        min_severity=record.min_severity,
        kinds=record.kinds,
        enabled=record.enabled,
        created_at=record.created_at,
        created_by=record.created_by,
        last_sent_at=delivery.last_sent_at,
        failing_since=delivery.failing_since,
        error=delivery.error,
    )


def _context(id_: str, project: str) -> bytes:
    return f"strongroom.channel/{project}/{id_}".encode()


def _not_found(id_: str) -> NotFound:
    return NotFound("channel.not_found", f"there is no channel with the id {id_!r}", field="id")
