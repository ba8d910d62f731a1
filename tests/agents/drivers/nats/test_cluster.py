"""A cluster: streams that are out of reach, and backups of replicated streams."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import Error as NatsError

from agents.drivers.base import BackupPlan
from agents.drivers.nats.connection import NATSConnection
from agents.drivers.nats.driver import NATSDriver
from contracts.errors import RunFailed
from contracts.records import EngineHealth
from contracts.services import NATSOptions
from tests.agents.drivers.nats.content import ApiError, api, stream_content
from tests.agents.drivers.nats.engine import REPLACING, TARGET, NatsEngine
from tests.agents.drivers.nats.filling import publish_many
from tests.agents.drivers.playing import back_up, restore
from tests.servers.directories import server_directory
from tests.servers.nats_service_cluster import running_cluster
from tests.servers.waiting import eventually


async def _made(client: Client, name: str, **config: Any) -> None:
    async def attempt() -> bool:
        with contextlib.suppress(ApiError, NatsError, TimeoutError):
            await api(client, f"STREAM.CREATE.{name}", {"name": name, "storage": "file", **config}, timeout_s=1.0)
            return True
        return False

    await eventually(attempt, timeout_s=30)


async def test_a_cluster_is_backed_up_whole_or_not_at_all(host: NatsEngine, tmp_path: Path) -> None:
    """One after the other, since a cluster takes its time to begin."""
    with server_directory("nats", in_memory=True) as directory, running_cluster(directory) as cluster:
        client = await cluster.connect()
        try:
            driver = NATSDriver(NATSConnection(url=cluster.urls), runtime_dir=tmp_path, work_dir=tmp_path)
            await _made(client, "ORDERS", subjects=["orders.>"], num_replicas=3)
            await publish_many(client, "orders", 3_000_000, 30_000)
            config = {"durable_name": "billing", "ack_policy": "explicit", "filter_subject": "orders.1"}
            await api(client, "CONSUMER.DURABLE.CREATE.ORDERS.billing", {"stream_name": "ORDERS", "config": config})
            before = await stream_content(client, "ORDERS")

            async def is_as_before() -> bool:
                return await stream_content(client, "ORDERS") == before

            # In its own place, with its replicas.
            backup = await back_up(driver)
            await api(client, "STREAM.DELETE.ORDERS")
            assert (await restore(driver, backup, TARGET))[0]["warnings"] == []
            await eventually(is_as_before)  # a consumer's state is its own leader's, which may be a moment behind
            await publish_many(client, "orders", 300_000, 30_000)
            assert (await restore(driver, backup, REPLACING))[0]["replaced"] is True
            await eventually(is_as_before)

            # On a single server.
            (outcome,) = await restore(host.restoring_driver(), backup, TARGET)
            assert outcome["warnings"] == ["stream 'ORDERS' has 1 instead of 3 replicas, as the servers are fewer here"]
            async with host.server.connect() as single:
                alone = await stream_content(single, "ORDERS")
            assert alone["messages"] == before["messages"]
            assert alone["consumers"].keys() == before["consumers"].keys()

            # Of a stream whose only server is away, the others say so.
            await _made(client, "LONELY", subjects=["lonely"], num_replicas=1)
            leader = (await api(client, "STREAM.INFO.LONELY"))["cluster"]["leader"]
            cluster.kill(leader)

            async def degraded() -> EngineHealth | None:
                health = await driver.health()
                return health if health.missing_shards == ["LONELY"] else None

            health = await eventually(degraded, timeout_s=60)
            assert health.reachable
            assert health.error is not None
            assert health.error.code == "engine.degraded"
            without = NATSDriver(
                NATSConnection(url=cluster.urls), NATSOptions(exclude=["LONELY"]), runtime_dir=tmp_path, work_dir=tmp_path
            )
            # Side by side: a server that misses another takes seconds for a list.
            refused, plan = await asyncio.gather(driver.plan_backup(), without.plan_backup(), return_exceptions=True)
            assert isinstance(refused, RunFailed)
            assert refused.code == "engine.degraded"
            assert "'LONELY'" in refused.message
            assert isinstance(plan, BackupPlan)
            assert [planned.name for planned in plan.artifacts] == ["ORDERS"]
        finally:
            await client.close()
