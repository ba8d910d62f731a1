"""From events to alerts: reads the stream from where it was read to last, and keeps what follows.

Order of writes: alerts, the record of what was told, then how far the stream was read.  Cut off anywhere, the next leader
reads the same events again and comes to the same alerts, which are there already.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Final, NamedTuple

import msgspec
import structlog
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.bus import patiently
from contracts.errors import Unavailable
from contracts.events import Event
from contracts.notifications import Alert, ChannelRecord, ReadUntil, WatchRecord
from contracts.policy.alert_values import Known
from contracts.policy.alerts import BAD_RUNS, OF_SERVICE, Decide, after_service_event, follow, remind
from contracts.policy.alerts_of_nodes import OF_NODE, after_node_event
from contracts.policy.alerts_of_quotas import OF_QUOTA
from contracts.policy.pings import SIGNALS, next_ping
from contracts.records import RunSummary
from contracts.subjects import EVENTS_STREAM
from daemon.catalog.buckets import RecordChanged, Stored, key
from daemon.catalog.catalog import Catalog
from daemon.notifications.facts import Facts
from daemon.notifications.tail import read_after

log = structlog.get_logger()

ALERTS_KEPT_S: Final = 3 * 86_400
"""What did not arrive within three days is not told any more."""
_QUIET_KEPT_S: Final = 86_400
"""How long it is remembered which events a thing had seen when its trouble ended: longer than any of them is read again."""
_AT_ONCE: Final = 32
_LOOKS: Final = 25
_LOOK_AGAIN_S: Final = 0.2
_POSITION: Final = "position"
_WATCH: Final = "watch"

Events = list[tuple[int, Event]]


class Seen(NamedTuple):
    """What a look at the events led to."""

    alerts: list[Stored[Alert]]
    pings: list[str]
    """Keys of pings that are to be sent."""


class Watcher:
    """Runs under a lease; each write is compare-and-set, so one who comes late does nothing.

    Raises, in every method: RecordChanged when somebody else has written meanwhile: then `begin` again.
    """

    def __init__(self, client: Client, js: JetStreamContext, catalog: Catalog, now: Callable[[], datetime]) -> None:
        self._client = client
        self._js = js
        self._catalog = catalog
        self._now = now
        self._facts = Facts(catalog)
        self._position = Stored(_POSITION, ReadUntil(sequence=0), 0)
        self._watches: dict[str, Stored[WatchRecord]] = {}

    async def prepare(self) -> None:
        """The first coordinator of all begins with what happens from now on; nobody is told of the past."""
        if await self._catalog.read_until.get(_POSITION) is None:
            info = await patiently(lambda: self._js.stream_info(EVENTS_STREAM), "look at the events")
            try:
                await self._catalog.read_until.create(_POSITION, ReadUntil(sequence=info.state.last_seq))
            except RecordChanged:
                return

    async def begin(self) -> None:
        """Loads what leaders before have left."""
        await self.prepare()
        position = await self._catalog.read_until.get(_POSITION)
        assert position is not None
        info = await patiently(lambda: self._js.stream_info(EVENTS_STREAM), "look at the events")
        if info.state.last_seq < position.value.sequence:
            # The stream was made anew; what is in it counts from its end on.
            position = await self._read_until(position, info.state.last_seq)
        self._position = position
        self._watches = await self._load(position.revision)

    async def _load(self, revision: int) -> dict[str, Stored[WatchRecord]]:
        """All that was written before that revision of the position, which is in the same stream: a list may come from a
        replica that lags.  Raises: Unavailable `bus.unavailable` when it does so for long."""
        for _ in range(_LOOKS):
            listed = {each.key: each for each in await self._catalog.watches.select(skip_unreadable=True)}
            position = listed.pop(_POSITION, None)
            if position is not None and position.revision >= revision:
                return listed
            await asyncio.sleep(_LOOK_AGAIN_S)
        raise Unavailable("bus.unavailable", "the replica that answers is behind: what was told of is not known yet")

    async def look(self) -> Seen:
        """What has happened since the last look, and what somebody has to be reminded of."""
        batch = await read_after(self._client, self._position.value.sequence)
        seen = await self._take(batch.events) if batch.events else Seen([], [])
        if batch.until > self._position.value.sequence:
            self._position = await self._read_until(self._position, batch.until)
        return Seen([*seen.alerts, *await self._remind()], seen.pings)

    async def _take(self, events: Events) -> Seen:
        groups: defaultdict[str, Events] = defaultdict(list)
        for sequence, event in events:
            for name in _concerned(event):
                groups[name].append((sequence, event))
        seen = await self._follow_all(groups) if groups else Seen([], [])
        for sequence, event in events:
            await self._forget(sequence, event)
        return seen

    async def _follow_all(self, groups: Mapping[str, Events]) -> Seen:
        """Side by side, but of each thing in order."""
        known = Known(now=self._now(), channels=[stored.value for stored in await self._channels()])
        slots = asyncio.Semaphore(_AT_ONCE)

        async def one(name: str, of_name: Events) -> Seen:
            async with slots:
                return await self._follow(name, of_name, known)

        found = await asyncio.gather(*(one(name, of_name) for name, of_name in groups.items()))
        return Seen([alert for seen in found for alert in seen.alerts], [name for seen in found for name in seen.pings])

    async def _follow(self, name: str, events: Events, known: Known) -> Seen:
        kind, *place = name.split(".")[1:]
        pings: list[str] = []
        last_good: RunSummary | None = None
        decide: Decide | None
        if kind == "service":
            last_good = await self._facts.last_good(*place) if any(event.type in BAD_RUNS for _, event in events) else None
            decide = partial(after_service_event, known=known._replace(last_good=last_good))
            pings = await self._note_ping(key(*place), [event for _, event in events], last_good)
        elif kind == "project":
            decide = await self._facts.quota_decision(place[0], [event for _, event in events], known)
        else:
            served = await self._facts.served(place[0]) if any(event.type == "node.silent" for _, event in events) else {}
            decide = partial(after_node_event, known=known, served=served)
        if decide is None:
            return Seen([], pings)
        stored = self._watches.get(name)
        before = stored.value if stored is not None else WatchRecord()
        step = follow(before, events, decide)
        alerts = await self._keep(step.alerts)
        if step.watch is not before:
            await self._write(name, stored, step.watch)
        return Seen(alerts, pings)

    async def _remind(self) -> list[Stored[Alert]]:
        now = self._now()
        in_trouble = [(name, stored) for name, stored in self._watches.items() if stored.value.trouble is not None]
        idle = Known(now=now, channels=[])
        due = [each for each in in_trouble if remind(each[1].value, "", "", idle).alerts]
        if not due:
            return []
        known = Known(now=now, channels=[stored.value for stored in await self._channels()])
        kept: list[Stored[Alert]] = []
        for name, stored in due:
            _, _, project, service = name.split(".")
            step = remind(stored.value, project, service, known)
            kept += await self._keep(step.alerts)
            await self._write(name, stored, step.watch)
        return kept

    async def _keep(self, alerts: Sequence[Alert]) -> list[Stored[Alert]]:
        """The alerts as they are stored, those of an earlier reading included; what nobody is told of is not kept."""
        kept: list[Stored[Alert]] = []
        for alert in alerts:
            if not alert.channels:
                continue
            try:
                revision = await self._catalog.alerts.create(alert.key, alert, ttl_s=ALERTS_KEPT_S)
                kept.append(Stored(alert.key, alert, revision))
            except RecordChanged:
                known = await self._catalog.alerts.get(alert.key)
                kept += [known] if known is not None else []
        return kept

    async def _write(self, name: str, stored: Stored[WatchRecord] | None, watch: WatchRecord) -> None:
        ttl_s = _QUIET_KEPT_S if watch.is_quiet else None
        if stored is None:
            revision = await self._catalog.watches.create(name, watch, ttl_s=ttl_s)
        else:
            revision = await self._catalog.watches.update(name, watch, stored.revision, ttl_s=ttl_s)
        self._watches[name] = Stored(name, watch, revision)

    async def _note_ping(self, name: str, events: Sequence[Event], last_good: RunSummary | None) -> list[str]:
        """The name, if a ping is to be sent that was not before."""
        if not any(event.type in SIGNALS for event in events):
            return []
        while True:
            stored = await self._catalog.pings.get(name)
            if stored is None:
                return []
            pending = next_ping(stored.value, events, last_good)
            if pending == stored.value.pending:
                return [name] if pending is not None else []
            after = msgspec.structs.replace(stored.value, pending=pending)
            try:
                await self._catalog.pings.update(name, after, stored.revision)
            except RecordChanged:
                continue
            return [name]

    async def _channels(self) -> list[Stored[ChannelRecord]]:
        return await self._catalog.channels.select(skip_unreadable=True)

    async def _read_until(self, position: Stored[ReadUntil], sequence: int) -> Stored[ReadUntil]:
        after = ReadUntil(sequence=sequence)
        return Stored(_POSITION, after, await self._catalog.read_until.update(_POSITION, after, position.revision))

    async def _forget(self, sequence: int, event: Event) -> None:
        """What was set up for a project or service goes with it; what was set up for its successor stays."""
        if event.type in ("project.deleted", "project.purged"):
            of_services, of_project = f"{key(_WATCH, 'service', event.project)}.", key(_WATCH, "project", event.project)
            for name, watch in list(self._watches.items()):
                if (name.startswith(of_services) or name == of_project) and not watch.value.is_quiet:
                    await self._write(name, watch, WatchRecord(seen=max(sequence, watch.value.seen)))
        if event.type == "service.purged":
            ping = await self._catalog.pings.get(key(event.project, event.service))
            if ping is not None and ping.value.created_at <= event.at:
                await self._catalog.pings.delete(ping.key, ping.revision)
        elif event.type == "project.purged":
            for stored in await self._channels():
                if stored.value.project == event.project and stored.value.created_at <= event.at:
                    await self._catalog.channels.delete(stored.key, stored.revision)


def _concerned(event: Event) -> list[str]:
    """The names of the records that it may change."""
    names = []
    if event.type in OF_SERVICE or event.type in SIGNALS:
        names.append(key(_WATCH, "service", event.project, event.service))
    if event.type in OF_QUOTA:
        names.append(key(_WATCH, "project", event.project))
    if event.type in OF_NODE and event.node:
        names.append(key(_WATCH, "node", event.node))
    return names
