"""What Prometheus learns of a real agent that backs a real database up."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import httpx
import pytest

from tests.daemon.scraping import OPENMETRICS, Samples
from tests.integration.platform import Platform
from tests.servers.process import ServerFailed
from tests.servers.waiting import eventually

ORDERS = {"project": "acme", "service": "orders"}


def listening(platform: Platform) -> str:
    lines = (json.loads(line) for line in platform.log("agent-node-1").splitlines() if line.startswith("{"))
    return next(str(line["url"]) for line in lines if line["event"] == "metrics.listening")


async def scraped(url: str, condition: Callable[[Samples], bool]) -> Samples:
    async with httpx.AsyncClient() as http:

        async def fits() -> Samples | None:
            answer = await http.get(url, headers={"Accept": OPENMETRICS})
            found = Samples(answer.text, openmetrics=True)
            return found if condition(found) else None

        return await eventually(fits, 30)


async def test_an_agent_tells_of_its_backups_its_engines_and_its_bus(platform: Platform) -> None:
    platform.write_service()
    platform.start_coordinator()
    async with platform.operator() as operator:
        platform.start_agent(metrics={"port": 0})
        await operator.set_up("node-1")
        await operator.reached("node-1", "acme/orders")
        backup = await operator.completed(await operator.request())
        url = listening(platform)
        found = await scraped(url, lambda found: bool(found.series("strongroom_agent_last_backup_success")))
        of = {"kind": "backup", **ORDERS}
        assert found.value("strongroom_agent_runs_total", **of, outcome="completed") == 1
        assert found.value("strongroom_agent_runs_total", **of, outcome="failed") == 0
        assert found.value("strongroom_agent_last_backup_success", **ORDERS) == 1
        assert found.value("strongroom_agent_native_bytes_total", **of) == backup.plain_bytes
        stored = sum(artifact.stored_bytes for artifact in backup.artifacts)
        assert found.value("strongroom_agent_stored_bytes_total", **of) == stored
        compressed = found.value("strongroom_agent_compressed_bytes_total", **of)
        assert compressed is not None
        assert 0 < compressed < stored, "what is stored has the headers and tags of the encryption too"
        assert found.value("strongroom_agent_engine_reachable", **ORDERS) == 1
        assert found.value("strongroom_agent_nats_connected") == 1
        assert found.value("strongroom_agent_spool_bytes") == 0
        assert found.value("process_resident_memory_bytes")

        platform.write_service(database="there_is_no_such_database", port=1)
        failed = await operator.ended(await operator.request())
        assert failed.error is not None
        found = await scraped(url, lambda found: found.value("strongroom_agent_last_backup_success", **ORDERS) == 0)
        assert found.value("strongroom_agent_runs_total", **of, outcome="failed") == 1
        good = found.value("strongroom_agent_last_completed_backup_timestamp_seconds", **ORDERS)
        ended = found.value("strongroom_agent_last_backup_end_timestamp_seconds", **ORDERS)
        assert good is not None
        assert ended is not None
        assert good < ended
    assert "strongroom_service" not in str(found.names), "only the coordinator speaks for the fleet"


def test_a_port_that_is_taken_is_told_of_by_its_setting(platform: Platform) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(ServerFailed, match=r"config\.invalid.*cannot listen"),
    ):
        platform.start_agent(metrics={"port": taken.getsockname()[1]})
