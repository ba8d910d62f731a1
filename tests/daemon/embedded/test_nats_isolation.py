"""What a stolen agent can do on the bus: its own work, and nothing else.  Each test is an attack that must fail.

The server answers a forbidden call with silence to the caller and an asynchronous error, so tests look at what the
attack was meant to change, and at the errors.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import TimeoutError as NatsTimeout
from nats.js.api import ConsumerConfig, RetentionPolicy, StreamConfig
from nats.js.errors import KeyNotFoundError

from contracts.subjects import EVENTS_STREAM, REPORTS_STREAM, REQUESTS_STREAM
from daemon.embedded.nats_config import inbox_prefix
from daemon.embedded.nkey_files import ensure_user_seed
from tests.servers.nats import NatsServer, settle
from tests.servers.waiting import eventually

MINE, OTHER = "node-1", "node-2"
SHORT_S = 1.0


@asynccontextmanager
async def coordinator_with_streams(server: NatsServer) -> AsyncIterator[Client]:
    """The coordinator's connection, with the streams, consumers and a KV bucket as in production."""
    async with server.connect_coordinator() as client:
        js = client.jetstream()
        queue = RetentionPolicy.WORK_QUEUE
        await js.add_stream(StreamConfig(name=REQUESTS_STREAM, subjects=["strongroom.request.*"], retention=queue))
        await js.add_stream(StreamConfig(name=REPORTS_STREAM, subjects=["strongroom.agent.*.report"], retention=queue))
        await js.add_stream(StreamConfig(name=EVENTS_STREAM, subjects=["strongroom.event.>"]))
        for node in (MINE, OTHER):
            await js.add_consumer(
                REQUESTS_STREAM,
                ConsumerConfig(durable_name=node, filter_subject=f"strongroom.request.{node}", ack_wait=30),
            )
        await js.create_key_value(bucket="strongroom-backups")
        yield client


async def pending(client: Client, node: str) -> tuple[int, int]:
    """Requests of the node that wait, and that were delivered but not acknowledged."""
    info = await client.jetstream().consumer_info(REQUESTS_STREAM, node)
    return info.num_pending or 0, info.num_ack_pending or 0


async def attempt(agent: Client, subject: str, payload: bytes = b"") -> bytes | None:
    """The answer to a request, or None for silence."""
    try:
        return (await agent.request(subject, payload, timeout=SHORT_S)).data
    except NatsTimeout:
        return None


async def test_an_agent_works_through_its_own_requests(nats_server: NatsServer) -> None:
    errors: list[str] = []
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE, errors) as agent:
        await core.jetstream().publish(f"strongroom.request.{MINE}", b"dump")
        work = await agent.jetstream().pull_subscribe_bind(consumer=MINE, stream=REQUESTS_STREAM)
        (message,) = await work.fetch(1, timeout=5)
        assert message.data == b"dump"
        await message.in_progress()
        await message.ack_sync()
        assert await pending(core, MINE) == (0, 0)
        ack = await agent.jetstream().publish(f"strongroom.agent.{MINE}.report", b"done", headers={"Nats-Msg-Id": "1"})
        assert (ack.stream, ack.seq) == (REPORTS_STREAM, 1)
        again = await agent.jetstream().publish(f"strongroom.agent.{MINE}.report", b"done", headers={"Nats-Msg-Id": "1"})
        assert again.duplicate
    assert errors == []


async def test_an_agent_gets_answers_from_the_coordinator(nats_server: NatsServer) -> None:
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE) as agent:

        async def grant(message: Msg) -> None:
            assert message.reply.startswith("_R_.")  # chosen by the server, not by the agent
            await message.respond(message.subject.encode())

        await core.subscribe("strongroom.agent.*.ask", cb=grant)
        await settle(core)
        answer = await agent.request(f"strongroom.agent.{MINE}.ask", b"", timeout=5)
        assert answer.data == f"strongroom.agent.{MINE}.ask".encode()


async def test_a_long_pull_is_answered_when_work_comes(nats_server: NatsServer) -> None:
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE) as agent:
        work = await agent.jetstream().pull_subscribe_bind(consumer=MINE, stream=REQUESTS_STREAM)
        fetch = asyncio.create_task(work.fetch(1, timeout=10), name="fetch")

        async def waiting() -> bool:
            return bool((await core.jetstream().consumer_info(REQUESTS_STREAM, MINE)).num_waiting)

        await eventually(waiting)
        await core.jetstream().publish(f"strongroom.request.{MINE}", b"late")
        assert [message.data for message in await fetch] == [b"late"]


