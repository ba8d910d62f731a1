"""How long a person, or a monitoring system, waits for `strongroom status` and for the lists, with thousands of services.

The commands are processes of their own, as a shell starts them; the coordinator too, on a real nats-server.  `at once` is
the first call after the coordinator's start, while it still reads what it will then keep in memory.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import tomli_w

from contracts.logs import configure_logs
from contracts.wire import utc_now
from daemon.embedded.private_files import write_private
from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_coordinators import Coordinators
from scripts.benches.fleet_records import Loader, fleet_services
from scripts.benches.fleet_store import MEMORY, python_environment, running_store
from scripts.benches.procfs import resident_mib
from scripts.benches.rows import Row, row, say
from scripts.benches.status_records import load_standing
from tests.servers.directories import server_directory

SUMMARY = "what a command waits for in a large fleet: `strongroom status`, and lists of services"
_COMMANDS = {
    "status": ("status",),
    "status of a project": ("status", "--project", "p00001"),
    "first 50 services": ("service", "list", "--limit", "50"),
    "problems": ("service", "list", "--level", "problem"),
    "--version": ("--version",),
}
"""The last one asks nobody: what a command costs by itself."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--services", type=int, help="default 10000, quick 500")
    parser.add_argument("--per-node", type=int, default=10, help="services of a node; default 10")
    parser.add_argument("--repetitions", type=int, default=5)


def run(options: argparse.Namespace) -> Iterator[Row]:
    configure_logs(level="error")
    services = options.services or (500 if options.quick else 10_000)
    case = f"{services:,} services"
    with server_directory("nats") as directory, running_store(MEMORY) as store:
        bus = FleetBus(directory)
        coordinators = None
        try:
            bus.start_to_load()
            coordinators = Coordinators(directory, bus, store, 1)
            say(f"writing {case}")
            asyncio.run(_prepare(bus, coordinators, services, options.per_node))
            config = _operator_config(directory, bus)
            yield row(case, "status, at once", "s", [_until_answered(config)])
            for name, argv in _COMMANDS.items():
                say(name)
                yield row(case, name, "s", [_call(config, argv) for _ in range(options.repetitions)])
            yield row(case, "coordinator", "MiB", [coordinators.resident_mib()])
            yield row(case, "nats-server", "MiB", [resident_mib(bus.pid)])
            coordinators.stop()
        finally:
            if coordinators is not None:
                coordinators.kill()
            bus.kill()


async def _prepare(bus: FleetBus, coordinators: Coordinators, services: int, per_node: int) -> None:
    async with bus.connect(bus.operator_seed) as client:
        loader = Loader(client)
        await loader.topology()
        await load_standing(loader, fleet_services(services, max(1, services // per_node), 10), utc_now())
        await coordinators.start(client)


def _operator_config(directory: Path, bus: FleetBus) -> Path:
    path = directory / "operator.toml"
    write_private(path, tomli_w.dumps({"nats": {"url": bus.url, "nkey_file": str(bus.operator_seed)}}))
    return path


def _until_answered(config: Path) -> float:
    """Seconds, however often it has to be asked."""
    began = time.perf_counter()
    while True:
        try:
            _call(config, _COMMANDS["status"])
        except RuntimeError as exc:
            if "bus.unavailable" not in str(exc):
                raise
        else:
            return time.perf_counter() - began


def _call(config: Path, argv: Sequence[str]) -> float:
    """Seconds until the process has ended."""
    code = "import daemon.cli; daemon.cli.main()"
    environment = {**python_environment(), "STRONGROOM_CONFIG": str(config), "HOME": str(config.parent)}
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-c", code, *argv], env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    elapsed_s = time.perf_counter() - began
    # A fleet with problems is what `status` ends with 2 for.
    if ended.returncode not in (0, 2) or "Traceback" in ended.stderr:
        raise RuntimeError(f"{' '.join(argv)} ended with {ended.returncode}:\n{ended.stderr}")
    return elapsed_s
