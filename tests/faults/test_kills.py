"""Whatever is killed in the middle of a backup: it ends completed or failed with a reason, and nothing is left behind."""

from __future__ import annotations

import signal

import pytest

from contracts import control
from contracts.records import RunState
from contracts.services import PostgreSQLOptions
from tests.faults.tools import PgTools
from tests.integration.platform import Platform, PlatformOperator
from tests.servers.postgres import Database
from tests.servers.waiting import eventually


async def begin(platform: Platform, operator: PlatformOperator, tools: PgTools, orders: Database) -> str:
    """A backup that has written half of its dump and waits; the id of the run."""
    tools.halt_half_way()
    await operator.set_up("node-1", options=PostgreSQLOptions(include=[orders.name], globals=False))
    backup = await operator.request()
    await eventually(tools.reached.exists, 30)
    assert len(platform.bucket.list_uploads()) == 1
    return backup.id


@pytest.fixture
def started(platform: Platform, tools: PgTools) -> Platform:
    platform.write_service(bin_dir=str(tools.directory))
    platform.start_coordinator()
    platform.start_agent()
    return platform


async def test_an_agent_killed_in_mid_dump_completes_in_a_second_attempt(
    started: Platform, tools: PgTools, orders: Database
) -> None:
    async with started.operator() as operator:
        run_id = await begin(started, operator, tools, orders)
        started.kill("agent-node-1")
        tools.go.touch()
        started.start_agent()
        backup = await operator.completed((await operator.newest()), 60)
        assert (backup.id, backup.attempt) == (run_id, 2)
        types = [event.type for event in await operator.stored_events()]
    assert types.count("backup.retried") == 1
    assert started.bucket.list_uploads() == []
    assert len(started.bucket.list_keys()) == 2  # the artifact and the manifest of the second attempt


async def test_an_agent_that_never_comes_back_fails_the_run_as_lost(
    platform: Platform, tools: PgTools, orders: Database
) -> None:
    platform.reaper["lost_after_s"] = 2.0
    platform.write_service(bin_dir=str(tools.directory))
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await begin(platform, operator, tools, orders)
        platform.kill("agent-node-1")
        await eventually(lambda: not tools.running())  # the dump tool does not outlive its agent
        failed = await operator.ended(await operator.newest())
        assert failed.error is not None
        assert failed.error.code == "agent.lost"
        await eventually(lambda: platform.bucket.list_uploads() == [])
    assert platform.bucket.list_keys() == []


async def test_an_agent_told_to_stop_gives_the_run_to_its_successor_at_once(
    started: Platform, tools: PgTools, orders: Database
) -> None:
    async with started.operator() as operator:
        await begin(started, operator, tools, orders)
        started.stop_one("agent-node-1", signal.SIGTERM)
        tools.go.touch()
        started.start_agent()
        backup = await operator.completed(await operator.newest())
        assert backup.attempt == 2
    assert started.bucket.list_uploads() == []


async def test_a_coordinator_killed_in_mid_dump_is_not_missed(started: Platform, tools: PgTools, orders: Database) -> None:
    async with started.operator() as operator:
        await begin(started, operator, tools, orders)
        started.kill("coordinator")
        tools.go.touch()
        started.start_coordinator()
        backup = await operator.completed(await operator.newest())
        assert backup.attempt == 1
        types = [event.type for event in await operator.stored_events()]
    assert types.count("backup.completed") == 1
    assert started.bucket.list_uploads() == []


async def test_a_coordinator_and_an_agent_killed_together_leave_nothing_behind(
    started: Platform, tools: PgTools, orders: Database
) -> None:
    async with started.operator() as operator:
        await begin(started, operator, tools, orders)
        started.kill("coordinator")
        started.kill("agent-node-1")
        tools.go.touch()
        started.start_coordinator()
        started.start_agent()
        backup = await operator.completed(await operator.newest())
        assert backup.attempt == 2
    assert started.bucket.list_uploads() == []
    assert len(started.bucket.list_keys()) == 2


async def test_a_nats_server_killed_in_mid_dump_is_waited_for(started: Platform, tools: PgTools, orders: Database) -> None:
    async with started.operator() as operator:
        await begin(started, operator, tools, orders)
    started.nats.kill()
    started.nats.start()
    tools.go.touch()
    async with started.operator() as operator:
        await operator.is_answered()
        backup = await operator.completed(await operator.newest())
    assert (backup.state, backup.attempt) == (RunState.COMPLETED, 1)
    assert started.bucket.list_uploads() == []


async def test_a_cancelled_backup_stops_its_dump_and_leaves_nothing(
    started: Platform, tools: PgTools, orders: Database
) -> None:
    async with started.operator() as operator:
        run_id = await begin(started, operator, tools, orders)
        reference = control.RunRefRequest(project="acme", service="orders", id=run_id)
        cancelled = await operator.call(control.BACKUP_CANCEL, reference)
        assert cancelled.state is RunState.CANCELLED
        await eventually(lambda: "run.dropped" in started.log("agent-node-1"))
        # The agent is free again, and the service as well.
        tools.go.touch()
        await operator.completed(await operator.request_when_free())
    assert started.bucket.list_uploads() == []
    assert all(run_id not in key for key in started.bucket.list_keys())


@pytest.mark.parametrize(
    ("fault", "code", "words"),
    [
        ("fail_half_way", "dump.failed", "the disk has a scratch"),
        ("write_nothing", "dump.incomplete", ""),
        ("die", "dump.failed", ""),
    ],
)
async def test_a_dump_tool_that_fails_fails_the_run_though_bytes_were_written(
    started: Platform, tools: PgTools, orders: Database, fault: str, code: str, words: str
) -> None:
    getattr(tools, fault)()
    async with started.operator() as operator:
        await operator.set_up("node-1", options=PostgreSQLOptions(include=[orders.name], globals=False))
        failed = await operator.ended(await operator.request())
        await eventually(lambda: started.bucket.list_uploads() == [])
    assert failed.state is RunState.FAILED
    assert failed.error is not None
    assert failed.error.code == code
    assert words in (failed.error.detail or "")
    assert started.bucket.list_keys() == []
