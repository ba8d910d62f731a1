"""Accidents in the wrong moment, and agents that mean no good: what is finished stays, others' things are out of reach."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import redirect_stderr
from pathlib import Path

import msgspec
import pytest
import structlog
import zstandard

from contracts import control
from contracts.asks import AbortArtifact
from contracts.errors import Corrupt, InvalidInput
from contracts.logs import configure_logs
from contracts.object_keys import manifest_key
from contracts.records import ProjectRecord, RunKind, RunRef, RunState
from contracts.reports import Progress
from contracts.subjects import PROJECTS_BUCKET, agent_progress_subject
from contracts.wire import encode, utc_now
from daemon.catalog.buckets import RecordBucket, ensure_bucket
from daemon.reaper import ReaperSettings
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.daemon.speaking import SpeakingAgent, sealed
from tests.daemon.test_runs import DATA, come_alive, reaches, record_of, request, set_up
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket, S3Factory
from tests.servers.waiting import eventually


@pytest.fixture
async def agent(nats_server: NatsServer) -> AsyncIterator[SpeakingAgent]:
    async with nats_server.connect_node("node-1") as client:
        yield SpeakingAgent(client, "node-1")


async def moments(seconds: float) -> AsyncIterator[None]:
    """Again and again until the time is over: for showing that something does not happen in it."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while loop.time() < end:
        yield


async def test_a_backup_whose_report_waits_for_the_store_is_not_lost(
    tmp_path: Path, nats_server: NatsServer, s3_factory: S3Factory
) -> None:
    store = s3_factory()
    bucket = store.create_bucket()
    reaper = ReaperSettings(every_s=0.05, lost_after_s=0.5)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with (
        running_coordinator(settings),
        nats_server.connect_operator() as client,
        nats_server.connect_node("node-1") as node,
    ):
        operator, agent = Operator(client), SpeakingAgent(node, "node-1")
        await set_up(operator, agent)
        run = await request(operator)
        await agent.claim(run)
        await agent.beat([RunRef(run_id=run.id, attempt=1)])
        artifact = await agent.upload(run, DATA)
        store.kill()
        await agent.report(agent.finished(run, artifact))
        # The agent names the run no longer, for longer than it takes to be lost.
        async for _ in moments(1.5):
            await agent.beat()
            assert (await record_of(operator, run)).state is RunState.RUNNING
        store.start()
        done = await reaches(operator, run, RunState.COMPLETED, 30)
    assert bucket.read(done.artifacts[0].object_key) == DATA


async def test_a_manifest_left_by_a_cut_off_attempt_does_not_stand_in_the_way(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    bucket.write(manifest_key("acme", "orders", run.id), b"what a coordinator wrote before it was cut off")
    await agent.report(agent.finished(run, await agent.upload(run, DATA)))
    done = await reaches(operator, run, RunState.COMPLETED)
    assert json.loads(bucket.read(done.manifest_key))["id"] == run.id


async def test_a_closed_artifact_cannot_be_aborted_any_more(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    artifact = await agent.upload(run, DATA)
    with pytest.raises(InvalidInput, match="closed already"):
        await agent.ask(run, AbortArtifact(run_id=run.id, attempt=1, index=1))
    assert bucket.read(artifact.object_key) == DATA


async def test_a_request_that_waits_behind_other_runs_of_its_agent_is_not_missed(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=ReaperSettings(every_s=0.05, start_deadline_s=0.3))
    async with (
        running_coordinator(settings),
        nats_server.connect_operator() as client,
        nats_server.connect_node("node-1") as node,
    ):
        operator, agent = Operator(client), SpeakingAgent(node, "node-1")
        await set_up(operator, agent)
        await agent.beat([RunRef(run_id="20261122T000512Z-busy", attempt=1)])
        run = await request(operator)
        async for _ in moments(1.0):
            await agent.beat([RunRef(run_id="20261122T000512Z-busy", attempt=1)])
            assert (await record_of(operator, run)).state is RunState.REQUESTED
        await agent.beat()  # free, and still it does not take the request
        await reaches(operator, run, RunState.MISSED)


async def test_no_node_can_pass_its_lines_off_as_another_projects(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    seen: list[str] = []

    async def take(message: object) -> None:
        seen.append(message.subject)  # type: ignore[attr-defined]

    await operator.client.subscribe("strongroom.progress.>", cb=take)
    await operator.client.flush()
    honest = Progress(
        run=RunKind.BACKUP,
        project="acme",
        service="orders",
        run_id=run.id,
        attempt=1,
        phase="dumping",
        artifact="",
        artifact_index=1,
        artifact_count=1,
        plain_bytes=0,
        stored_bytes=0,
        estimate_bytes=0,
        elapsed_s=0,
    )
    forged = msgspec.structs.replace(honest, project="other", service="books")
    for line in (honest, forged, honest):
        await agent.client.publish(agent_progress_subject("node-1"), encode(line))
    await eventually(lambda: len(seen) >= 2)
    assert set(seen) == {f"strongroom.progress.acme.orders.{run.id}"}


async def test_a_node_that_is_removed_and_added_again_shows_its_key_anew(operator: Operator, agent: SpeakingAgent) -> None:
    await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
    await come_alive(operator, agent)
    await operator.call(control.NODE_REMOVE, control.NodeRef(node="node-1"))
    await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))

    async def recipient() -> str:
        await agent.beat()
        return (await operator.call(control.NODE_LIST, control.Nothing())).nodes[0].record.recipient

    assert await eventually(recipient) == str(agent.identity.recipient)


async def test_an_inventory_that_unpacks_to_gigabytes_is_refused(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    bomb = zstandard.ZstdCompressor().compress(b'"' + b"a" * (80 * 1024 * 1024) + b'"')
    report = agent.finished(run, await agent.upload(run, DATA))
    await agent.report(msgspec.structs.replace(report, sealed_inventory=sealed(bomb, run.recipients)))
    await reaches(operator, run, RunState.COMPLETED)
    with pytest.raises(Corrupt, match="more than"):
        await operator.call(control.BACKUP_SHOW, control.RunRefRequest(project="acme", service="orders", id=run.id))


async def test_a_list_too_large_for_one_answer_is_whole_all_the_same(nats_server: NatsServer) -> None:
    """The server ends such an answer early, without an error, and leaves out the newest."""
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        await ensure_bucket(js, PROJECTS_BUCKET, replicas=1)
        bucket = RecordBucket(client, js, PROJECTS_BUCKET, ProjectRecord)
        filling = ["x" * 900_000]
        names = [f"p{number}" for number in range(100)]
        for name in names:
            await bucket.create(name, ProjectRecord(name=name, created_at=utc_now(), key_id="", recipients=filling))
        assert sorted(stored.key for stored in await bucket.select()) == sorted(names)


def test_local_variables_stay_out_of_logged_tracebacks() -> None:
    output = io.StringIO()
    with redirect_stderr(output):
        configure_logs(as_json=True)
        try:
            fail_with_a_secret_in_hand("AGE-SECRET-KEY-4711")
        except KeyError:
            structlog.get_logger().exception("something.failed")
    structlog.reset_defaults()
    assert "something.failed" in output.getvalue()
    assert "fail_with_a_secret_in_hand" in output.getvalue()
    assert "4711" not in output.getvalue()


def fail_with_a_secret_in_hand(secret: str) -> None:
    raise KeyError(len(secret))
