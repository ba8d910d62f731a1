"""One round of the fleet bench: a fresh bus and store, a fleet of one size, and every service due once."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from contracts import control
from contracts.ids import due_run_id
from contracts.subjects import ALIVE_BUCKET
from contracts.wire import utc_now
from scripts.benches.fleet_agents import BEATS_OF_A_RUN, Fleet, running_fleet
from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_coordinators import Coordinators, Usage
from scripts.benches.fleet_records import Loader, Service, at_once, fleet_services
from scripts.benches.fleet_result import RoundResult, Size
from scripts.benches.fleet_store import running_store
from scripts.benches.fleet_times import Times, between, spread, watched_events
from scripts.benches.procfs import peak_mib, reset_peak
from scripts.benches.rows import say
from tests.daemon.running import Operator
from tests.servers.directories import server_directory
from tests.servers.waiting import eventually

_ALIVE_S: Final = 300
_CALM_S: Final = 1.0
_CROWD: Final = 4_000
_POLL_S: Final = 0.05
_CALM_TRIES: Final = 20
_CALM_CPU: Final = 0.05
"""Of a core above what it was at rest."""
_SETTLED_S: Final = 60
_LOOK_S: Final = 20
_NOTHING_ENDS_S: Final = 330
"""A little more than the deadline by which a request must have been taken up."""


def measure_round(size: Size, profile_dir: Path | None = None) -> RoundResult:
    with server_directory("nats") as directory, running_store(size.store) as store:
        bus = FleetBus(directory)
        coordinators = None
        if profile_dir is not None:
            profile_dir = profile_dir / f"{size.services}-services-{size.records}-records"
            profile_dir.mkdir(parents=True, exist_ok=True)
        try:
            bus.start_to_load()
            coordinators = Coordinators(directory, bus, store, size.coordinators, profile_dir)
            services = fleet_services(size.services, size.nodes, size.per_project)
            empty_mib, recipient = asyncio.run(_prepare(size, bus, coordinators, services))
            bus.start_to_measure()
            result = asyncio.run(_run(size, bus, coordinators, services, recipient, empty_mib))
            coordinators.stop()
            return result
        finally:
            if coordinators is not None:
                coordinators.kill()
            bus.kill()


async def _prepare(size: Size, bus: FleetBus, coordinators: Coordinators, services: Sequence[Service]) -> tuple[float, str]:
    """Memory of a coordinator with nothing to do, and the recipient of everything; the coordinators are stopped again."""
    began = time.monotonic()
    async with bus.connect(bus.operator_seed) as client:
        await coordinators.start(client)
        await asyncio.sleep(_CALM_S)
        empty_mib = coordinators.resident_mib()
        await asyncio.to_thread(coordinators.stop)
        loader = Loader(client)
        await loader.projects(services)
        await loader.nodes(services)
        await loader.services(services)
        await loader.history(services, size.history)
        await loader.retired(0, size.records)
        say(f"  loaded in {time.monotonic() - began:.1f} s")
        return empty_mib, loader.recipient


async def _run(
    size: Size, bus: FleetBus, coordinators: Coordinators, services: Sequence[Service], recipient: str, empty_mib: float
) -> RoundResult:
    times = Times()
    async with bus.connect(bus.operator_seed) as client:
        loader = Loader(client)
        start_s = await coordinators.start(client)
        async with (
            watched_events(client, times),
            running_fleet(
                bus, services, times, recipient=recipient, beat_every_s=size.beat_every_s, artifacts=size.artifacts
            ) as fleet,
        ):
            await _all_alive(client, size.nodes)
            rest = await _at_rest(coordinators, size.rest_s)
            rest_cpu = rest.coordinator_cpu_s / rest.at
            rest_mib = coordinators.resident_mib()
            say(f"  {size.nodes} agents alive; coordinator at rest: {100 * rest_cpu:.1f} % of a core, {rest_mib:.0f} MiB")
            beat_cpu_s = await _crowded_beat(client, fleet, coordinators)
            coordinators.reset_peak()
            reset_peak(bus.pid)
            if size.manual:
                before, beats_before = coordinators.usage(), await _beats_handled(client)
                due = await _ask_for_all(client, services)
            else:
                due = await _let_all_be_due(loader, services, size)
                before, beats_before = coordinators.usage(), await _beats_handled(client)
            if not await times.wait_ended(size.services, _NOTHING_ENDS_S):
                say(f"  only {times.ended} of {size.services} runs ended")
            await _nothing_under_way(loader)
            after = await _calm(coordinators, rest_cpu)
            beats = await _beats_handled(client) - beats_before - BEATS_OF_A_RUN * len(times.claimed)
            rest_after = await _at_rest(coordinators, size.rest_s)
            say(f"  {len(times.completed)} completed")
        first = min(due.values())
        return RoundResult(
            size=size,
            due_to_request=spread(between(due, times.requested)),
            request_to_claim=spread(between(times.requested, times.claimed)),
            report_to_completed=spread(between(times.reported, times.completed)),
            due_to_completed=spread(between(due, times.completed)),
            asks={kind: found for kind, took in sorted(times.asks.items()) if (found := spread(took)) is not None},
            last_completed_s=max(times.completed.values(), default=math.nan) - first,
            completed=len(times.completed),
            run_cpu_s=after.coordinator_cpu_s - before.coordinator_cpu_s,
            rest_cpu=rest_cpu,
            rest_after_cpu=rest_after.coordinator_cpu_s / rest_after.at,
            beats=beats,
            beat_cpu_s=beat_cpu_s,
            server_cpu_s=after.server_cpu_s - before.server_cpu_s,
            empty_mib=empty_mib,
            rest_mib=rest_mib,
            peak_mib=coordinators.peak_mib(),
            after_mib=coordinators.resident_mib(),
            server_peak_mib=peak_mib(bus.pid),
            start_s=start_s,
            events=dict(times.events),
            troubles=dict(times.troubles),
            warnings=coordinators.warnings(),
        )


async def _all_alive(client: Client, nodes: int) -> None:
    js = client.jetstream(timeout=30)
    give_up_at = time.monotonic() + _ALIVE_S
    while (alive := (await js.stream_info(f"KV_{ALIVE_BUCKET}")).state.messages) < nodes:
        if time.monotonic() > give_up_at:
            raise SystemExit(f"only {alive} of {nodes} nodes count as alive: the coordinator does not keep up with them")
        await asyncio.sleep(0.2)


async def _at_rest(coordinators: Coordinators, seconds: float) -> Usage:
    """What is used while nothing is due."""
    await asyncio.sleep(2 * _CALM_S)
    before = coordinators.usage()
    await asyncio.sleep(seconds)
    return _since(before, coordinators.usage())


async def _crowded_beat(client: Client, fleet: Fleet, coordinators: Coordinators) -> float:
    """CPU seconds of a heartbeat when there are always others to be handled too."""
    before, handled_before = coordinators.usage(), await _beats_handled(client)
    await fleet.beat_at_once(_CROWD)
    while (handled := await _beats_handled(client) - handled_before) < _CROWD:  # noqa: ASYNC110 - nobody tells us
        await asyncio.sleep(_POLL_S)
    return _since(before, coordinators.usage()).coordinator_cpu_s / handled


async def _beats_handled(client: Client) -> int:
    """How many heartbeats coordinators have dealt with so far: each is written down."""
    return (await client.jetstream(timeout=30).stream_info(f"KV_{ALIVE_BUCKET}")).state.last_seq


async def _calm(coordinators: Coordinators, rest_cpu: float) -> Usage:
    """The usage when what followed from the runs is done too: the last second in which there was anything."""
    before = coordinators.usage()
    for _ in range(_CALM_TRIES):
        await asyncio.sleep(_CALM_S)
        now = coordinators.usage()
        used = _since(before, now)
        if used.coordinator_cpu_s / used.at < rest_cpu + _CALM_CPU:
            break
        before = now
    return before


def _since(before: Usage, after: Usage) -> Usage:
    return Usage(
        at=after.at - before.at,
        coordinator_cpu_s=after.coordinator_cpu_s - before.coordinator_cpu_s,
        server_cpu_s=after.server_cpu_s - before.server_cpu_s,
    )


async def _ask_for_all(client: Client, services: Sequence[Service]) -> dict[str, float]:
    """When each run was asked for."""
    operator, asked = Operator(client), dict[str, float]()

    async def ask(service: Service) -> None:
        began = time.time()
        call = control.BackupCreate(project=service.project, service=service.name, actor="bench")
        record = await operator.call(control.BACKUP_CREATE, call)
        asked[f"{service.ref}/{record.id}"] = began

    await at_once(ask, services)
    return asked


async def _let_all_be_due(loader: Loader, services: Sequence[Service], size: Size) -> dict[str, float]:
    """When each run is due; returns just before the first is."""
    lead_s = 5 + size.services / 200
    first = datetime.fromtimestamp(math.ceil(time.time() + lead_s), UTC)
    dues = [first + timedelta(seconds=at * size.spread_s // len(services)) for at in range(len(services))]
    await loader.reschedule(services, dues)
    remaining_s = (first - utc_now()).total_seconds()
    if remaining_s < 1:
        raise SystemExit(f"the services were due before all of them had been told so ({-remaining_s:.1f} s)")
    await asyncio.sleep(remaining_s - 0.5)
    return {
        f"{service.ref}/{due_run_id(service.project, service.name, due)}": due.timestamp()
        for service, due in zip(services, dues, strict=True)
    }


async def _nothing_under_way(loader: Loader) -> None:
    async def is_so() -> bool:
        async with asyncio.timeout(_LOOK_S):
            return not await loader.catalog.active.select()

    try:
        await eventually(is_so, _SETTLED_S)
    except (AssertionError, TimeoutError):
        say("  whether all runs were settled could not be seen")
