"""How long a coordinator takes to start, and what it needs, with more and more backup records there."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_coordinators import Coordinators
from scripts.benches.fleet_records import Loader
from scripts.benches.fleet_store import MEMORY, running_store
from scripts.benches.procfs import resident_mib
from scripts.benches.rows import say
from tests.servers.directories import server_directory

_CALM_S: Final = 5.0
"""So that what is done by the leader right after the start is counted too."""


class StartResult(msgspec.Struct, frozen=True, kw_only=True):
    """Of several starts, the medians."""

    records: int
    start_s: float
    """Until it answered `status`."""
    cpu_s: float
    """From its start until some seconds after that."""
    coordinator_mib: float
    server_mib: float


def measure_starts(records: Sequence[int], repetitions: int) -> Iterator[StartResult]:
    """For increasing numbers of records."""
    with server_directory("nats") as directory, running_store(MEMORY) as store:
        bus = FleetBus(directory)
        coordinators = None
        try:
            bus.start_to_load()
            coordinators = Coordinators(directory, bus, store, 1)
            there = 0
            for wanted in records:
                say(f"start with {wanted:,} records")
                yield asyncio.run(_measure(bus, coordinators, there, wanted, repetitions))
                there = wanted
        finally:
            if coordinators is not None:
                coordinators.kill()
            bus.kill()


async def _measure(bus: FleetBus, coordinators: Coordinators, there: int, wanted: int, repetitions: int) -> StartResult:
    async with bus.connect(bus.operator_seed) as client:
        loader = Loader(client)
        await loader.topology()
        await loader.retired(there, wanted - there)
        results = []
        for _ in range(repetitions):
            start_s = await coordinators.start(client)
            await asyncio.sleep(_CALM_S)
            results.append((start_s, coordinators.usage().coordinator_cpu_s, coordinators.resident_mib()))
            await asyncio.to_thread(coordinators.stop)
        start, cpu, memory = (statistics.median(values) for values in zip(*results, strict=True))
        return StartResult(
            records=wanted, start_s=start, cpu_s=cpu, coordinator_mib=memory, server_mib=resident_mib(bus.pid)
        )
