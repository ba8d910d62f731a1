"""NATS under the contract suite."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from agents.drivers.base import DumpSource, PlannedArtifact
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.driver import NATSDriver
from agents.drivers.nats.streams import MARK, PROOF_PREFIX
from contracts.records import RestoreTarget
from contracts.services import NATSOptions
from contracts.tasks import cancel_surely
from tests.agents.drivers.contract import EngineUnderTest
from tests.agents.drivers.nats import filling
from tests.agents.drivers.nats.content import api, content_of, stream_names
from tests.servers.nats_service import APP, BACKUP, PASSWORDS, RESTORE, NatsService
from tests.servers.waiting import eventually

TARGET = RestoreTarget(project="acme", service="bus", node="n1")
REPLACING = RestoreTarget(project="acme", service="bus", node="n1", replace=True)


def connection(server: NatsService, user: str = BACKUP, *, password_of: str = "") -> NATSConnection:
    return NATSConnection(url=[server.url], user=user, password_file=str(server.password_file(password_of or user)))


class NatsEngine(EngineUnderTest):
    secrets = tuple(PASSWORDS.values())

    def __init__(self, server: NatsService, host: Path) -> None:
        self.server = server
        self.runtime_dir = host / "runtime"
        self.work_dir = host / "work"
        for directory in (self.runtime_dir, self.work_dir):
            directory.mkdir(mode=0o700)

    def driver(self, options: NATSOptions | None = None, user: str = BACKUP) -> NATSDriver:
        return NATSDriver(connection(self.server, user), options, runtime_dir=self.runtime_dir, work_dir=self.work_dir)

    def driver_with_wrong_credentials(self) -> NATSDriver:
        wrong = connection(self.server, password_of=APP)
        return NATSDriver(wrong, runtime_dir=self.runtime_dir, work_dir=self.work_dir)

    def restoring_driver(self) -> NATSDriver:
        return self.driver(user=RESTORE)

    def target(self, *, replace: bool = False) -> RestoreTarget:
        return REPLACING if replace else TARGET

    async def content(self) -> Any:
        async with self.server.connect() as client:
            return await content_of(client)

    async def content_of_target(self) -> Any:
        return await self.content()

    async def wipe(self) -> None:
        async with self.server.connect() as client:
            await filling.wipe(client)

    async def change(self) -> None:
        async with self.server.connect() as client:
            jetstream = client.jetstream()
            await jetstream.publish("orders.new", b"one more")
            await api(client, "STREAM.MSG.DELETE.LARGE", {"seq": 3})
            await api(client, "STREAM.PURGE.KV_settings", {"filter": "$KV.settings.key.0"})
            await api(client, "CONSUMER.DELETE.ORDERS.billing")
            await api(client, "STREAM.DELETE.MEMORY")
            config = (await api(client, "STREAM.INFO.INTEREST"))["config"]
            await api(client, "STREAM.UPDATE.INTEREST", {**config, "max_msgs": 1000, "description": "changed"})

    async def occupy_target(self) -> None:
        """It is the service itself."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        first = asyncio.Event()

        async def write() -> None:
            async with self.server.connect() as client:
                jetstream = client.jetstream()
                number = 0
                while True:
                    number += 1
                    await jetstream.publish(f"orders.{number % 5}.new", os.urandom(200))
                    await jetstream.publish(f"large.{number % 5}", os.urandom(5000))
                    if number % 20 == 1:
                        await filling.make(client, f"LATER_{number}", subjects=[f"later.{number}"])
                        await jetstream.publish(f"later.{number}", b"new")
                        first.set()

        writer = asyncio.create_task(write())
        try:
            await first.wait()
            yield
        finally:
            await cancel_surely(writer)
        assert writer.cancelled(), writer.exception()

    def check_written_meanwhile(self, before: Any, restored: Any) -> None:
        for name, stream in before.items():
            found = restored[name]
            assert found["config"] == stream["config"]
            assert {key: value for key, value in found["messages"].items() if key in stream["messages"]} == stream[
                "messages"
            ]
            assert found["consumers"].keys() == stream["consumers"].keys()
            added = [key for key in found["messages"] if key > stream["range"][1]]
            assert not added or added == list(range(added[0], found["range"][1] + 1)), name

    def large_artifact(self, planned: list[PlannedArtifact]) -> PlannedArtifact:
        return next(each for each in planned if each.name == filling.LARGE)

    async def break_dump(self, source: DumpSource) -> None:
        del source
        assert await self.server.cut_off_agents() == 1

    async def kill(self) -> None:
        self.server.kill()

    async def revive(self) -> None:
        self.server.start()

    async def leftovers(self) -> list[str]:
        async def gone() -> bool:
            return not await self.server.agents()

        await eventually(gone)  # the server notices the end of a connection a moment later
        async with self.server.connect() as client:
            names = await stream_names(client)
            marked = [
                name
                for name in names
                if MARK in ((await api(client, f"STREAM.INFO.{name}"))["config"].get("metadata") or {})
            ]
        proofs = [name for name in names if name.startswith(PROOF_PREFIX)]
        files = [str(path) for directory in (self.work_dir, self.runtime_dir) for path in directory.iterdir()]
        return marked + proofs + files

    async def expected_counts(self) -> dict[str, int]:
        async with self.server.connect() as client:
            found = {}
            for name in await stream_names(client):
                info = await api(client, f"STREAM.INFO.{name}")
                if not info["config"].get("allow_msg_ttl"):
                    found[name] = info["state"]["messages"]
        return found
