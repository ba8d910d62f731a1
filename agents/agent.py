"""The agent as a whole: connects, beats, works, until it is told to stop."""

from __future__ import annotations

import asyncio
import importlib.metadata
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import structlog

from agents.datapath.http import open_http
from agents.figures import Figures
from agents.heartbeat import Heart
from agents.identity import ensure_identity
from agents.job_logs import JobLogs
from agents.runner import Runner, RunsInHand
from agents.services import Services, ensure_private_dir
from agents.settings import AgentSettings
from contracts.bus import connect
from contracts.logs import configure_logs
from contracts.subjects import agent_inbox
from contracts.tasks import cancellable
from contracts.tracing import tracing

log = structlog.get_logger()


async def run_agent(settings: AgentSettings, stop: asyncio.Event, *, ready: Callable[[], None] | None = None) -> None:
    """Until `stop` is set.  Raises: StrongroomError when it cannot start."""
    logs = JobLogs()
    configure_logs(level=settings.log_level, also=[logs])
    identity = ensure_identity(Path(settings.identity_file))
    runtime_dir, work_dir = Path(settings.runtime_dir), Path(settings.drivers_dir)
    for directory in (runtime_dir, work_dir):
        ensure_private_dir(directory)
    services = Services(Path(settings.services_dir), runtime_dir=runtime_dir, work_dir=work_dir)
    services.reload()
    async with AsyncExitStack() as stack:
        lost = asyncio.Event()
        version = importlib.metadata.version("strongroom")
        traces = tracing(settings.tracing, program="strongroom-agent", version=version, instance=settings.node)
        await stack.enter_async_context(traces)  # before anything begins a task, which inherits it

        bus_errors = 0

        async def closed() -> None:
            lost.set()

        def failed() -> None:
            nonlocal bus_errors
            bus_errors += 1

        client = await connect(
            settings.nats,
            name=f"strongroom agent {settings.node}",
            inbox_prefix=agent_inbox(settings.node),
            closed=closed,
            failed=failed,
        )
        stack.push_async_callback(client.close)
        http = await stack.enter_async_context(open_http())
        js = client.jetstream(timeout=5)
        in_hand, figures = RunsInHand(), Figures()
        heart = Heart(client, settings.node, identity.recipient, services, in_hand)
        runner = Runner(client, js, settings, services, identity, http, in_hand, figures)
        if settings.metrics is not None:
            # Imported late: it takes a library that most hosts do not have, and a server that they do not need.
            from agents.metrics import AgentCollector, serve_metrics

            collector = AgentCollector(
                node=settings.node,
                version=version,
                figures=figures,
                health=lambda: heart.health,
                running=lambda: len(in_hand.refs()),
                staging=runner.staging,
                client=client,
                bus_errors=lambda: bus_errors,
            )
            await stack.enter_async_context(serve_metrics(settings.metrics, collector))
        group = await stack.enter_async_context(asyncio.TaskGroup())
        tasks = [
            group.create_task(cancellable(heart.look(settings.health_every_s)), name="health"),
            group.create_task(cancellable(heart.beat(settings.heartbeat_s)), name="heartbeat"),
            group.create_task(cancellable(logs.send(client, settings.node)), name="logs"),
            group.create_task(cancellable(runner.run()), name="requests"),
        ]
        log.info("agent.ready", node=settings.node, services=services.names)
        if ready is not None:
            ready()
        waits = [group.create_task(event.wait(), name="stop") for event in (stop, lost)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        log.info("agent.stopping")
        for task in (*tasks, *waits):
            task.cancel()
