"""A run that fails where it is gets its chance on another healthy node, and nothing is left of the attempt before."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from contracts import control
from contracts.asks import CheckRun
from contracts.errors import CODES, Conflict, ErrorInfo
from contracts.ids import due_run_id
from contracts.object_keys import backup_prefix
from contracts.policy.schedule import Daily
from contracts.records import Alive, BackupRecord, DueState, EngineHealth, RunState, ServiceRecord, Trigger
from contracts.services import PostgreSQLOptions
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.reaper import ReaperSettings
from daemon.runs.moving import may_move
from daemon.runs.placement import place_due
from daemon.runs.transitions import move
from daemon.settings import CoordinatorSettings
from tests.daemon.robots import HEALTHY, RobotAgent
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.daemon.speaking import SpeakingAgent
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

NODES = ("node-1", "node-2")
DAILY = Daily(at="00:30")
UNREACHABLE = ErrorInfo(code="engine.unreachable", message="connection refused")
DUMP_FAILED = ErrorInfo(code="dump.failed", message="the disk under the database is broken")


def due_on(node: str) -> datetime:
    """A due time of `acme/orders` whose run is given to this one of both nodes, while both are healthy."""
    service = ServiceRecord(
        project="acme", name="orders", created_at=at("2026-01-01"), options=PostgreSQLOptions(), nodes=list(NODES)
    )
    alive = {each: Alive(node=each, seen_at=at("2026-01-01"), services={"acme/orders": HEALTHY}) for each in NODES}
    for day in range(100):
        moment = at("2026-03-02 00:30") + timedelta(days=day)
        place = place_due(service, alive, due_run_id("acme", "orders", moment))
        if place is not None and place.node == node:
            return moment
    raise AssertionError("it has to be drawn some time")


DUE = due_on("node-1")
START = DUE - timedelta(minutes=30)
DUE_ON_2 = due_on("node-2")


def failing(made: Scene, error: ErrorInfo, *nodes: str) -> None:
    """From now on every backup on these nodes fails so, after everything was uploaded."""
    for node in nodes:
        made.robots[node].failure = lambda _: error
        made.robots[node].fails_late = True


def attempts(robot: RobotAgent) -> list[int]:
    return [request.attempt for request in robot.taken]


@pytest.mark.parametrize("error", [UNREACHABLE, DUMP_FAILED], ids=lambda error: error.code)
async def test_a_due_run_that_fails_for_a_reason_of_its_node_is_done_by_the_other(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket, error: ErrorInfo
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        await made.add_service(schedule=DAILY)
        failing(made, error, "node-1")
        entry = await made.passes(DUE)
        assert entry.state is DueState.COMPLETED
        (done,) = await made.backups()
        assert (done.id, done.state, done.attempt, done.node) == (entry.run_id, RunState.COMPLETED, 2, "node-2")
        assert (done.tried_nodes, done.error) == (["node-1"], None)
        assert done.placement == f"the only healthy node, healthy, after node-1 failed ({error.code})"
        assert (attempts(made.robots["node-1"]), attempts(made.robots["node-2"])) == ([1], [2])
        (retried,) = await made.events("backup.retried")
        assert (retried.backup_id, retried.node, retried.attempt) == (done.id, "node-2", 2)
        assert retried.reason == f"{error.code}: {error.message}"
        assert not await made.events("backup.failed")
        # What the first attempt had uploaded is gone, and counts no more.
        prefix = backup_prefix("acme", "orders", done.id)
        assert bucket.list_keys() == [done.artifacts[0].object_key, done.manifest_key]
        assert done.artifacts[0].object_key.startswith(f"{prefix}2/")
        assert bucket.list_uploads() == []
        usage = await made.usage()
        assert (usage.stored_bytes, usage.reserved_bytes) == (done.size_bytes, 0)
        assert usage.check is not None
        assert usage.check.is_exact


async def test_a_run_that_somebody_asked_for_moves_too_unless_they_named_the_node(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        await made.add_service()
        failing(made, UNREACHABLE, "node-1")
        moved = await made.make()
        assert (moved.trigger, moved.state, moved.node) == (Trigger.MANUAL, RunState.COMPLETED, "node-2")
        named = await made.make(node="node-1")
        assert (named.state, named.node, named.attempt) == (RunState.FAILED, "node-1", 1)
        assert (named.placement, named.error) == ("asked for by name", UNREACHABLE)
        assert len(made.robots["node-2"].taken) == 1
        assert len(bucket.list_keys()) == 2


async def test_a_run_that_fails_on_every_node_has_failed_with_the_last_reason(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        await made.add_service(schedule=DAILY)
        failing(made, UNREACHABLE, "node-1")
        failing(made, DUMP_FAILED, "node-2")
        entry = await made.passes(DUE)
        assert (entry.state, entry.reason) == (DueState.FAILED, DUMP_FAILED.message)
        (failed,) = await made.backups()
        assert (failed.state, failed.attempt, failed.node) == (RunState.FAILED, 2, "node-2")
        assert (failed.tried_nodes, failed.error) == (["node-1"], DUMP_FAILED)
        assert [event.attempt for event in await made.events("backup.failed")] == [2]
        assert bucket.list_keys() == []
        assert (await made.usage()).reserved_bytes == 0


async def test_what_no_other_node_would_do_better_fails_at_once(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        await made.add_service()
        for count, code in enumerate(("quota.exceeded", "key.unavailable", "store.full", "upload.denied"), start=1):
            failing(made, ErrorInfo(code=code, message="nothing that the node is to blame for"), *NODES)
            failed = await made.make()
            assert (failed.state, failed.attempt, failed.tried_nodes) == (RunState.FAILED, 1, [])
            assert sum(len(robot.taken) for robot in made.robots.values()) == count


async def test_a_run_does_not_move_to_a_node_that_is_not_healthy(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        await made.add_service()
        made.robots["node-2"].health["acme/orders"] = EngineHealth(reachable=False)
        await made.alive()
        failing(made, DUMP_FAILED, "node-1")
        failed = await made.make()
        assert (failed.state, failed.attempt, failed.error) == (RunState.FAILED, 1, DUMP_FAILED)
        assert made.robots["node-2"].taken == []


@pytest.mark.nodes("node-1", "node-2", "node-3")
async def test_no_more_attempts_are_made_than_the_settings_allow(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    settings = msgspec.structs.replace(settings, max_attempts=2)
    nodes = ("node-1", "node-2", "node-3")
    async with scene(settings, nats_server, start=START, nodes=nodes) as made:
        await made.add_service(schedule=DAILY)
        failing(made, DUMP_FAILED, *nodes)
        assert (await made.passes(DUE)).state is DueState.FAILED
        (failed,) = await made.backups()
        assert (failed.attempt, len(failed.tried_nodes)) == (2, 1)
        assert sum(len(robot.taken) for robot in made.robots.values()) == 2


async def test_a_run_of_a_service_that_was_deleted_meanwhile_may_end_but_does_not_begin_anew(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, nodes=NODES) as made:
        for service in ("orders", "events"):
            await made.add_service(service)
        await made.alive()
        failing(made, DUMP_FAILED, "node-1")
        made.robot.may_finish.clear()
        runs = [await made.request(service) for service in ("orders", "events")]
        await eventually(lambda: len(made.robot.taken) == 2)
        await made.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="orders"))
        made.robot.may_finish.set()
        for service in ("orders", "events"):
            await made.idle(service)
        assert [(run.state, run.attempt) for run in [await made.record(run) for run in runs]] == [
            (RunState.FAILED, 1),
            (RunState.COMPLETED, 2),
        ]


@asynccontextmanager
async def silent_node(made: Scene, nats_server: NatsServer) -> AsyncIterator[SpeakingAgent]:
    """`node-2` of `acme/orders` beside the robot on `node-1`: healthy by its only heartbeat, it does what the test says."""
    await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
    await made.add_service(schedule=DAILY, nodes=NODES)
    async with nats_server.connect_node("node-2") as client:
        agent = SpeakingAgent(client, "node-2")

        async def heard() -> bool:
            await agent.beat(services={"acme/orders": HEALTHY})
            views = (await made.operator.call(control.NODE_LIST, control.Nothing())).nodes
            return all(view.alive is not None for view in views)

        await eventually(heard)
        yield agent


async def has_moved(made: Scene) -> BackupRecord | None:
    """The record once the second attempt is under way."""
    (record,) = await made.backups()
    return record if (record.attempt, record.state) == (2, RunState.RUNNING) else None


async def test_a_lost_agent_loses_its_run_to_another_node_and_its_late_report_is_refused(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    # Longer than the robot takes to name what it works on in a heartbeat, one a second.
    reaper = ReaperSettings(every_s=0.1, lost_after_s=2.5)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with (
        scene(settings, nats_server, start=DUE_ON_2 - timedelta(hours=1)) as made,
        silent_node(made, nats_server) as lost,
    ):
        made.robot.may_finish.clear()
        made.clock.set(DUE_ON_2)
        run = await eventually(lambda: first_run(made))
        assert (await lost.pull()).run_id == run.id
        await lost.claim(run)
        artifact = await lost.upload(run, b"uploaded before the agent was lost")
        await lost.put(await lost.open(run, index=2, name="second"), b"half uploaded")

        moved = await eventually(lambda: has_moved(made), 20)
        assert (moved.node, moved.tried_nodes) == ("node-1", ["node-2"])
        assert moved.placement.endswith("after node-2 failed (agent.lost)")
        (retried,) = await made.events("backup.retried")
        assert (retried.reason or "").startswith("agent.lost: the agent on node node-2")
        abandoned = f"{backup_prefix('acme', 'orders', run.id)}1/"
        assert not [name for name, _ in bucket.list_uploads() if name.startswith(abandoned)]
        assert bucket.list_keys(abandoned) == []

        # It was not dead, only slow: whatever it says now is too late.
        await lost.report(lost.finished(run, artifact))
        with pytest.raises(Conflict, match="belongs to node node-1") as caught:
            await lost.ask(run, CheckRun(run_id=run.id, attempt=1))
        assert caught.value.code == "run.not_current"
        refused = (await eventually(lambda: made.events("request.refused")))[0]
        assert refused.node == "node-2"
        assert refused.error is not None
        assert refused.error.code == "run.not_current"

        made.robot.may_finish.set()
        assert (await made.passes(DUE_ON_2)).state is DueState.COMPLETED
        done = await made.record(run)
        assert (done.state, done.attempt, done.node) == (RunState.COMPLETED, 2, "node-1")
        assert bucket.list_keys() == [done.artifacts[0].object_key, done.manifest_key]


async def test_a_request_that_no_agent_takes_up_in_time_goes_to_a_node_that_is_alive(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(every_s=0.1, start_deadline_s=1)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with (
        scene(settings, nats_server, start=DUE_ON_2 - timedelta(hours=1)) as made,
        silent_node(made, nats_server) as deaf,
    ):
        entry = await made.passes(DUE_ON_2)
        assert entry.state is DueState.COMPLETED
        (done,) = await made.backups()
        assert (done.state, done.attempt, done.node, done.tried_nodes) == (RunState.COMPLETED, 2, "node-1", ["node-2"])
        assert done.placement.endswith("after node-2 failed (node.unavailable)")
        # The first request still lies in the queue; who takes it up after all is told that it is nobody's any more.
        assert (await deaf.pull()).attempt == 1
        with pytest.raises(Conflict, match="belongs to node node-1"):
            await deaf.claim(done)


async def test_a_move_that_was_cut_off_after_its_first_write_is_carried_on(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=DUE_ON_2 - timedelta(hours=1)) as made,
        silent_node(made, nats_server) as lost,
    ):
        made.clock.set(DUE_ON_2)
        run = await eventually(lambda: first_run(made))
        await lost.pull()
        await lost.claim(run)
        await lost.upload(run, b"closed by the first attempt")
        await lost.put(await lost.open(run, index=2, name="second"), b"left open by the first attempt")
        async with nats_server.connect_coordinator() as client:
            backups = Catalog(client, client.jetstream()).backups
            stored = await backups.get(key("acme", "orders", run.id))
            assert stored is not None
            await backups.update(stored.key, move(stored.value, "node-1", "moved by one that was cut off"), stored.revision)
        assert (await made.passes(DUE_ON_2)).state is DueState.COMPLETED
        done = await made.record(run)
        assert (done.attempt, done.node) == (2, "node-1")
        assert bucket.list_keys() == [done.artifacts[0].object_key, done.manifest_key]
        assert bucket.list_uploads() == []


async def first_run(made: Scene) -> BackupRecord | None:
    return next(iter(await made.backups()), None)


def test_a_run_moves_for_causes_that_lie_in_its_node_and_for_no_others() -> None:
    run = BackupRecord(
        id="20260301T003000Z-aaaa",
        project="acme",
        service="orders",
        kind="postgresql",
        state=RunState.RUNNING,
        trigger=Trigger.SCHEDULE,
        requested_at=DUE,
        node="node-1",
        placement="",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="",
    )

    def moving(record: BackupRecord) -> set[str]:
        return {code for code in CODES if may_move(record, ErrorInfo(code=code, message=""), 3)}

    assert moving(run) == {
        *("agent.lost", "agent.internal"),
        *("dump.failed", "dump.incomplete", "dump.stalled"),
        *("engine.unreachable", "engine.auth_failed", "engine.permission", "engine.version_skew", "engine.tool_missing"),
        *(
            "engine.degraded",
            "engine.refused",
            "engine.database_not_found",
            "spool.full",
            "service.not_configured",
            "upload.failed",
        ),
        *("node.unavailable", "node.not_found", "node.exists", "node.in_use", "node.identity_changed"),
    }
    assert moving(msgspec.structs.replace(run, attempt=2)) == moving(run)
    assert moving(msgspec.structs.replace(run, attempt=3)) == set()
    assert moving(msgspec.structs.replace(run, pinned=True)) == set()
    for state in set(RunState) - {RunState.REQUESTED, RunState.RUNNING}:
        assert moving(msgspec.structs.replace(run, state=state)) == set()
