"""The life of a backup as the coordinator sees it, with a real nats-server, a real bucket, and an agent's real sentences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import zstandard
from nats.aio.msg import Msg
from nats.js.api import ConsumerConfig, DeliverPolicy

from contracts import control
from contracts.asks import AbortArtifact, BackupJob, CheckRun, Closed, Current, MoreParts, Refused
from contracts.errors import Conflict, Corrupt, ErrorInfo, InvalidInput, StrongroomError, Unavailable
from contracts.events import Event, event_decoder
from contracts.manifest import manifest_decoder
from contracts.policy.schedule import Off
from contracts.records import BackupRecord, RunKind, RunState
from contracts.reports import RunFailedReport
from contracts.services import PostgreSQLOptions
from contracts.subjects import EVENTS_STREAM
from contracts.wire import utc_now
from daemon.nodes import ALIVE_TTL_S
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.daemon.speaking import SpeakingAgent, sealed
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

DATA = b"not really an age file, but the coordinator must not look inside"


@pytest.fixture
async def agent(nats_server: NatsServer) -> AsyncIterator[SpeakingAgent]:
    async with nats_server.connect_node("node-1") as client:
        yield SpeakingAgent(client, "node-1")


async def set_up(operator: Operator, agent: SpeakingAgent) -> None:
    """A project `acme` with a service `orders` on `node-1`, whose agent is alive."""
    await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    await operator.call(control.NODE_ADD, control.NodeRef(node=agent.node))
    options = PostgreSQLOptions()
    await operator.call(
        control.SERVICE_ADD,
        control.ServiceAdd(project="acme", name="orders", options=options, nodes=[agent.node], schedule=Off()),
    )
    await come_alive(operator, agent)


async def come_alive(operator: Operator, agent: SpeakingAgent) -> None:
    async def alive() -> bool:
        await agent.beat()
        nodes = (await operator.call(control.NODE_LIST, control.Nothing())).nodes
        return any(view.record.name == agent.node and view.alive is not None for view in nodes)

    await eventually(alive)


async def request(operator: Operator, **fields: object) -> BackupRecord:
    call = msgspec.convert({"project": "acme", "service": "orders", **fields}, control.BackupCreate)
    return await operator.call(control.BACKUP_CREATE, call)


async def refusals(operator: Operator) -> int:
    """How many refused reports the events stream holds."""
    info = await operator.client.jetstream().stream_info(EVENTS_STREAM, subjects_filter="strongroom.event.request.>")
    return info.state.messages if info.state.subjects else 0


async def record_of(operator: Operator, run: BackupRecord) -> BackupRecord:
    reference = control.RunRefRequest(project=run.project, service=run.service, id=run.id)
    return await operator.call(control.BACKUP_RECORD, reference)


async def reaches(operator: Operator, run: BackupRecord, state: RunState, timeout_s: float = 10) -> BackupRecord:
    async def reached() -> BackupRecord | None:
        record = await record_of(operator, run)
        return record if record.state is state else None

    return await eventually(reached, timeout_s)


@asynccontextmanager
async def watched_events(operator: Operator) -> AsyncIterator[list[Event]]:
    """What the events stream stores from now on, readable JSON, as an operator's program follows it."""
    seen: list[Event] = []

    async def take(message: Msg) -> None:
        event = event_decoder.decode(message.data)
        if not event.type.startswith("access."):  # who asked: tests/daemon/access has that
            seen.append(event)

    js = operator.client.jetstream()
    new = ConsumerConfig(deliver_policy=DeliverPolicy.NEW)
    subscription = await js.subscribe("strongroom.event.>", stream=EVENTS_STREAM, ordered_consumer=True, config=new, cb=take)
    yield seen
    await subscription.unsubscribe()


