"""A list over HTTP: a page of 500 backups against a page of none, as whoever asks again and again sees it.

One service has 500 backups, another none; many others stand beside them.  Each measurement asks for both, one after the
other, over connections that stay open, and reads the answer whole.  `after a change` writes one of the 500 records before
each request, so that what the coordinator holds in memory is out of date; `first` is a service that nobody has asked for
since the coordinator started.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from contracts.access import Role
from contracts.control import TOKEN_CREATE, NewToken, TokenCreate
from contracts.logs import configure_logs
from contracts.subjects import control_subject
from contracts.wire import encode
from daemon.catalog.buckets import key
from daemon.embedded.ports import free_ports
from scripts.benches.fleet_bus import FleetBus
from scripts.benches.fleet_coordinators import Coordinators
from scripts.benches.fleet_records import Loader, Service
from scripts.benches.fleet_store import MEMORY, running_store
from scripts.benches.rows import Row, row, say
from tests.servers.directories import server_directory

SUMMARY = "a page of 500 backups over HTTP against an empty page: latency and size"

_PAGE: Final = 500
_EMPTY: Final = "an empty page"
_FULL, _NONE = Service("page", "full", "n00000"), Service("page", "none", "n00000")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repetitions", type=int, help="default 300, quick 30")
    parser.add_argument("--beside", type=int, help="backups of other services in the same bucket; default 20000, quick 1000")


def run(options: argparse.Namespace) -> Iterator[Row]:
    configure_logs(level="error")
    repetitions = options.repetitions or (30 if options.quick else 300)
    beside = options.beside if options.beside is not None else (1_000 if options.quick else 20_000)
    (port,) = free_ports(1)
    with server_directory("nats") as directory, running_store(MEMORY) as store:
        bus = FleetBus(directory)
        coordinators = Coordinators(directory, _started(bus), store, 1, http_port=port)
        try:
            yield from asyncio.run(_measure(bus, coordinators, port, repetitions, beside))
        finally:
            coordinators.kill()
            bus.kill()


def _started(bus: FleetBus) -> FleetBus:
    bus.start_to_load()
    return bus


async def _measure(bus: FleetBus, coordinators: Coordinators, port: int, repetitions: int, beside: int) -> list[Row]:
    async with bus.connect(bus.operator_seed) as client:
        loader = Loader(client)
        await loader.topology()
        firsts = [Service("page", f"first{number:03}", "n00000") for number in range(min(repetitions, 20))]
        services = [_FULL, _NONE, *firsts]
        await loader.projects(services)
        await loader.services(services)
        await loader.history([_FULL, *firsts], _PAGE)
        say(f"{beside:,} backups of other services")
        await loader.retired(0, beside)
        await coordinators.start(client)
        request = TokenCreate(name="bench", role=Role.VIEWER)
        answer = await client.request(control_subject(TOKEN_CREATE.name), encode(request), timeout=10)
        asker = _Asker(port, msgspec.json.decode(answer.data, type=NewToken).token)

        newest = (await loader.catalog.backups.select(key(_FULL.project, _FULL.name)))[-1]
        revision = newest.revision

        async def touch() -> None:
            nonlocal revision
            revision = await loader.catalog.backups.update(newest.key, newest.value, revision)

        def ask(service: Service) -> Callable[[], int]:
            return lambda: asker.ask(service)

        rows = []
        firsts_ms = [await _timed(ask(service)) for service in firsts]
        for _ in range(10):
            await asyncio.to_thread(asker.ask, _FULL)
        say("pages")
        full, none, changed = [], [], []
        for _ in range(repetitions):
            none.append(await _timed(ask(_NONE)))
            full.append(await _timed(ask(_FULL)))
            await touch()
            changed.append(await _timed(ask(_FULL)))
        rows.append(row(f"page of {_PAGE} backups", "wall", "ms", full, _EMPTY, none))
        rows.append(row(f"page of {_PAGE} backups, p99", "wall", "ms", [_p99(full)], _EMPTY, [_p99(none)]))
        rows.append(row(f"page of {_PAGE} backups, after a change", "wall", "ms", changed, _EMPTY, none))
        rows.append(row(f"page of {_PAGE} backups, first", "wall", "ms", firsts_ms, _EMPTY, none))
        size = [await asyncio.to_thread(asker.ask, _FULL)], [await asyncio.to_thread(asker.ask, _NONE)]
        rows.append(row(f"page of {_PAGE} backups", "stored", "bytes", size[0], _EMPTY, size[1]))
        return rows


async def _timed(call: Callable[[], int]) -> float:
    """Milliseconds."""
    began = time.perf_counter()
    await asyncio.to_thread(call)
    return (time.perf_counter() - began) * 1000


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


class _Asker:
    """One connection that stays open."""

    def __init__(self, port: int, token: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._headers = {"Authorization": f"Bearer {token}"}

    def ask(self, service: Service) -> int:
        """Bytes of the answer.  Raises: AssertionError for one that is not what was asked for."""
        path = f"/api/v1/backups?project={service.project}&service={service.name}&limit={_PAGE}"
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        body = answer.read()
        assert answer.status == 200, body[:300]
        return len(body)
