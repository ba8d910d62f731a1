"""The loop that tells people: what happened becomes alerts, alerts become messages, good backups become pings."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from datetime import datetime
from typing import Final

import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.errors import StrongroomError
from daemon.catalog.catalog import Catalog
from daemon.keys.master import MasterKey
from daemon.notifications.channels import ChannelBook
from daemon.notifications.deliverer import Deliverer
from daemon.notifications.pinger import Pinger
from daemon.notifications.pings import PingBook
from daemon.notifications.sending import Sender
from daemon.notifications.settings import NotificationSettings
from daemon.notifications.watcher import Watcher
from daemon.runs.events import EventPublisher

log = structlog.get_logger()

_LOAD_EVERY_S: Final = 60.0
"""How often it is looked for what a list did not hold, since it came from a replica that was behind."""


class Notifier:
    """All of notifications in one coordinator: what the verbs do, and the loop, which one coordinator runs."""

    def __init__(
        self,
        client: Client,
        js: JetStreamContext,
        catalog: Catalog,
        master_key: MasterKey,
        events: EventPublisher,
        settings: NotificationSettings,
        *,
        public_url: str,
        now: Callable[[], datetime],
    ) -> None:
        """Links in messages lead below `public_url`; empty for no links."""
        public_url = public_url.rstrip("/")
        sender = Sender(settings)
        self.channels = ChannelBook(catalog, master_key, sender, settings, public_url=public_url, now=now)
        self.pings = PingBook(catalog, master_key, settings, now)
        self._watcher = Watcher(client, js, catalog, now)
        self._deliverer = Deliverer(catalog, self.channels, sender, events, settings, public_url=public_url, now=now)
        self._pinger = Pinger(catalog, self.pings, events, settings, now)
        self._settings = settings

    async def prepare(self) -> None:
        """From here on nothing that happens is passed over, whoever is the first to run the loop."""
        await self._watcher.prepare()

    async def run(self) -> None:
        """Until cancelled.  Under a lease."""
        term = secrets.token_hex(8)
        clock = asyncio.get_running_loop().time
        load_at = 0.0
        async with asyncio.TaskGroup() as group:
            is_loaded = False
            while True:
                try:
                    if not is_loaded:
                        await self._load(term)
                        is_loaded = True
                        load_at = clock() + _LOAD_EVERY_S
                    elif clock() >= load_at:
                        load_at = clock() + _LOAD_EVERY_S
                        await self._deliverer.load()
                        await self._pinger.begin()
                    seen = await self._watcher.look()
                    self._deliverer.add(seen.alerts)
                    self._pinger.add(seen.pings)
                except StrongroomError as exc:
                    # Also when somebody else has written: what was read is read again.
                    log.warning("notifier.postponed", code=exc.code, reason=exc.message)
                    is_loaded = False
                except Exception:
                    log.exception("notifier.failed")
                    is_loaded = False
                await self._send(group)
                await asyncio.sleep(self._settings.every_s)

    async def _load(self, term: str) -> None:
        await self._watcher.begin()
        await self._deliverer.begin(term)
        await self._pinger.begin()

    async def _send(self, group: asyncio.TaskGroup) -> None:
        """Even while nothing new can be learned, what is known goes out."""
        self._pinger.send_due(group)
        try:
            await self._deliverer.send_due(group)
        except StrongroomError as exc:
            log.warning("notifier.postponed", code=exc.code, reason=exc.message)
