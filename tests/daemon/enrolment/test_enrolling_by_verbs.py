"""The whole way by commands: a coordinator in operator mode, `node enroll`, and `strongroom-agent join` as a process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.control import (
    INVITATION_LIST,
    INVITATION_REVOKE,
    NODE_ADD,
    NODE_ENROLL,
    NODE_LIST,
    NODE_REMOVE,
    NODE_REVOKE,
    PROJECT_CREATE,
    SERVICE_ADD,
    SERVICE_CHANGE,
)
from contracts.errors import Conflict, StrongroomError
from contracts.services import PostgreSQLOptions
from daemon.trust.settings import TrustSettings
from tests.daemon.running import Operator, coordinator_settings, running_coordinator
from tests.servers.nats import NatsFactory, NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually


@pytest.fixture
def server(nats_factory: NatsFactory) -> NatsServer:
    return nats_factory(trust=True)


def _settings(directory: Path, server: NatsServer, bucket: Bucket) -> Any:
    return msgspec.structs.replace(
        coordinator_settings(directory, server, bucket),
        nats=server.settings(server.coordinator_seed),
        trust=TrustSettings(directory=str(server.trust_directory)),
    )


async def _join(token: str, config: Path, *more: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "agents", "join", "-", "--config", str(config), *more]
    environment = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "VIRTUAL_ENV") if name in os.environ}
    return await asyncio.to_thread(
        subprocess.run, argv, input=token + "\n", capture_output=True, text=True, timeout=60, env=environment, check=False
    )


async def test_two_commands_make_another_host_a_node(server: NatsServer, bucket: Bucket, tmp_path: Path) -> None:
    config = tmp_path / "host" / "agent.toml"
    async with running_coordinator(_settings(tmp_path, server, bucket)), server.connect_operator() as client:
        operator = Operator(client)
        invited = await operator.call(NODE_ENROLL, control.NodeEnroll(node="db-2", actor="eve"))
        done = await _join(invited.token, config)
        assert done.returncode == 0, done.stderr
        assert "joined as node db-2" in done.stdout
        (view,) = (await operator.call(INVITATION_LIST, control.Nothing())).invitations
        assert view.used_at is not None
        assert invited.token not in view.__repr__()
        argv = [sys.executable, "-m", "agents", "run", "--config", str(config)]
        agent = await asyncio.create_subprocess_exec(*argv, stderr=asyncio.subprocess.DEVNULL)
        try:

            async def is_alive() -> bool:
                (node,) = (await operator.call(NODE_LIST, control.Nothing())).nodes
                return node.alive is not None

            await eventually(is_alive, timeout_s=30)
            # Cut off for good: the agent ends with the status of an error, so a service manager sees it.
            await operator.call(NODE_REVOKE, control.NodeRevoke(node="db-2", actor="eve"))
            async with asyncio.timeout(30):
                assert await agent.wait() != 0
        finally:
            if agent.returncode is None:
                agent.kill()
                await agent.wait()
        assert not server.admits(config.parent / "data" / "node.nk")


async def test_a_node_serves_what_it_was_invited_for(server: NatsServer, bucket: Bucket, tmp_path: Path) -> None:
    async with running_coordinator(_settings(tmp_path, server, bucket)), server.connect_operator() as client:
        operator = Operator(client)
        await operator.call(NODE_ADD, control.NodeRef(node="db-1"))
        await operator.call(PROJECT_CREATE, control.ProjectCreate(name="acme"))
        service = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["db-1"])
        await operator.call(SERVICE_ADD, service)
        invited = await operator.call(NODE_ENROLL, control.NodeEnroll(node="db-2", services=["acme/orders"]))
        done = await _join(invited.token, tmp_path / "host" / "agent.toml")
        assert done.returncode == 0, done.stderr
        assert "strongroom-agent service add acme/orders --kind postgresql" in done.stderr
        after = await operator.call(SERVICE_CHANGE, control.ServiceChange(project="acme", service="orders"))
        assert after.nodes == ["db-1", "db-2"]


async def test_a_removed_node_is_shut_out_as_well(server: NatsServer, bucket: Bucket, tmp_path: Path) -> None:
    config = tmp_path / "host" / "agent.toml"
    async with running_coordinator(_settings(tmp_path, server, bucket)), server.connect_operator() as client:
        operator = Operator(client)
        invited = await operator.call(NODE_ENROLL, control.NodeEnroll(node="db-2"))
        done = await _join(invited.token, config)
        assert done.returncode == 0, done.stderr
        seed = config.parent / "data" / "node.nk"
        assert server.admits(seed)
        await operator.call(NODE_REMOVE, control.NodeRef(node="db-2"))
        assert not server.admits(seed)


async def test_an_ended_invitation_is_refused_with_a_code_and_writes_nothing(
    server: NatsServer, bucket: Bucket, tmp_path: Path
) -> None:
    config = tmp_path / "host" / "agent.toml"
    async with running_coordinator(_settings(tmp_path, server, bucket)), server.connect_operator() as client:
        operator = Operator(client)
        invited = await operator.call(NODE_ENROLL, control.NodeEnroll(node="db-2"))
        await operator.call(INVITATION_REVOKE, control.InvitationRef(id=invited.id, actor="eve"))
        done = await _join(invited.token, config)
        assert done.returncode == 7
        assert "join.expired" in done.stderr
        assert not config.exists()


async def test_an_open_config_stays_as_it_is_where_a_token_is_cut_off(tmp_path: Path) -> None:
    done = await _join("srj1_abcdefgh", tmp_path / "agent.toml")
    assert done.returncode == 2
    assert "cut off" in done.stderr


async def test_without_trust_enrolling_says_what_turns_it_on(operator: Operator) -> None:
    with pytest.raises(StrongroomError, match=r"\[trust\]") as refused:
        await operator.call(NODE_ENROLL, control.NodeEnroll(node="db-2"))
    assert isinstance(refused.value, Conflict)
