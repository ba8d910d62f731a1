"""Embedded mode as a person uses it: started with nothing, stopped, started again, killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.errors import Conflict
from contracts.settings import NatsSettings
from daemon.cli.bus_client import connect_operator
from daemon.cli.client import ControlClient
from daemon.cli.http_client import connect_http
from daemon.cli.targets import HttpTarget, find_target
from daemon.embedded.errors import PortTaken
from daemon.embedded.up import Stack, UpOptions, running_stack
from tests.servers.process import ServerProcess
from tests.servers.waiting import eventually_blocking

pytestmark = pytest.mark.timeout(180)


def operator_settings(stack: Stack) -> NatsSettings:
    return NatsSettings(url=stack.nats_url, nkey_file=str(stack.data / "nats" / "operator.nk"))


async def projects(operator: ControlClient) -> list[str]:
    return [project.name for project in (await operator.ask(control.PROJECT_LIST, control.ProjectList())).projects]


async def test_a_second_start_finds_what_the_first_one_kept(tmp_path: Path) -> None:
    options = UpOptions(data=tmp_path / "data", throwaway=True)
    async with running_stack(options) as stack, connect_operator(operator_settings(stack)) as operator:
        await operator.ask(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        with pytest.raises(Conflict, match="in use by another Strongroom process"):
            async with running_stack(options):
                pass
        master_key, http_url = stack.master_key.read_text(), stack.http_url
        token = stack.admin_token.read_text()
    async with running_stack(options) as stack, connect_operator(operator_settings(stack)) as operator:
        assert await projects(operator) == ["acme"]
        nodes = (await operator.ask(control.NODE_LIST, control.Nothing())).nodes
        assert [view.record.name for view in nodes if view.alive] == ["local"]
        assert stack.master_key.read_text() == master_key
        assert (stack.http_url, stack.admin_token.read_text()) == (http_url, token)


async def test_the_first_admin_is_let_in_both_ways_and_gets_another_token_when_the_first_has_ended(tmp_path: Path) -> None:
    options = UpOptions(data=tmp_path / "data", throwaway=True)
    async with running_stack(options) as stack:
        headers = {"Authorization": f"Bearer {stack.admin_token.read_text().strip()}"}
        async with httpx.AsyncClient(base_url=stack.http_url) as http:
            assert (await http.get("/api/v1/self", headers=headers)).json()["role"] == "admin"
            assert (await http.get("/api/v1/self")).status_code == 401
        assert isinstance(find_target(stack.operator_config, "", {}), NatsSettings)
        over_http = find_target(stack.operator_config, "", {"STRONGROOM_USE": "http"})
        assert isinstance(over_http, HttpTarget)
        async with connect_http(over_http) as client:
            (token,) = (await client.ask(control.TOKEN_LIST, control.TokenList())).tokens
            await client.ask(control.TOKEN_REVOKE, control.TokenRef(id=token.id))
    async with running_stack(options) as stack:
        again = find_target(stack.operator_config, "", {"STRONGROOM_USE": "http"})
        assert isinstance(again, HttpTarget)
        async with connect_http(again) as client:
            assert (await client.ask(control.ACCESS_SELF, control.Nothing())).role is Role.ADMIN


async def test_a_port_for_http_that_is_taken_is_told_of(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTaken, match=f"port {port} is in use"):
            async with running_stack(UpOptions(data=tmp_path / "data", throwaway=True, http_port=port)):
                pass


async def test_secrets_are_for_their_owner_alone(tmp_path: Path) -> None:
    async with running_stack(UpOptions(data=tmp_path / "data", throwaway=True)) as stack:
        files = [path for path in stack.data.rglob("*") if path.is_file()]
        names = {path.name for path in files}
        assert {
            "master.key",
            "admin.token",
            "operator.nk",
            "coordinator.nk",
            "node-local.nk",
            "identity.txt",
            "store.toml",
        } <= names
        readable = [
            path
            for path in files
            if path.suffix in (".key", ".token", ".nk", ".toml", ".txt") and path.stat().st_mode & 0o077
        ]
        assert readable == []
        assert stack.data.stat().st_mode & 0o777 == 0o700


class Up:
    """`strongroom up` in a process of its own."""

    def __init__(self, directory: Path) -> None:
        self.data = directory / "data"
        strongroom = Path(sys.executable).with_name("strongroom")
        argv = [str(strongroom), "up", "--data", str(self.data), "--json"]
        self.process = ServerProcess("up", argv, directory=directory, env={"PATH": os.environ["PATH"]})
        self.process.start(lambda: "operator_config" in self.process.log_path.read_text(), timeout_s=60)

    def children(self) -> list[str]:
        """Command lines of everything that runs on its data, itself aside."""
        found = subprocess.run(["pgrep", "-fa", str(self.data)], check=False, capture_output=True, text=True).stdout
        return [line for line in found.splitlines() if " up --data " not in line and "pgrep" not in line]


@pytest.fixture
def up(tmp_path: Path) -> Iterator[Up]:
    assert shutil.which("pgrep")
    started = Up(tmp_path)
    try:
        yield started
    finally:
        started.process.kill()


def test_ctrl_c_stops_everything_in_order(up: Up) -> None:
    assert len(up.children()) == 4
    process = up.process._process
    assert process is not None
    up.process.send(signal.SIGINT)
    assert process.wait(40) == 0
    assert up.children() == []
    answer = up.process.log_path.read_text()
    assert msgspec.json.decode(answer[answer.index("{") : answer.rindex("}") + 1])["node"] == "local"


def test_nothing_outlives_a_killed_parent(up: Up) -> None:
    assert len(up.children()) == 4
    up.process.send(signal.SIGKILL)
    eventually_blocking(lambda: up.children() == [])
