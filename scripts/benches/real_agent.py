"""The agent itself, as it runs on a host: with its NATS connection, a coordinator, and the driver for PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

from contracts.records import RunState
from contracts.services import PostgreSQLOptions
from scripts.benches.cost import Cost
from scripts.benches.procfs import cpu_seconds, peak_mib, reset_peak, resident_mib
from tests.integration.platform import Platform, PlatformOperator
from tests.servers.directories import server_directory
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import Bucket

_PATIENCE_S = 600


class RealAgent:
    """`python -m agents run`, and what its backups of one database cost."""

    def __init__(self, operator: PlatformOperator, pid: int) -> None:
        self._operator = operator
        self._pid = pid

    @property
    def resident_mib(self) -> float:
        return resident_mib(self._pid)

    async def backup(self) -> Cost:
        """From the request until the coordinator has recorded it as completed."""
        reset_peak(self._pid)
        cpu_before = cpu_seconds(self._pid)
        record = await self._operator.ended(await self._operator.request(), _PATIENCE_S)
        if record.state is not RunState.COMPLETED or record.finished_at is None:
            raise RuntimeError(f"the backup failed: {record.error}")
        return Cost(
            wall_s=(record.finished_at - record.requested_at).total_seconds(),
            cpu_s=cpu_seconds(self._pid) - cpu_before,
            memory_mib=peak_mib(self._pid),
            stored_bytes=sum(artifact.stored_bytes for artifact in record.artifacts),
        )


@asynccontextmanager
async def real_agent(
    directory: Path, bucket: Bucket, cluster: PostgresCluster, database: Database
) -> AsyncIterator[RealAgent]:
    """Everything that a backup takes, each in a process of its own; the agent has that one database to look after."""
    with ExitStack() as stack:
        nats_server = NatsServer(stack.enter_context(server_directory("nats")), ["node-1"])
        stack.callback(nats_server.kill)
        nats_server.start()
        platform = Platform(directory, nats_server, bucket, cluster)
        stack.callback(platform.stop)
        platform.write_service()
        platform.start_coordinator()
        agent = platform.start_agent()
        async with platform.operator() as operator:
            await operator.set_up("node-1", options=PostgreSQLOptions(include=[database.name], globals=False))
            yield RealAgent(operator, agent.pid)
