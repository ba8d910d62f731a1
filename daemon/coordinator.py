"""The coordinator as a whole: connects, creates what is absent, listens, and runs its loops until it is told to stop."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import NoReturn

import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext

from contracts import subjects
from contracts.bus import connect
from contracts.errors import Unavailable
from contracts.tasks import cancel_surely, cancellable
from contracts.tracing import tracing
from contracts.wire import utc_now
from daemon.access.tokens import Tokens
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.control import Control, serve_control, version
from daemon.due_runs import DueRuns
from daemon.fleet import Fleet
from daemon.http.app import make_app
from daemon.http.backend import Backend
from daemon.http.metrics import counted
from daemon.http.server import serve_http
from daemon.keys.custody import Custody
from daemon.keys.master import MasterKey
from daemon.lease import Lease
from daemon.library import Library
from daemon.listening import Listener
from daemon.metrics.living import Living
from daemon.metrics.metrics import Metrics
from daemon.metrics.store_calls import watch_store
from daemon.metrics.watch import FleetWatch, fleet_look
from daemon.node_registry import NodeRegistry
from daemon.nodes import Nodes
from daemon.notifications.notifier import Notifier
from daemon.orphans import Orphans
from daemon.projects import Projects
from daemon.purger import Purger
from daemon.reaper import Reaper
from daemon.relay import Relay
from daemon.retention import Retention
from daemon.runs.allowance import Allowance
from daemon.runs.asks import Asks
from daemon.runs.backups import Backups
from daemon.runs.deletions import Deletions
from daemon.runs.events import EventPublisher
from daemon.runs.moving import Mover
from daemon.runs.reports import Reports
from daemon.runs.requesting import Requests
from daemon.runs.restores import Restores
from daemon.runs.runs import Runs
from daemon.runs.tagging import Tagging
from daemon.scheduler import Scheduler
from daemon.services import Services
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import ObjectStore, open_store
from daemon.usage import UsageReport

log = structlog.get_logger()

INBOX = "_INBOX_coordinator"
"""Apart from `_INBOX`, below which operators may listen."""


async def run_coordinator(
    settings: CoordinatorSettings,
    stop: asyncio.Event,
    *,
    ready: Callable[[], None] | None = None,
    listening: Callable[[str], None] | None = None,
    now: Callable[[], datetime] = utc_now,
) -> None:
    """Until `stop` is set.  `now` is the wall clock of all that is decided by time; `listening` is told the URL of HTTP.

    Raises: StrongroomError when it cannot start, or the bus is closed for good.
    """
    master_key = MasterKey.read(Path(settings.master_key_file))
    async with AsyncExitStack() as stack:
        lost = asyncio.Event()

        async def closed() -> None:
            lost.set()

        instance = secrets.token_hex(4)
        traces = tracing(settings.tracing, program="strongroom-coordinator", version=version(), instance=instance)
        await stack.enter_async_context(traces)  # before anything begins a task, which inherits it
        metrics = Metrics(version())
        client = await connect(
            settings.nats,
            name="strongroom coordinator",
            inbox_prefix=INBOX,
            closed=closed,
            failed=metrics.note_bus_error,
        )
        stack.push_async_callback(client.close)
        js = client.jetstream(timeout=5)
        watch = partial(watch_store, metrics=metrics)
        store = await stack.enter_async_context(open_store(settings.store, watch=watch))
        await ensure_topology(js, replicas=settings.replicas)
        loops = await _start(client, js, store, master_key, settings, stack, now, listening, metrics)
        # Ready means that whoever asks now is answered: the server has every subscription.  Twice, because the library
        # writes the PING of a flush past what still waits to be written (nats-py 2.16, `Client._send_ping`).
        await client.flush()
        await client.flush()
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
    now: Callable[[], datetime],
    listening: Callable[[str], None] | None,
    metrics: Metrics,
) -> list[asyncio.Task[None]]:
    catalog = Catalog(client, js)
    custody = Custody(catalog, store, master_key)
    runs = Runs(catalog, store, EventPublisher(js, metrics.note_event), js, max_attempts=settings.max_attempts, now=now)
    deletions, mover = Deletions(runs), Mover(runs)
    retention = Retention(runs, deletions, lists_may_lag=settings.replicas > 1)
    runs.after_backup = retention.after
    requests = Requests(runs, retention.make_room)
    allowance = Allowance(runs, retention.make_room)
    backups, restores = Backups(runs, allowance), Restores(runs)
    grace = timedelta(days=settings.grace_days)
    services = Services(runs, retention, grace=grace)
    tokens, fleet = Tokens(catalog, runs.events, now), Fleet(catalog, now)
    notifier = Notifier(
        client,
        js,
        catalog,
        master_key,
        runs.events,
        settings.notifications,
        public_url=settings.http.public_url if settings.http is not None else "",
        now=now,
    )
    await notifier.prepare()
    control = Control(
        catalog=catalog,
        projects=Projects(runs, services, custody, grace=grace),
        services=services,
        nodes=NodeRegistry(runs, js, ack_wait_s=settings.request_ack_wait_s),
        requests=requests,
        backups=backups,
        deletions=deletions,
        tagging=Tagging(runs),
        restores=restores,
        library=Library(client, catalog, store, custody),
        usage=UsageReport(catalog, runs.quotas, store),
        fleet=fleet,
        tokens=tokens,
        channels=notifier.channels,
        pings=notifier.pings,
        events=runs.events,
        metrics=metrics,
        grace=grace,
        now=now,
    )
    relay = Relay(client, js, runs)
    listener = Listener(client)
    stack.push_async_callback(listener.close)
    await listener.listen(subjects.ASK_SUBJECTS, Asks(runs, custody, allowance).handle)
    await listener.listen(subjects.HEARTBEAT_SUBJECTS, Nodes(catalog, runs.events).handle)
    await listener.listen(subjects.PROGRESS_SUBJECTS, relay.progress)
    await listener.listen(subjects.AGENT_LOG_SUBJECTS, relay.log)
    await serve_control(client, control, stack)
    due_runs = DueRuns(runs, requests, retention, start_deadline_s=settings.reaper.start_deadline_s)
    scheduler = Scheduler(client, catalog, due_runs, settings.scheduler, now)
    orphans = Orphans(catalog, store, runs.quotas, settings.reaper.orphans)
    purger = Purger(runs, deletions, custody, patience_s=settings.reaper.purge_after_s)
    reaper = Reaper(runs, mover, deletions, orphans, purger, settings.reaper)
    leases = {name: Lease(client, js, name) for name in ("scheduler", "reaper", "notifier")}
    metrics.registry.register(Living(client, list(leases.values()), scheduler))
    if settings.http is not None:
        backend = Backend(
            control=control,
            tokens=tokens,
            catalog=catalog,
            custody=custody,
            store=store,
            client=client,
            js=js,
            settings=settings.http,
            session_key=master_key.derive("strongroom web sessions"),
            now=now,
            metrics=metrics,
            fleet_watch=FleetWatch(fleet_look(catalog, fleet, js, now)),
        )
        stack.push_async_callback(backend.fleet_watch.close)
        app = counted(make_app(backend), metrics)
        url = await stack.enter_async_context(serve_http(app, settings.http))
        stack.callback(backend.stopping.set)
        if listening is not None:
            listening(url)
    return [
        asyncio.create_task(Reports(js, runs, backups, restores, mover).run(), name="reports"),
        asyncio.create_task(leases["scheduler"].lead(scheduler.run), name="scheduler"),
        asyncio.create_task(leases["reaper"].lead(reaper.run), name="reaper"),
        asyncio.create_task(leases["notifier"].lead(notifier.run), name="notifier"),
        asyncio.create_task(cancellable(fleet.keep()), name="fleet"),
    ]
