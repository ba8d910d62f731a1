"""The coordinator as a whole: connects, creates what is absent, listens, and runs its loops until it is told to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext

from contracts import subjects
from contracts.bus import connect
from contracts.tasks import cancel_surely
from daemon.admin import Admin
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.control import Control, serve_control, version
from daemon.keys.custody import Custody
from daemon.keys.master import MasterKey
from daemon.lease import Lease
from daemon.library import Library
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

QUEUE = "coordinator"
"""Queue group of all handlers: of several coordinators, one gets each message."""
INBOX = "_INBOX_coordinator"
"""Apart from `_INBOX`, below which operators may listen."""
_HANDLERS_AT_ONCE = 256
"""Messages of one subject being handled at the same time; more wait in the subscription."""
_DRAIN_S = 10.0


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
        group = await stack.enter_async_context(asyncio.TaskGroup())
        loops = await _start(client, js, store, master_key, settings, stack, group)
        log.info("coordinator.ready", version=version(), bucket=store.bucket)
        if ready is not None:
            ready()
        try:
            await _first_of(stop, lost)
        finally:
            await cancel_surely(*loops)
        log.info("coordinator.stopping")


async def _start(
    client: Client,
    js: JetStreamContext,
    store: ObjectStore,
    master_key: MasterKey,
    settings: CoordinatorSettings,
    stack: AsyncExitStack,
    group: asyncio.TaskGroup,
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
    await _listen(client, group, subjects.ASK_SUBJECTS, Asks(runs, custody).handle)
    await _listen(client, group, subjects.HEARTBEAT_SUBJECTS, Nodes(catalog, events).handle)
    await _listen(client, group, subjects.PROGRESS_SUBJECTS, relay.progress)
    await _listen(client, group, subjects.AGENT_LOG_SUBJECTS, relay.log)
    await serve_control(client, control, stack)
    reaper = Reaper(runs, backups, settings.reaper)
    return [
        group.create_task(Reports(js, runs, backups, restores).run(), name="reports"),
        group.create_task(Lease(client, js, "reaper").lead(reaper.run), name="reaper"),
    ]


async def _listen(client: Client, group: asyncio.TaskGroup, subject: str, handle: Callable[[Msg], Awaitable[None]]) -> None:
    """Handles messages of the subject side by side, up to a bound."""
    slots = asyncio.Semaphore(_HANDLERS_AT_ONCE)

    async def work(message: Msg) -> None:
        try:
            await handle(message)
        except Exception:
            log.exception("message.failed", subject=message.subject)
        finally:
            slots.release()

    async def receive(message: Msg) -> None:
        await slots.acquire()
        group.create_task(work(message), name=f"handle:{subject}")

    await client.subscribe(subject, queue=QUEUE, cb=receive)


async def _first_of(*events: asyncio.Event) -> None:
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await cancel_surely(*waits)
