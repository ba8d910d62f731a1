"""nats-server as embedded mode runs it."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from contracts.errors import InvalidInput
from daemon.embedded import ports
from daemon.embedded.errors import PortTaken
from daemon.embedded.nats_config import NodeAccess, inbox_prefix
from daemon.embedded.nats_server import EmbeddedNats, EmbeddedNatsSettings, start_nats
from daemon.embedded.nkey_files import ensure_user_seed
from daemon.embedded.supervisor import Backoff, Supervisor
from tests.servers.nats import settle
from tests.servers.waiting import eventually


@asynccontextmanager
async def connected(server: EmbeddedNats, seed: Path, inbox: str = "_INBOX") -> AsyncIterator[Client]:
    client = await nats.connect(server.url, nkeys_seed=str(seed), inbox_prefix=inbox, reconnect_time_wait=0.05)
    try:
        yield client
    finally:
        await client.close()


async def grant(message: Msg) -> None:
    await message.respond(b"granted")


def node(directory: Path, name: str) -> NodeAccess:
    return NodeAccess(name=name, public_key=ensure_user_seed(directory / f"{name}.nk"))


async def test_it_serves_and_keeps_its_streams_when_it_is_killed(tmp_path: Path) -> None:
    async with Supervisor(Backoff(first_s=0.01)) as supervisor:
        server = await start_nats(supervisor, EmbeddedNatsSettings(directory=tmp_path / "nats"))
        async with connected(server, server.coordinator_seed) as client:
            await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
            await client.jetstream().publish("kept", b"1")
            assert server.child.pid is not None
            os.kill(server.child.pid, signal.SIGKILL)
            await eventually(lambda: server.child.restarts == 1)
        async with connected(server, server.coordinator_seed) as client:
            assert (await client.jetstream().stream_info("KEPT")).state.messages == 1


async def test_nodes_come_and_go_while_it_runs_and_stay_known_over_a_restart(tmp_path: Path) -> None:
    async with Supervisor(Backoff(first_s=0.01)) as supervisor:
        first, second = node(tmp_path, "db-1"), node(tmp_path, "db-2")
        settings = EmbeddedNatsSettings(directory=tmp_path / "nats", nodes=[first])
        server = await start_nats(supervisor, settings)
        await server.set_nodes([first, second])
        assert server.nodes == (first, second)

        async def second_asks() -> bytes:
            async with (
                connected(server, server.coordinator_seed) as core,
                connected(server, tmp_path / "db-2.nk", inbox_prefix("db-2")) as agent,
            ):
                await core.subscribe("strongroom.agent.*.ask", cb=grant)
                await settle(core)
                return (await agent.request("strongroom.agent.db-2.ask", timeout=5)).data

        assert await second_asks() == b"granted"
        assert server.child.pid is not None
        os.kill(server.child.pid, signal.SIGKILL)
        await eventually(lambda: server.child.restarts == 1)
        assert await second_asks() == b"granted"


async def test_bad_nodes_change_nothing(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        server = await start_nats(supervisor, EmbeddedNatsSettings(directory=tmp_path / "nats"))
        before = (tmp_path / "nats" / "nats.conf").read_text()
        with pytest.raises(InvalidInput):
            await server.set_nodes([NodeAccess(name="no.slug", public_key=node(tmp_path, "x").public_key)])
        with pytest.raises(InvalidInput, match="refuses the configuration"):
            await server.set_nodes([NodeAccess(name="db-1", public_key="U" * 56)])  # looks like a key, has no checksum
        assert (tmp_path / "nats" / "nats.conf").read_text() == before
        assert server.nodes == ()


async def test_a_configured_port_that_is_taken_is_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = EmbeddedNatsSettings(directory=tmp_path / "nats", port=other.getsockname()[1])
        async with Supervisor() as supervisor:
            with pytest.raises(PortTaken, match="address already in use"):
                await start_nats(supervisor, settings)


async def test_another_nats_server_on_the_port_is_not_taken_for_ours(tmp_path: Path) -> None:
    async with Supervisor() as supervisor:
        first = await start_nats(supervisor, EmbeddedNatsSettings(directory=tmp_path / "a"))
        port = int(first.url.rpartition(":")[2])
        with pytest.raises(PortTaken):
            await start_nats(supervisor, EmbeddedNatsSettings(directory=tmp_path / "b", port=port))


async def test_a_free_port_is_looked_for_again_when_it_was_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        choose, offered = ports.free_ports, [taken]
        monkeypatch.setattr(ports, "free_ports", lambda count: [offered.pop()] if offered else choose(count))
        async with Supervisor() as supervisor:
            server = await start_nats(supervisor, EmbeddedNatsSettings(directory=tmp_path / "nats"))
            assert server.child.running
            assert not server.url.endswith(f":{taken}")