async def test_the_work_of_another_node_is_out_of_reach(nats_server: NatsServer) -> None:
    errors: list[str] = []
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE, errors) as agent:
        await core.jetstream().publish(f"strongroom.request.{OTHER}", b"secret")
        work = await agent.jetstream().pull_subscribe_bind(consumer=OTHER, stream=REQUESTS_STREAM)
        with pytest.raises(NatsTimeout):
            await work.fetch(1, timeout=SHORT_S)
        await agent.publish(f"$JS.ACK.{REQUESTS_STREAM}.{OTHER}.1.1.1.1.0", b"+ACK")
        await settle(agent)
        assert await pending(core, OTHER) == (1, 0)
    assert any("permissions violation" in error for error in errors)


FORBIDDEN = [
    f"$JS.API.STREAM.INFO.{REQUESTS_STREAM}",
    "$JS.API.STREAM.NAMES",
    "$JS.API.STREAM.LIST",
    "$JS.API.INFO",
    f"$JS.API.STREAM.DELETE.{REQUESTS_STREAM}",
    f"$JS.API.STREAM.PURGE.{REQUESTS_STREAM}",
    f"$JS.API.STREAM.SNAPSHOT.{REQUESTS_STREAM}",
    "$JS.API.STREAM.CREATE.MINE",
    f"$JS.API.CONSUMER.NAMES.{REQUESTS_STREAM}",
    f"$JS.API.CONSUMER.INFO.{REQUESTS_STREAM}.{MINE}",
    f"$JS.API.CONSUMER.DELETE.{REQUESTS_STREAM}.{OTHER}",
    f"$JS.API.CONSUMER.CREATE.{REQUESTS_STREAM}",
    f"$JS.API.CONSUMER.DURABLE.CREATE.{REQUESTS_STREAM}.evil",
    f"$JS.API.DIRECT.GET.{REQUESTS_STREAM}",
    "$JS.API.DIRECT.GET.KV_strongroom-backups.$KV.strongroom-backups.a",
    "$JS.API.STREAM.MSG.GET.KV_strongroom-backups",
    f"$JS.API.CONSUMER.MSG.NEXT.{EVENTS_STREAM}.x",
    f"strongroom.request.{MINE}",
    f"strongroom.request.{OTHER}",
    f"strongroom.agent.{OTHER}.report",
    "strongroom.event.backup.completed.a.b",
    "strongroom.control.projects.list",
    "$SRV.PING",
    "$SYS.REQ.SERVER.PING",
]


async def test_nothing_else_answers_an_agent(nats_server: NatsServer) -> None:
    errors: list[str] = []
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE, errors) as agent:

        async def answer_everything(message: Msg) -> None:
            if message.reply:
                await message.respond(b"reached")

        for heard in ("strongroom.request.*", "strongroom.agent.*.report", "strongroom.event.>", "strongroom.control.>"):
            await core.subscribe(heard, cb=answer_everything)
        await settle(core)
        payload = json.dumps({"name": "MINE", "subjects": ["x"], "seq": 1}).encode()
        answers = await asyncio.gather(*(attempt(agent, subject, payload) for subject in FORBIDDEN))
        assert dict(zip(FORBIDDEN, answers, strict=True)) == dict.fromkeys(FORBIDDEN)
        names = sorted(stream.config.name or "" for stream in await core.jetstream().streams_info())
        assert names == ["KV_strongroom-backups", EVENTS_STREAM, REPORTS_STREAM, REQUESTS_STREAM]
        assert all(not stream.state.messages for stream in await core.jetstream().streams_info())
    denied = [error.lower() for error in errors if "permissions violation" in error]
    assert [subject for subject in FORBIDDEN if not any(f'"{subject.lower()}"' in error for error in denied)] == []


@pytest.mark.parametrize("reply", ["$KV.strongroom-backups.a", f"strongroom.request.{OTHER}", "strongroom.event.x.y"])
async def test_a_crafted_reply_subject_writes_nothing(nats_server: NatsServer, reply: str) -> None:
    """NATS lets a client name any reply subject, and the server itself publishes the answer there."""
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE) as agent:
        records = await core.jetstream().key_value("strongroom-backups")
        await records.put("kept", b"true")
        await core.jetstream().publish(f"strongroom.request.{MINE}", b"dump")
        subjects = {
            f"strongroom.agent.{MINE}.report": b"{}",
            f"$JS.API.CONSUMER.MSG.NEXT.{REQUESTS_STREAM}.{MINE}": b'{"batch": 1, "expires": 1000000000}',
            f"$JS.ACK.{REQUESTS_STREAM}.{MINE}.1.1.1.1.0": b"+ACK",
        }
        for subject, payload in subjects.items():
            await agent.publish(subject, payload, reply=reply)
        await settle(agent)

        async def report_arrived() -> bool:
            return (await core.jetstream().stream_info(REPORTS_STREAM)).state.messages == 1

        await eventually(report_arrived)
        assert (await records.get("kept")).value == b"true"
        with pytest.raises(KeyNotFoundError):
            await records.get("a")
        assert await pending(core, OTHER) == (0, 0)
        assert (await core.jetstream().stream_info(EVENTS_STREAM)).state.messages == 0


