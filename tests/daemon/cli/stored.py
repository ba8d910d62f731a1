"""Backups in a real bucket and catalogue whose every byte the test knows, made by an agent's sentences."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import zstandard

from contracts import control
from contracts.age import Encryptor, Recipient
from contracts.asks import Closed, Grant, MoreParts
from contracts.records import ArtifactRecord, BackupRecord, RunState
from contracts.services import PostgreSQLOptions
from daemon.settings import CoordinatorSettings
from tests.daemon.running import Operator, running_coordinator
from tests.daemon.speaking import SpeakingAgent
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually


@dataclass(frozen=True)
class Vault:
    """A coordinator with a project `acme` and a service `orders`, and what stores backups in it."""

    operator: Operator
    agent: SpeakingAgent
    url: str = ""
    """Where the coordinator listens for HTTP, if it does."""

    async def store(self, **contents: bytes) -> BackupRecord:
        """A completed backup with one artifact for each."""
        create = control.BackupCreate(project="acme", service="orders")
        record = await self.operator.call(control.BACKUP_CREATE, create)
        await self.agent.pull()
        await self.agent.claim(record)
        artifacts = [
            await self._upload(record, index, name, plain) for index, (name, plain) in enumerate(contents.items(), start=1)
        ]
        await self.agent.report(self.agent.finished(record, *artifacts))
        reference = control.RunRefRequest(project="acme", service="orders", id=record.id)

        async def is_completed() -> BackupRecord | None:
            found = (await self.operator.call(control.BACKUP_LIST, control.BackupList())).backups
            (now,) = [each for each in found if each.id == reference.id]
            return now if now.state is RunState.COMPLETED else None

        return await eventually(is_completed)

    async def _upload(self, record: BackupRecord, index: int, name: str, plain: bytes) -> ArtifactRecord:
        data = seal(plain, record.recipients)
        grant = await self.agent.open(record, 1, index, name)
        parts = []
        size = grant.base_part_bytes
        for number, at in enumerate(range(0, len(data), size), start=1):
            if all(part.number != number for part in grant.parts):
                more = MoreParts(run_id=record.id, attempt=1, index=index, first=number, count=1)
                answer = await self.agent.ask(record, more)
                assert isinstance(answer, Grant)
                grant = answer
            parts.append(await self.agent.put(grant, data[at : at + size], number))
        closing = self.agent.closing(record, data, *parts, index=index)
        answer = await self.agent.ask(record, msgspec.structs.replace(closing, plain_bytes=len(plain)))
        assert isinstance(answer, Closed)
        return answer.artifact


def seal(plain: bytes, recipients: list[str]) -> bytes:
    """`age(zstd(plain))`."""
    encryptor = Encryptor([Recipient.parse(text) for text in recipients])
    return encryptor.preamble + encryptor.update(zstandard.ZstdCompressor().compress(plain)) + encryptor.finish()


def record_of(data: bytes, plain: bytes, name: str = "orders") -> ArtifactRecord:
    """The record of an artifact whose object is `data`."""
    return ArtifactRecord(
        name=name,
        kind="database",
        format="pg_dump-custom",
        object_key=f"strongroom/v1/acme/orders/x/1/0001-{name}.pgdump.zst.age",
        stored_bytes=len(data),
        plain_bytes=len(plain),
        sha256=hashlib.sha256(data).hexdigest(),
    )


@asynccontextmanager
async def running_vault(
    settings: CoordinatorSettings, nats_server: NatsServer, *, is_new: bool = True
) -> AsyncIterator[Vault]:
    """Ready to store backups; its agent is alive for as long as its first heartbeat is remembered.

    With `is_new=False` everything is there already, from a vault before, whose agent is no more.
    """
    async with (
        running_coordinator(settings) as url,
        nats_server.connect_operator() as operator_client,
        nats_server.connect_node("node-1") as node_client,
    ):
        operator, agent = Operator(operator_client), SpeakingAgent(node_client, "node-1")
        if not is_new:
            yield Vault(operator, agent, url)
            return
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        add = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["node-1"])
        await operator.call(control.SERVICE_ADD, add)

        async def is_alive() -> bool:
            await agent.beat()
            return (await operator.call(control.NODE_LIST, control.Nothing())).nodes[0].alive is not None

        await eventually(is_alive)
        yield Vault(operator, agent, url)
