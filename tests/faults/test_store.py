"""The object store fails in the middle of a backup: the run says so, and nothing is left once the store is back."""

from __future__ import annotations

from contracts.records import RunState
from contracts.services import PostgreSQLOptions
from tests.faults.tools import PgTools
from tests.integration.platform import Platform
from tests.servers.nats import NatsServer
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.s3 import S3Factory
from tests.servers.waiting import eventually

IMPATIENT = {"retry": {"tries": 3, "total_s": 4.0, "first_pause_s": 0.1, "longest_pause_s": 0.5}, "request_stall_s": 3.0}


async def test_a_full_bucket_fails_the_run_and_a_later_one_succeeds(
    platform: Platform, tools: PgTools, orders: Database
) -> None:
    platform.upload.update(IMPATIENT)
    platform.write_service(bin_dir=str(tools.directory))
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await operator.set_up("node-1", options=PostgreSQLOptions(include=[orders.name], globals=False))
        tools.halt_half_way()
        run = await operator.request()
        await eventually(tools.reached.exists, 30)
        platform.bucket.close_to_writes()
        tools.go.touch()
        failed = await operator.ended(run)
        assert failed.state is RunState.FAILED
        assert failed.error is not None
        assert failed.error.code == "upload.failed"
        assert "500" in failed.error.message
        platform.bucket.open_to_writes()
        await eventually(lambda: platform.bucket.list_uploads() == [])
        assert platform.bucket.list_keys() == []
        await operator.completed(await operator.request_when_free())


async def test_a_dead_store_fails_the_run_and_is_cleaned_up_after_when_it_is_back(
    s3_factory: S3Factory, nats_server: NatsServer, postgres: PostgresCluster, tools: PgTools, orders: Database
) -> None:
    server = s3_factory()
    home = tools.directory.parent / "own"
    home.mkdir()
    platform = Platform(home, nats_server, server.create_bucket(), postgres)
    try:
        platform.upload.update(IMPATIENT)
        platform.write_service(bin_dir=str(tools.directory))
        platform.start_coordinator()
        platform.start_agent()
        async with platform.operator() as operator:
            await operator.set_up("node-1", options=PostgreSQLOptions(include=[orders.name], globals=False))
            tools.halt_half_way()
            run = await operator.request()
            await eventually(tools.reached.exists, 30)
            server.kill()
            tools.go.touch()
            failed = await operator.ended(run, 100)
            assert failed.state is RunState.FAILED
            assert failed.error is not None
            assert failed.error.code == "store.unavailable", failed.error
            server.start()
            await eventually(lambda: platform.bucket.list_uploads() == [], 30)
            assert platform.bucket.list_keys() == []
            await operator.completed(await operator.request_when_free())
    finally:
        platform.stop()
