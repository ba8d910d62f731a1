"""Coordinators as processes of their own, and what they cost."""

from __future__ import annotations

import asyncio
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import tomli_w
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.control import STATUS
from contracts.subjects import control_subject
from daemon.embedded.private_files import write_private
from daemon.keys.master import MasterKey
from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_store import BenchStore, python_environment
from scripts.benches.procfs import cpu_seconds, peak_mib, reset_peak, resident_mib
from tests.servers.process import ServerProcess

_POLL_S = 0.005
_START_S = 120
_BUCKET = "bench"


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """What processes have used so far, or between two looks."""

    at: float
    coordinator_cpu_s: float
    server_cpu_s: float


class Coordinators:
    """`count` of them on one bus, all with the settings that production has by default."""

    def __init__(
        self,
        directory: Path,
        bus: FleetBus,
        store: BenchStore,
        count: int,
        profile_dir: Path | None = None,
        http_port: int | None = None,
    ) -> None:
        self._bus = bus
        config = directory / "coordinator.toml"
        master, credentials = directory / "master.key", directory / "store.toml"
        write_private(master, MasterKey.generate().reveal())
        write_private(credentials, tomli_w.dumps({"access_key": store.access_key, "secret_key": store.secret_key}))
        settings: dict[str, object] = {
            "master_key_file": str(master),
            "nats": {"url": bus.url, "nkey_file": str(bus.coordinator_seed)},
            "store": {
                "bucket": _BUCKET,
                "endpoint_url": store.endpoint_url,
                "region": store.region,
                "credentials_file": str(credentials),
                "create_bucket": True,
            },
        }
        if http_port is not None:
            settings["http"] = {"port": http_port}
        write_private(config, tomli_w.dumps(settings))
        self._logged = [0] * count
        self._processes = []
        for number in range(1, count + 1):
            name = f"coordinator-{number}"
            profile = ["-m", "cProfile", "-o", str(profile_dir.absolute() / f"{name}.prof")] if profile_dir else []
            argv = [sys.executable, *profile, "-m", "daemon", "--config", str(config)]
            self._processes.append(ServerProcess(name, argv, directory=directory, env=python_environment()))

    async def start(self, operator: Client) -> float:
        """Seconds from the start of the first until it answers `status`; returns when all of them run."""
        self._logged = [_size_of(process.log_path) for process in self._processes]
        began = time.perf_counter()
        # In this thread: a child dies with the thread that started it.
        self._processes[0].start(lambda: True)
        while not await _answers(operator):
            if not self._processes[0].running or time.perf_counter() - began > _START_S:
                raise RuntimeError(f"the coordinator does not answer:\n{self._processes[0].log_tail()}")
            await asyncio.sleep(_POLL_S)
        elapsed_s = time.perf_counter() - began
        for process, begin in zip(self._processes[1:], self._logged[1:], strict=True):
            process.start(partial(_is_ready, process.log_path, begin))
        return elapsed_s

    def stop(self) -> None:
        """As a service manager stops them."""
        for process in self._processes:
            process.stop()

    def kill(self) -> None:
        for process in self._processes:
            process.kill()

    def usage(self) -> Usage:
        return Usage(
            at=time.time(),
            coordinator_cpu_s=sum(cpu_seconds(process.pid) for process in self._processes),
            server_cpu_s=cpu_seconds(self._bus.pid),
        )

    def resident_mib(self) -> float:
        """Of one coordinator, on average."""
        return sum(resident_mib(process.pid) for process in self._processes) / len(self._processes)

    def peak_mib(self) -> float:
        """Of one coordinator since `reset_peak`, on average."""
        return sum(peak_mib(process.pid) for process in self._processes) / len(self._processes)

    def reset_peak(self) -> None:
        for process in self._processes:
            reset_peak(process.pid)

    def warnings(self) -> dict[str, int]:
        """How often each warning and error was logged since the last start, by its event."""
        found: dict[str, int] = {}
        for process, begin in zip(self._processes, self._logged, strict=True):
            for line in process.log_path.read_bytes()[begin:].splitlines():
                try:
                    entry = _line_decoder.decode(line)
                except msgspec.MsgspecError:
                    entry = _Line(event="(not a log line)", level="error")
                if entry.level in ("warning", "error", "critical"):
                    found[entry.event] = found.get(entry.event, 0) + 1
        return found


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_ready(log: Path, begin: int) -> bool:
    return b"coordinator.ready" in log.read_bytes()[begin:]


class _Line(msgspec.Struct, frozen=True):
    event: str
    level: str


_line_decoder = msgspec.json.Decoder(_Line)


async def _answers(operator: Client) -> bool:
    try:
        message = await operator.request(control_subject(STATUS.name), b"{}", timeout=1)
    except (NatsError, TimeoutError):
        return False
    return "Nats-Service-Error-Code" not in (message.headers or {})
