"""The coordinator as a whole: connects, creates what is absent, listens, and runs its loops until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NoReturn

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from contracts import subjects
from contracts.bus import connect
from contracts.errors import Unavailable
from contracts.tasks import cancel_surely
from daemon.admin import Admin
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.control import Control, serve_control, version
from daemon.keys.custody import Custody
from daemon.keys.master import MasterKey
from daemon.lease import Lease
from daemon.library import Library
from daemon.listening import Listener
from daemon.nodes import Nodes
from daemon.reaper import Reaper
from daemon.relay import Relay
from daemon.runs.asks import Asks
from daemon.runs.backups import Backups
from daemon.runs.events import EventPublisher
from daemon.runs.reports import Reports
from daemon.runs.restores import Restores
from daemon.runs.runs import Runs
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import ObjectStore, open_store

log = structlog.get_logger()

INBOX = "_INBOX_coordinator"
"""Apart from `_INBOX`, below which operators may listen."""


async def run_coordinator(
    settings: CoordinatorSettings, stop: asyncio.Event, *, ready: Callable[[], None] | None = None
) -> None:
    """Until `stop` is set.  Raises: StrongroomError when it cannot start, or the bus is closed for good."""
    master_key = MasterKey.read(Path(settings.master_key_file))
    async with AsyncExitStack() as stack:
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()

        client = await connect(settings.nats, name="strongroom coordinator", inbox_prefix=INBOX, closed=closed)
        stack.push_async_callback(client.close)
        js = client.jetstream(timeout=5)
        store = await stack.enter_async_context(open_store(settings.store))
        await ensure_topology(js, replicas=settings.replicas)
        loops = await _start(client, js, store, master_key, settings, stack)
        log.info("coordinator.ready", version=version(), bucket=store.bucket)
        if ready is not None:
            ready()
        waits = [asyncio.create_task(event.wait(), name="stop") for event in (stop, lost)]
        try:
            await asyncio.wait([*waits, *loops], return_when=asyncio.FIRST_COMPLETED)
        finally:
            log.info("coordinator.stopping")
            await cancel_surely(*waits, *loops)
        if not stop.is_set():
            _raise_why(loops)


def _raise_why(loops: Sequence[asyncio.Task[None]]) -> NoReturn:
    """Nobody told the coordinator to stop: a service manager must see that."""
    for loop in loops:
        if not loop.cancelled() and (failure := loop.exception()) is not None and not _is_bus_failure(failure):
            raise failure
    raise Unavailable("bus.unavailable", "the NATS server closed the connection for good; its log says why")


def _is_bus_failure(failure: BaseException) -> bool:
    if isinstance(failure, BaseExceptionGroup):
        return all(_is_bus_failure(inner) for inner in failure.exceptions)
    return isinstance(failure, NatsError)


async def _start(
    client: Client,
    js: JetStreamContext,
    store: ObjectStore,
    master_key: MasterKey,
    settings: CoordinatorSettings,
    stack: AsyncExitStack,
) -> list[asyncio.Task[None]]:
    catalog = Catalog(client, js)
    events = EventPublisher(js)
    custody = Custody(catalog, store, master_key)
    runs = Runs(catalog, store, events, js, max_attempts=settings.max_attempts)
    backups, restores = Backups(runs), Restores(runs)
    library = Library(client, catalog, store, custody)
    admin = Admin(catalog, custody, events, js, ack_wait_s=settings.request_ack_wait_s)
    control = Control(catalog, admin, backups, restores, library)
    relay = Relay(client, js, runs)
    listener = Listener(client)
    stack.push_async_callback(listener.close)
    await listener.listen(subjects.ASK_SUBJECTS, Asks(runs, custody).handle)
    await listener.listen(subjects.HEARTBEAT_SUBJECTS, Nodes(catalog, events).handle)
    await listener.listen(subjects.PROGRESS_SUBJECTS, relay.progress)
    await listener.listen(subjects.AGENT_LOG_SUBJECTS, relay.log)
    await serve_control(client, control, stack)
    reaper = Reaper(runs, backups, settings.reaper)
    return [
        asyncio.create_task(Reports(js, runs, backups, restores).run(), name="reports"),
        asyncio.create_task(Lease(client, js, "reaper").lead(reaper.run), name="reaper"),
    ]
