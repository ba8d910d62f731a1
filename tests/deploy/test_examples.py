"""The examples for other programs do what they say, as they stand in the text."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from contracts import control
from contracts.access import Role
from contracts.errors import ErrorInfo
from contracts.records import BackupRecord
from contracts.wire import utc_now
from daemon.http.settings import HttpSettings
from tests.daemon.robots import robot
from tests.daemon.running import Operator, SetClock, coordinator_settings, running_coordinator
from tests.daemon.scene import Scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

EXAMPLES = (Path(__file__).parents[2] / "deploy" / "examples" / "README.md").read_text()
CACHED_NATS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongroom-tests" / "natscli" / "nats"


def example(heading: str) -> str:
    """The code below a heading."""
    found = re.search(rf"^## {re.escape(heading)}\n.*?^```\w+\n(.*?)^```", EXAMPLES, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return found[1]


class World:
    """A coordinator, a robot that serves `acme/orders`, and the environment that the examples speak of."""

    def __init__(self, scene: Scene, environment: dict[str, str]) -> None:
        self.scene = scene
        self._environment = environment

    async def run(self, *argv: str, path: str = "") -> tuple[int, str, str]:
        """Exit status and what was said; nothing of this project can be imported by it."""
        paths = f"{path}:{os.environ['PATH']}" if path else os.environ["PATH"]
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": paths, "HOME": self._environment["HOME"], **self._environment},
            cwd=self._environment["HOME"],
        )
        async with asyncio.timeout(60):
            out, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(), err.decode()

    async def newest(self) -> BackupRecord:
        return (await self.scene.backups())[-1]


@pytest.fixture
async def world(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> AsyncIterator[World]:
    settings = coordinator_settings(tmp_path, nats_server, bucket, http=HttpSettings(port=0))
    home = tmp_path / "home"
    home.mkdir()
    async with (
        running_coordinator(settings) as url,
        nats_server.connect_operator() as client,
    ):
        operator = Operator(client)
        await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        await operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
        token = await operator.call(control.TOKEN_CREATE, control.TokenCreate(name="example", role=Role.OPERATOR))
        async with robot(nats_server, "node-1", "acme/orders") as agent:
            scene = Scene(operator, SetClock(utc_now()), {"node-1": agent})
            await scene.alive()
            await scene.add_service()
            environment = {
                "HOME": str(home),
                "NATS_URL": nats_server.url,
                "NATS_NKEY": str(nats_server.operator_seed),
                "STRONGROOM_URL": url,
                "STRONGROOM_TOKEN": token.token,
            }
            yield World(scene, environment)


def nats_program() -> str:
    """The folder of the `nats` program."""
    found = shutil.which("nats")
    if found is not None:
        return str(Path(found).parent)
    if CACHED_NATS.exists():
        return str(CACHED_NATS.parent)
    pytest.skip("NOT RUN HERE: there is no `nats` program: scripts/fetch-natscli makes one (two minutes)")


async def test_the_python_example_asks_for_a_backup_and_waits_for_it(world: World) -> None:
    status, said, errors = await world.run(sys.executable, "-I", "-c", example("Python"))
    made = await world.newest()
    assert (status, errors) == (0, "")
    assert said == f"backup.completed {made.size_bytes} bytes \n"
    assert made.actor == "my program"


async def test_the_python_example_tells_of_a_failure_and_of_a_refusal(world: World) -> None:
    world.scene.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it did not work")
    _, said, _ = await world.run(sys.executable, "-I", "-c", example("Python"))
    assert said.startswith("backup.failed None bytes")
    assert "it did not work" in said
    await world.scene.idle()
    await world.scene.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="orders"))
    status, _, errors = await world.run(sys.executable, "-I", "-c", example("Python"))
    assert status == 1
    assert "was deleted" in errors


async def test_the_nats_example_asks_for_a_backup_and_waits_for_it(world: World) -> None:
    path = nats_program()
    status, said, errors = await world.run("bash", "-c", example("The `nats` program"), path=path)
    made = await world.newest()
    assert status == 0, errors
    assert said == f"backup.completed {made.size_bytes} bytes \n"
    assert made.actor == "my script"


async def test_the_nats_program_finds_the_service_and_its_endpoints(world: World) -> None:
    status, said, errors = await world.run("nats", "micro", "info", "strongroom", path=nats_program())
    assert status == 0, errors
    assert "strongroom.control.backup.create" in said
    assert "BackupCreate" in said


async def test_the_curl_example_asks_for_a_backup_and_waits_for_it(world: World) -> None:
    status, said, errors = await world.run("bash", "-c", example("HTTP"))
    made = await world.newest()
    assert (status, errors) == (0, "")
    assert said == f"backup.completed {made.size_bytes} bytes \n"
    assert made.actor == "token:example"


def test_what_the_readme_shows_of_them_is_what_is_run_here() -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = 0
    for block in re.findall(r"^```\w+\n(.*?)^```", readme, re.MULTILINE | re.DOTALL):
        if "strongroom.control.backup.create" in block or "/api/v1/projects/acme" in block:
            assert block in EXAMPLES
            shown += 1
    assert shown == 2


def test_no_example_is_longer_than_can_be_read_at_a_glance() -> None:
    for heading in ("Python", "The `nats` program", "HTTP"):
        lines = [line for line in example(heading).splitlines() if line.strip()]
        assert len(lines) <= 16, heading
