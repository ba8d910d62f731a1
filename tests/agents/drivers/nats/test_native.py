"""Restoring without Strongroom: the shell lines that are printed for that."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from contracts.age import Identity
from contracts.native_restore import native_restore_commands
from contracts.records import ArtifactRecord
from contracts.services import NATSOptions
from tests.agents.drivers.nats.content import stream_content
from tests.agents.drivers.nats.engine import NatsEngine
from tests.agents.drivers.nats.filling import ODD_NAMES
from tests.agents.drivers.playing import back_up
from tests.servers.nats_service import APP, PASSWORDS
from tests.servers.tools import tool

ROOT = Path(__file__).parents[4]


def _sealed(record: ArtifactRecord, data: bytes, folder: Path) -> ArtifactRecord:
    """The object as it lies in the bucket, as `object` in the folder, and its record."""
    identity = Identity.generate()
    (folder / "key.txt").write_text(identity.reveal() + "\n")
    packed = subprocess.run([tool("zstd"), "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout
    encrypt = [tool("age"), "-r", str(identity.recipient)]
    (folder / "object").write_bytes(subprocess.run(encrypt, input=packed, stdout=subprocess.PIPE, check=True).stdout)
    return msgspec.structs.replace(record, object_key="acme/bus/object")


@pytest.mark.parametrize("name", ["LARGE", "KV_settings", "MEMORY", ODD_NAMES[0], "-dash"])
async def test_the_lines_make_a_directory_that_any_client_can_restore(varied: NatsEngine, tmp_path: Path, name: str) -> None:
    """The last line needs the `nats` program, which no package brings; a plain client of the same API stands in for it."""
    backup = await back_up(varied.driver(NATSOptions(include=[name])))
    record = _sealed(*backup.artifacts[0], tmp_path)
    *lines, last = native_restore_commands(record)
    assert last.startswith("nats stream restore ")
    subprocess.run(["sh", "-eu", "-c", "\n".join(lines)], cwd=tmp_path, check=True)
    directory = tmp_path / name
    assert sorted(path.name for path in directory.iterdir()) == ["backup.json", "stream.arc.s2"]
    async with varied.server.connect() as client:
        before = await stream_content(client, name)
        await varied.wipe()
        given = msgspec.json.encode(msgspec.json.decode((directory / "backup.json").read_bytes()))
        subprocess.run(
            [sys.executable, "-m", "scripts.benches.nats_streams", "restore", name],
            input=given + b"\n" + (directory / "stream.arc.s2").read_bytes(),
            env={**os.environ, "NATS_URL": varied.server.url, "NATS_USER": APP, "NATS_PASSWORD": PASSWORDS[APP]},
            cwd=ROOT,
            check=True,
        )
        after = await stream_content(client, name)
    if name == "MEMORY":
        assert after["config"].pop("storage") == "file"
        assert before["config"].pop("storage") == "memory"
    assert after == before
