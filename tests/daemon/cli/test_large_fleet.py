"""Whoever looks at ten thousand services does not wait for them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from contracts import control
from contracts.wire import utc_now
from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_coordinators import Coordinators
from scripts.benches.fleet_records import Loader, fleet_services
from scripts.benches.fleet_store import MEMORY, running_store
from scripts.benches.procfs import children_cpu_seconds
from scripts.benches.status_records import load_standing
from tests.daemon.cli.calling import TOP
from tests.daemon.cli.conftest import write_operator_config
from tests.daemon.running import Operator
from tests.servers.directories import server_directory

SERVICES, PER_NODE = 10_000, 10
PROMISED_S = 2.0
TRIES = 4


async def status(config: Path) -> tuple[int, str]:
    """The exit status and the output of the command, as a shell starts it."""
    code = "import daemon.cli; daemon.cli.main()"
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(TOP),
        "STRONGROOM_CONFIG": str(config),
        "HOME": str(config.parent),
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "status", "--json"),
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


def _cpu_s(coordinators: Coordinators) -> float:
    """Used so far by the coordinator, the NATS server, and the commands that have ended."""
    used = coordinators.usage()
    return used.coordinator_cpu_s + used.server_cpu_s + children_cpu_seconds()


async def test_status_of_ten_thousand_services_is_there_within_two_seconds(tmp_path: Path) -> None:
    """Told by the CPU time of all who take part, one after the other: a clock would tell of what runs beside it."""
    out, costs = "", []
    with server_directory("nats") as directory, running_store(MEMORY) as store:
        bus = FleetBus(directory)
        coordinators = None
        try:
            bus.start_to_load()
            coordinators = Coordinators(directory, bus, store, 1)
            config = write_operator_config(tmp_path / "operator.toml", bus)
            async with bus.connect(bus.operator_seed) as client:
                loader = Loader(client)
                await loader.topology()
                await load_standing(loader, fleet_services(SERVICES, SERVICES // PER_NODE, 10), utc_now())
                await coordinators.start(client)
                # The coordinator reads all records once, after its start.
                await Operator(client).call(control.OVERVIEW, control.OverviewOf(), timeout_s=90)
            for _ in range(TRIES):
                before = _cpu_s(coordinators)
                found, out = await status(config)
                costs.append(_cpu_s(coordinators) - before)
                assert found == 2
        finally:
            if coordinators is not None:
                coordinators.kill()
            bus.kill()
    report = json.loads(out)
    assert report["overview"]["services"] == SERVICES
    assert report["overview"]["levels"]["problem"] == SERVICES // 100
    assert report["overview"]["nodes"] == SERVICES // PER_NODE
    assert min(costs) < PROMISED_S, costs