async def test_no_agent_hears_or_reaches_another(nats_server: NatsServer) -> None:
    errors: list[str] = []
    async with (
        coordinator_with_streams(nats_server) as core,
        nats_server.connect_node(MINE, errors) as agent,
        nats_server.connect_node(OTHER) as victim,
    ):
        heard: list[bytes] = []

        async def hear(message: Msg) -> None:
            heard.append(message.data)

        for subject in (f"_INBOX_{OTHER}.>", "_INBOX.>", ">", "strongroom.>", "$KV.>", "_R_.>"):
            await agent.subscribe(subject, cb=hear)
        await victim.subscribe(f"_INBOX_{OTHER}.x", cb=hear)
        await settle(agent)
        await settle(victim)
        await agent.publish(f"_INBOX_{OTHER}.x", b"straight")
        await agent.publish(f"strongroom.agent.{MINE}.report", b"{}", reply=f"_INBOX_{OTHER}.x")
        await core.publish(f"strongroom.request.{OTHER}", b"overheard")
        await settle(agent)

        async def report_arrived() -> bool:
            return (await core.jetstream().stream_info(REPORTS_STREAM)).state.messages == 1

        await eventually(report_arrived)
        await settle(victim)
        await settle(agent)
        assert heard == []
    assert len(errors) >= 5


async def test_an_operator_reads_events_but_no_records(nats_server: NatsServer) -> None:
    errors: list[str] = []
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_operator(errors) as operator:
        await core.jetstream().publish("strongroom.event.backup.completed.acme.orders", b"{}")
        events = await operator.jetstream().subscribe("strongroom.event.>", stream=EVENTS_STREAM, ordered_consumer=True)
        assert (await events.next_msg(timeout=5)).subject == "strongroom.event.backup.completed.acme.orders"
        await events.unsubscribe()
        assert errors == []
        for subject in ("$JS.API.DIRECT.GET.KV_strongroom-backups", "$JS.API.STREAM.DELETE.STRONGROOM_EVENTS"):
            assert await attempt(operator, subject, b'{"seq": 1}') is None
        await operator.publish("$KV.strongroom-backups.a", b"forged")
        await settle(operator)
        records = await core.jetstream().key_value("strongroom-backups")
        with pytest.raises(KeyNotFoundError):
            await records.get("a")
    assert len(errors) == 3


async def test_a_node_added_while_others_work_disturbs_nobody(nats_server: NatsServer) -> None:
    async with coordinator_with_streams(nats_server) as core, nats_server.connect_node(MINE) as agent:
        work = await agent.jetstream().pull_subscribe_bind(consumer=MINE, stream=REQUESTS_STREAM)
        fetch = asyncio.create_task(work.fetch(1, timeout=10), name="fetch")
        nats_server.set_nodes([MINE, OTHER, "node-3"])
        async with nats_server.connect_node("node-3") as new:
            ack = await new.jetstream().publish("strongroom.agent.node-3.report", b"hello")
            assert ack.stream == REPORTS_STREAM
        await core.jetstream().publish(f"strongroom.request.{MINE}", b"still served")
        assert [message.data for message in await fetch] == [b"still served"]
        assert agent.stats["reconnects"] == 0


async def test_a_node_taken_out_is_disconnected_and_not_let_in_again(nats_server: NatsServer) -> None:
    seed = nats_server.node_seeds[OTHER]
    async with (
        nats_server.connect_node(MINE) as kept,
        nats_server.connect(seed, inbox=inbox_prefix(OTHER), reconnect=False) as removed,
    ):
        assert nats_server.admits(seed)
        nats_server.set_nodes([MINE])
        await eventually(lambda: removed.is_closed)
        assert not nats_server.admits(seed)
        assert kept.is_connected
        assert kept.stats["reconnects"] == 0


async def test_an_unknown_key_is_not_let_in(nats_server: NatsServer, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.nk"
    ensure_user_seed(stranger)
    assert not nats_server.admits(stranger)
