"""schemathesis over the OpenAPI document, against a coordinator with something in it: no server error, no answer that the
document does not know, and what is answered is as it says."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import tomli_w
import zstandard

from contracts import control
from contracts.age import Identity
from contracts.records import BackupRecord, RunState
from contracts.tasks import cancel_surely, cancellable
from tests.daemon.http.calling import Door, fill, store_backups
from tests.daemon.robots import RobotAgent, robot
from tests.daemon.speaking import sealed
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

_EXAMPLES: Final = 8
"""Of each operation, beside those that follow from its schema."""
_CHECKS: Final = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
)
_LEFT_OUT: Final = (
    "channel_test",  # sends a message to wherever the channel leads
    "token_revoke",  # may end the token by which the run itself is let in
)
_LARGEST: Final = ("service", "retention")
"""The tags of the operations with the largest requests, which take as long as all others."""


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.parametrize("way", ["include", "exclude"], ids=["the largest requests", "all others"])
async def test_schemathesis_finds_nothing(door: Door, nats_server: NatsServer, tmp_path: Path, way: str) -> None:
    """A thousand requests each: half a minute where nothing else goes on."""
    backup = await a_backup_that_is_there(door, nats_server)
    async with beating(nats_server):
        output, status = await run(door, tmp_path, backup, *(f"--{way}-tag={tag}" for tag in _LARGEST))
    assert status == 0, output


async def run(door: Door, directory: Path, backup: BackupRecord, *options: str) -> tuple[str, int]:
    """What schemathesis says, and its exit status."""
    config = directory / "schemathesis.toml"
    config.write_text(tomli_w.dumps(config_of(backup)))
    hooks = directory / "strongroom_hooks.py"
    hooks.write_text(HOOKS)
    command = [
        str(Path(sys.executable).with_name("schemathesis")),
        f"--config-file={config}",
        "run",
        f"{door.url}/schema/openapi.json",
        f"--header=Authorization: Bearer {await door.token()}",
        "--phases=examples,coverage,fuzzing",
        f"--checks={','.join(_CHECKS)}",
        f"--max-examples={_EXAMPLES}",
        "--request-timeout=30",
        # Of several, each sets the interpreter's recursion limit under the others' feet.
        "--workers=1",
        "--seed=1",
        "--generation-deterministic",
        "--no-shrink",
        "--warnings=off",
        "--continue-on-failure",
        *(f"--exclude-operation-id={name}" for name in _LEFT_OUT),
        *options,
    ]
    environment = {**os.environ, "PYTHONPATH": str(directory), "SCHEMATHESIS_HOOKS": hooks.stem, "NO_COLOR": "1"}
    process = await asyncio.create_subprocess_exec(
        *command, cwd=directory, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return output.decode(errors="replace"), process.returncode or 0


HOOKS: Final = """
import schemathesis

@schemathesis.hook
def before_call(context, case, kwargs):
    name = case.operation.definition.raw["operationId"]
    if name in ("event_follow", "log_follow"):
        # Without it they end never.
        case.query = {**(case.query or {}), "follow": "false"}
    # What is made here shall send nothing to anywhere.
    if name in ("channel_create", "channel_change") and isinstance(case.body, dict):
        case.body["enabled"] = False
    if name == "ping_set" and isinstance(case.body, dict):
        case.body["tell_failure"] = case.body["tell_start"] = False
"""


def config_of(backup: BackupRecord) -> dict[str, Any]:
    """Names of things that are there, for most of the requests; what deletes gets other ones."""
    there = {
        "project": ["acme", "other"],
        "service": [backup.service],
        "node": ["node-1"],
        "backup": [backup.id, "latest"],
        "artifact": [backup.artifacts[0].name],
    }
    bindings = {
        "path.project": "project",
        "query.project": "project",
        "path.service": "service",
        "query.service": "service",
        "path.node": "node",
        "path.id": "backup",
        "query.artifact": "artifact",
    }
    return {
        "dictionaries": {name: {"values": values} for name, values in there.items()},
        "parameters": {place: {"dictionary": name, "probability": 0.8} for place, name in bindings.items()},
    }


async def a_backup_that_is_there(door: Door, nats_server: NatsServer) -> BackupRecord:
    """One with its objects, among the records of others."""
    await fill(door)
    await store_backups(nats_server, 30, state=RunState.FAILED)
    project = await door.operator.call(control.PROJECT_SHOW, control.ProjectRef(project="acme"))
    async with robot(nats_server, "node-1", "acme/orders") as agent:
        agent.data = lambda _: an_artifact(project.recipients)

        async def asked_for() -> bool:
            await agent.beat(services=agent.health)
            answer = await door.call("POST", "/projects/acme/services/orders/backups", json={"tags": ["kept"]})
            return answer.status_code == 202

        await eventually(asked_for)

        async def completed() -> BackupRecord | None:
            asked = control.BackupList(project="acme", service="orders", states=[RunState.COMPLETED], tag="kept")
            found = (await door.operator.call(control.BACKUP_LIST, asked)).backups
            return found[0] if found else None

        return await eventually(completed)


def an_artifact(recipients: list[str]) -> bytes:
    """One that opens to as many bytes as robots say of theirs: twice its own size."""
    size = 0
    while 2 * len(data := sealed(zstandard.compress(bytes(size)), recipients)) != size:
        size = 2 * len(data)
    return data


@asynccontextmanager
async def beating(nats_server: NatsServer) -> AsyncIterator[None]:
    """The node is alive, so that runs can be asked for, and never takes one up."""
    async with nats_server.connect_node("node-1") as client:
        agent = RobotAgent(client, "node-1", ["acme/orders"])
        agent.identity = Identity.parse(nats_server.node_seeds["node-1"].with_suffix(".age").read_text())
        task = asyncio.create_task(cancellable(agent._beat()), name="beating")
        try:
            yield
        finally:
            await cancel_surely(task)