async def test_a_backup_goes_from_request_to_completed_with_manifest_and_events(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    async with watched_events(operator) as events:
        run = await request(operator, tags=["before-migration"])
        assert run.state is RunState.REQUESTED
        pulled = await agent.pull()
        assert (pulled.run_id, pulled.attempt) == (run.id, 1)
        job = await agent.claim(run)
        assert isinstance(job, BackupJob)
        assert job.recipients == run.recipients
        first = await agent.upload(run, DATA, index=1, name="orders")
        second = await agent.upload(run, DATA + DATA, index=2, name='odd "näme" /')
        await agent.report(agent.finished(run, first, second))
        done = await reaches(operator, run, RunState.COMPLETED)
        await eventually(lambda: [event.type for event in events][-1:] == ["backup.completed"])

    assert [artifact.name for artifact in done.artifacts] == ["orders", 'odd "näme" /']
    assert bucket.read(first.object_key) == DATA
    manifest_bytes = bucket.read(done.manifest_key)
    assert done.size_bytes == 3 * len(DATA) + len(manifest_bytes)
    manifest = manifest_decoder.decode(manifest_bytes)
    assert manifest.artifacts == done.artifacts
    assert manifest.tags == ["before-migration"]
    assert bucket.list_uploads() == []
    assert sorted(bucket.list_keys()) == sorted([first.object_key, second.object_key, done.manifest_key])
    assert [event.type for event in events] == ["backup.requested", "backup.started", "backup.completed"]
    assert events[-1].size_bytes == done.size_bytes


async def test_a_second_backup_of_a_service_is_refused_while_one_is_under_way(
    operator: Operator, agent: SpeakingAgent
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    with pytest.raises(Conflict, match=run.id) as caught:
        await request(operator)
    assert caught.value.code == "run.overlap"


async def test_after_a_backup_has_ended_the_next_one_may_begin(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    error = ErrorInfo(code="dump.failed", message="pg_dump ended with status 1", detail="boom")
    await agent.report(
        RunFailedReport(
            run=RunKind.BACKUP,
            project="acme",
            service="orders",
            run_id=run.id,
            attempt=1,
            failed_at=utc_now(),
            error=error,
        )
    )
    failed = await reaches(operator, run, RunState.FAILED)
    assert failed.error == error

    async def again() -> BackupRecord | None:
        try:
            return await request(operator)
        except Conflict:
            return None  # the marker goes last

    assert (await eventually(again)).id != run.id


async def test_a_failed_run_leaves_nothing_in_the_bucket(operator: Operator, agent: SpeakingAgent, bucket: Bucket) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    await agent.upload(run, DATA, index=1)
    await agent.put(await agent.open(run, index=2, name="second"), DATA)
    assert len(bucket.list_uploads()) == 1
    await operator.call(control.BACKUP_CANCEL, control.RunRefRequest(project="acme", service="orders", id=run.id))
    cancelled = await reaches(operator, run, RunState.CANCELLED)
    assert cancelled.error is not None
    assert cancelled.error.code == "run.cancelled"
    assert bucket.list_uploads() == []
    assert bucket.list_keys() == []


async def test_a_new_process_of_the_agent_gets_the_next_attempt_and_the_old_one_nothing(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    zombie_grant = await agent.open(run)
    await agent.put(zombie_grant, DATA)

    successor = SpeakingAgent(agent.client, agent.node, instance="second")
    assert (await successor.claim(run)).attempt == 2
    assert bucket.list_uploads() == []
    for ask in (
        CheckRun(run_id=run.id, attempt=1),
        MoreParts(run_id=run.id, attempt=1, index=1, first=1, count=1),
        AbortArtifact(run_id=run.id, attempt=1, index=1),
    ):
        with pytest.raises(Conflict) as caught:
            await agent.ask(run, ask)
        assert caught.value.code == "run.not_current"

    artifact = await successor.upload(run, DATA, attempt=2)
    await agent.report(agent.finished(run, artifact, attempt=1))  # the zombie speaks up last
    await successor.report(successor.finished(run, artifact, attempt=2))
    done = await reaches(operator, run, RunState.COMPLETED)
    assert done.attempt == 2


async def test_claiming_again_from_the_same_process_answers_the_same_attempt(
    operator: Operator, agent: SpeakingAgent
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    assert (await agent.claim(run)).attempt == 1
    assert (await agent.claim(run)).attempt == 1
    assert isinstance(await agent.ask(run, CheckRun(run_id=run.id, attempt=1)), Current)


async def test_when_all_attempts_are_lost_the_run_fails_as_agent_lost(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    for number in range(1, 4):
        process = SpeakingAgent(agent.client, agent.node, instance=f"process-{number}")
        assert (await process.claim(run)).attempt == number
    with pytest.raises(Conflict):
        await SpeakingAgent(agent.client, agent.node, instance="process-4").claim(run)
    failed = await reaches(operator, run, RunState.FAILED)
    assert failed.error is not None
    assert failed.error.code == "agent.lost"


async def test_another_node_may_neither_claim_nor_upload_nor_report(
    operator: Operator, agent: SpeakingAgent, nats_server: NatsServer, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    artifact = await agent.upload(run, DATA)
    async with nats_server.connect_node("node-2") as client:
        other = SpeakingAgent(client, "node-2")
        with pytest.raises(Conflict, match="belongs to node node-1"):
            await other.claim(run)
        with pytest.raises(Conflict, match="belongs to node node-1"):
            await other.open(run, index=2)
        await other.report(other.finished(run, artifact))
        # The refusal is stored as an event: only then has the report had its say.
        await eventually(lambda: refusals(operator))
    assert (await record_of(operator, run)).state is RunState.RUNNING


async def test_a_report_that_names_other_artifacts_than_were_closed_fails_the_run(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    artifact = await agent.upload(run, DATA)
    lie = msgspec.structs.replace(artifact, stored_bytes=artifact.stored_bytes + 1)
    await agent.report(agent.finished(run, lie))
    failed = await reaches(operator, run, RunState.FAILED)
    assert failed.error is not None
    assert failed.error.code == "upload.mismatch"
    await eventually(lambda: bucket.list_keys() == [])


async def test_a_report_without_artifacts_is_no_backup(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    await agent.report(agent.finished(run))
    failed = await reaches(operator, run, RunState.FAILED)
    assert failed.error is not None
    assert failed.error.code == "upload.mismatch"


async def test_closing_checks_what_the_store_holds(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    grant = await agent.open(run)
    part = await agent.put(grant, DATA)
    wrong_etag = msgspec.structs.replace(part, etag="0" * 32)
    with pytest.raises(Corrupt) as caught:
        await agent.ask(run, agent.closing(run, DATA, wrong_etag))
    assert caught.value.code == "upload.mismatch"
    with pytest.raises(InvalidInput):
        await agent.ask(run, agent.closing(run, DATA + b"x", part))
    closing = agent.closing(run, DATA, part)
    first, again = await agent.ask(run, closing), await agent.ask(run, closing)
    assert isinstance(first, Closed)
    assert first == again


async def test_a_duplicate_report_changes_nothing(operator: Operator, agent: SpeakingAgent, bucket: Bucket) -> None:
    await set_up(operator, agent)
    async with watched_events(operator) as events:
        run = await request(operator)
        await agent.claim(run)
        report = agent.finished(run, await agent.upload(run, DATA))
        await agent.report(report)
        done = await reaches(operator, run, RunState.COMPLETED)
        keys = bucket.list_keys()
        await agent.report(report)
        second = await wait_next_run(operator, agent)
        assert second.id != run.id
    assert await record_of(operator, run) == done
    assert [key for key in bucket.list_keys() if run.id in key] == keys
    assert [event.type for event in events].count("backup.completed") == 1


async def wait_next_run(operator: Operator, agent: SpeakingAgent) -> BackupRecord:
    """A further run, claimed: reports are handled in order of arrival, and the service is free again."""

    async def again() -> BackupRecord | None:
        try:
            return await request(operator)
        except Conflict:
            return None

    run = await eventually(again)
    await agent.claim(run)
    return run


async def test_deleting_a_backup_removes_every_object_and_then_the_record(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    await agent.report(agent.finished(run, await agent.upload(run, DATA)))
    await reaches(operator, run, RunState.COMPLETED)
    async with watched_events(operator) as events:
        await operator.call(control.BACKUP_DELETE, control.BackupDelete(project="acme", service="orders", id=run.id))
        await eventually(lambda: [event.type for event in events][-1:] == ["backup.deleted"])
    assert bucket.list_keys() == []
    found = await operator.call(control.BACKUP_LIST, control.BackupList(project="acme", service="orders"))
    assert found.backups == []
    assert [event.type for event in events if "delet" in event.type] == ["backup.deleting", "backup.deleted"]


async def test_a_running_backup_is_not_deleted(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    with pytest.raises(Conflict, match="cancel it first"):
        await operator.call(control.BACKUP_DELETE, control.BackupDelete(project="acme", service="orders", id=run.id))


async def test_a_node_that_is_gone_is_named(operator: Operator, nats_server: NatsServer) -> None:
    await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
    add = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["node-1"], schedule=Off())
    await operator.call(control.SERVICE_ADD, add)
    with pytest.raises(Unavailable, match="start strongroom-agent on node-1") as caught:
        await request(operator)
    assert caught.value.code == "node.unavailable"


async def test_what_does_not_exist_is_named_with_its_field(operator: Operator) -> None:
    for verb, data, code, field in (
        ("backup.create", b'{"project":"nope","service":"orders"}', "project.not_found", "project"),
        ("backup.create", b'{"project":"Nope!","service":"orders"}', "input.invalid", "project"),
        ("backup.create", b'{"service":"orders"}', "input.invalid", None),
        ("backup.create", b'{"project":"a","service":"b","colour":1}', "input.invalid", None),
        ("backup.create", b"{not json", "input.malformed", None),
        ("node.remove", b'{"node":"nope"}', "node.not_found", "node"),
    ):
        with pytest.raises(StrongroomError) as caught:
            await operator.call_raw(verb, data)
        assert (caught.value.code, caught.value.field) == (code, field)


async def test_malformed_and_foreign_questions_are_answered_with_codes(operator: Operator, agent: SpeakingAgent) -> None:
    await set_up(operator, agent)
    for data in (b"", b"{}", b"[]", b"\xff\xfe", b'{"run":"backup"}', b"[" * 5000, b'{"ask":{"ask":"nothing"}}'):
        answer = await agent.ask_raw(data)
        assert isinstance(answer, Refused)
        assert answer.error.code in ("input.malformed", "input.invalid")


async def test_a_run_that_no_agent_takes_up_is_missed(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    reaper = ReaperSettings(every_s=0.05, start_deadline_s=0.2)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with running_coordinator(settings), nats_server.connect_operator() as client:
        operator = Operator(client)
        async with nats_server.connect_node("node-1") as node:
            await set_up(operator, SpeakingAgent(node, "node-1"))
        run = await request(operator)
        missed = await reaches(operator, run, RunState.MISSED)
    assert missed.error is not None
    assert missed.error.code == "node.unavailable"


async def test_a_node_that_falls_silent_in_a_run_loses_it(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    reaper = ReaperSettings(every_s=0.05, lost_after_s=0.3)
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with running_coordinator(settings), nats_server.connect_operator() as client:
        operator = Operator(client)
        async with nats_server.connect_node("node-1") as node:
            agent = SpeakingAgent(node, "node-1")
            await set_up(operator, agent)
            run = await request(operator)
            await agent.claim(run)
            await agent.put(await agent.open(run), DATA)
        lost = await reaches(operator, run, RunState.FAILED)
        assert lost.error is not None
        assert lost.error.code == "agent.lost"
        await eventually(lambda: bucket.list_uploads() == [])


async def test_a_coordinator_killed_between_record_and_request_hands_the_run_over_later(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with nats_server.connect_operator() as client, nats_server.connect_node("node-1") as node:
        operator, agent = Operator(client), SpeakingAgent(node, "node-1")
        async with running_coordinator(settings):
            await set_up(operator, agent)
            run = await request(operator)
            assert (await agent.pull()).run_id == run.id
        # As if the request had never been published: it is out of the queue, and nobody has claimed the run.
        async with nats_server.connect_coordinator() as core:
            js = core.jetstream()
            # The duplicate window would swallow the second copy of a request that did arrive.
            await js.purge_stream("STRONGROOM_REQUESTS")
        nats_server.kill()
        nats_server.start()
        async with running_coordinator(settings):
            assert (await agent.pull()).run_id == run.id


async def test_the_inventory_comes_back_through_the_managed_key(
    operator: Operator, agent: SpeakingAgent, bucket: Bucket
) -> None:
    await set_up(operator, agent)
    run = await request(operator)
    await agent.claim(run)
    artifact = await agent.upload(run, DATA)
    inventory = sealed(zstandard.ZstdCompressor().compress(b'{"databases":["orders"]}'), run.recipients)
    await agent.report(msgspec.structs.replace(agent.finished(run, artifact), sealed_inventory=inventory))
    done = await reaches(operator, run, RunState.COMPLETED)
    detail = await operator.call(control.BACKUP_SHOW, control.RunRefRequest(project="acme", service="orders", id="latest"))
    assert detail.inventory == {"databases": ["orders"]}
    assert b"databases" not in bucket.read(done.manifest_key).split(b'"inventory"')[1]


async def test_a_node_that_falls_silent_is_an_event(operator: Operator, nats_server: NatsServer) -> None:
    """Its heartbeats stop; the TTL of its key ends its life, and the reaper says so once."""
    async with nats_server.connect_node("node-1") as node:
        await set_up(operator, SpeakingAgent(node, "node-1"))
    async with watched_events(operator) as events:
        await eventually(lambda: [event.type for event in events] == ["node.silent"], ALIVE_TTL_S + 10)
    assert events[0].node == "node-1"
