"""Pings: what a dead man's switch is told after backups of a service; set, shown and removed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from urllib.parse import SplitResult, urlsplit

import msgspec

from contracts.control.notifications import PingRef, PingSet, PingView
from contracts.control.services import ServiceRef
from contracts.errors import Denied, InvalidInput, NotFound
from contracts.notifications import PingRecord
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.notifications.addresses import why_not
from daemon.notifications.settings import NotificationSettings


class PingBook:
    """The pings of all services."""

    def __init__(
        self, catalog: Catalog, master_key: MasterKey, settings: NotificationSettings, now: Callable[[], datetime]
    ) -> None:
        self._catalog = catalog
        self._master_key = master_key
        self._settings = settings
        self._now = now

    async def set(self, q: PingSet) -> PingView:
        """Raises: InvalidInput naming the field, NotFound, Conflict `project.deleted`, `service.deleted`."""
        await self._catalog.need_live_service(q.project, q.service)
        target = self._check(q.url) if q.url is not None else None
        name = key(q.project, q.service)
        while True:
            before = await self._catalog.pings.get(name)
            record = self._record(q, target, before.value if before is not None else None)
            try:
                if before is not None:
                    await self._catalog.pings.update(name, record, before.revision)
                else:
                    await self._catalog.pings.create(name, record)
            except RecordChanged:
                continue  # a ping has just been sent
            return _view(record)

    def _record(self, q: PingSet, target: str | None, before: PingRecord | None) -> PingRecord:
        """Raises: InvalidInput where there is no URL, now nor before."""
        if q.url is not None and target is not None:
            record = PingRecord(
                project=q.project,
                service=q.service,
                sealed_url=self._master_key.seal(q.url.strip().encode(), _context(q.project, q.service)),
                target=target,
                created_at=self._now(),
                created_by=q.actor,
            )
        elif before is not None:
            record = before
        else:
            raise InvalidInput("input.invalid", "name the URL that is to be called: none was set before", field="url")
        return msgspec.structs.replace(record, method=q.method, tell_failure=q.tell_failure, tell_start=q.tell_start)

    async def show(self, q: ServiceRef) -> PingView:
        """Raises: NotFound `ping.not_found`."""
        return _view((await self._need(q.project, q.service)).value)

    async def remove(self, q: PingRef) -> None:
        """Raises: NotFound `ping.not_found`."""
        while True:
            stored = await self._need(q.project, q.service)
            try:
                await self._catalog.pings.delete(stored.key, stored.revision)
            except RecordChanged:
                continue  # a ping has just been sent
            return

    def open(self, record: PingRecord) -> str | None:
        """The URL; None where this master key did not seal it."""
        try:
            return self._master_key.open(record.sealed_url, _context(record.project, record.service)).decode()
        except Denied:
            return None

    def _check(self, url: str) -> str:
        """As much of the URL as may be seen.  Raises: InvalidInput naming the field, never the URL."""
        try:
            parts = urlsplit(url.strip())
            _ = parts.port
        except ValueError:
            parts = SplitResult("", "", "", "", "")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise InvalidInput(
                "input.invalid", "the URL must begin with https:// or http:// and name a host, as in a browser", field="url"
            )
        if reason := why_not(parts.hostname, allow_private=self._settings.allow_private):
            raise InvalidInput("input.invalid", f"that host cannot be called: {reason}", field="url")
        return f"{parts.scheme}://{parts.hostname}/…"

    async def _need(self, project: str, service: str) -> Stored[PingRecord]:
        await self._catalog.need_service(project, service)
        stored = await self._catalog.pings.get(key(project, service))
        if stored is None:
            raise NotFound("ping.not_found", f"nothing is called after backups of {project}/{service}", field="service")
        return stored


def _view(record: PingRecord) -> PingView:
    return PingView(
        project=record.project,
        service=record.service,
        target=record.target,
        method=record.method,
        tell_failure=record.tell_failure,
        tell_start=record.tell_start,
        created_at=record.created_at,
        created_by=record.created_by,
        last=record.last,
        last_ok_at=record.last_ok_at,
    )


def _context(project: str, service: str) -> bytes:
    return f"strongroom.ping/{project}/{service}".encode()
