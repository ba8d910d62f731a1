"""What goes in comes out, with our code and with the programs that anybody has."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from contracts.asks import AbortArtifact, CloseArtifact, OpenArtifact
from contracts.multipart import MIB
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.dumps import CollectingSink, PipeDump, repeated
from tests.servers.tools import tool

CHUNK = 64 * 1024


@pytest.mark.parametrize("size", [0, 1, 1024, CHUNK - 1, CHUNK, CHUNK + 1, 5 * MIB, 12 * MIB + 345])
async def test_a_dump_comes_back_as_it_was(agent: Agent, size: int) -> None:
    data = os.urandom(size)

    with PipeDump(data) as dump:
        uploaded = await agent.upload(dump)
    with CollectingSink() as sink:
        restored = await agent.download(uploaded.artifact, sink)

    assert restored == {"bytes": size}
    assert sink.sha256 == hashlib.sha256(data).hexdigest()
    assert uploaded.warnings == ["a warning of the tool"]


async def test_the_record_says_what_is_in_the_bucket(agent: Agent) -> None:
    with PipeDump(os.urandom(11 * MIB)) as dump:
        artifact = (await agent.upload(dump)).artifact

    stored = agent.coordinator.bucket.read(artifact.object_key)
    assert (len(stored), hashlib.sha256(stored).hexdigest()) == (artifact.stored_bytes, artifact.sha256)
    assert artifact.plain_bytes == 11 * MIB
    assert agent.meter.stored_bytes == artifact.stored_bytes
    assert agent.meter.plain_bytes == artifact.plain_bytes


async def test_age_and_zstd_open_the_object_without_our_code(agent: Agent, tmp_path: Path) -> None:
    data = b"".join(b"%d\tsome row of a table\n" % number for number in range(200_000)) + os.urandom(6 * MIB)
    with PipeDump(data) as dump:
        artifact = (await agent.upload(dump)).artifact
    sealed, identity, compressed = tmp_path / "object", tmp_path / "identity", tmp_path / "dump.zst"
    sealed.write_bytes(agent.coordinator.bucket.read(artifact.object_key))
    identity.write_text(agent.coordinator.project.reveal() + "\n")

    subprocess.run([tool("age"), "-d", "-i", str(identity), "-o", str(compressed), str(sealed)], check=True)
    listed = subprocess.run([tool("zstd"), "-lv", str(compressed)], check=True, capture_output=True, text=True).stdout
    opened = subprocess.run([tool("zstd"), "-dc", str(compressed)], check=True, capture_output=True).stdout

    assert opened == data
    assert "Number of files listed" in listed or "# Zstandard Frames: 1" in listed
    assert "XXH64" in listed


async def test_parts_have_the_sizes_that_the_coordinator_expects(agent: Agent) -> None:
    with PipeDump(os.urandom(17 * MIB)) as dump:
        artifact = (await agent.upload(dump)).artifact

    (closing,) = agent.coordinator.asks_of(CloseArtifact)
    parts = closing.parts
    assert [part.number for part in parts] == [1, 2, 3, 4]
    assert [part.size_bytes for part in parts[:3]] == [5 * MIB] * 3
    assert sum(part.size_bytes for part in parts) == artifact.stored_bytes
    assert all(len(part.etag) == 32 for part in parts)


async def test_the_driver_is_told_size_head_and_tail_of_the_dump(agent: Agent) -> None:
    data = os.urandom(3 * MIB)
    with PipeDump(data) as dump:
        await agent.upload(dump)
    assert dump.finished_with == (len(data), data[:1024], data[-1024:])


async def test_head_and_tail_of_a_dump_that_drips_in(agent: Agent) -> None:
    with PipeDump([b"a", b"bc", b"def"]) as dump:
        await agent.upload(dump)
    assert dump.finished_with == (6, b"abcdef", b"abcdef")


async def test_a_good_upload_asks_open_and_close_once_and_abort_never(agent: Agent) -> None:
    with PipeDump(b"small") as dump:
        await agent.upload(dump)
    assert [type(ask) for ask in agent.coordinator.asked] == [OpenArtifact, CloseArtifact]
    assert agent.coordinator.asks_of(AbortArtifact) == []


async def test_zeros_that_compress_ten_thousandfold_come_back(agent: Agent) -> None:
    block = bytes(MIB)
    with PipeDump(repeated(block, 300)) as dump:
        artifact = (await agent.upload(dump)).artifact
    with CollectingSink() as sink:
        await agent.download(artifact, sink)
    expected = hashlib.sha256()
    for _ in range(300):
        expected.update(block)
    assert sink.sha256 == expected.hexdigest()


async def test_several_artifacts_at_once_share_the_agents_room(agent: Agent) -> None:
    data = [os.urandom(11 * MIB) for _ in range(3)]
    with PipeDump(data[0]) as first, PipeDump(data[1]) as second, PipeDump(data[2]) as third:
        uploads = [agent.upload(dump, index=index) for index, dump in enumerate((first, second, third), start=1)]
        done = await asyncio.gather(*uploads)
    for uploaded, expected in zip(done, data, strict=True):
        with CollectingSink() as sink:
            await agent.download(uploaded.artifact, sink)
        assert sink.sha256 == hashlib.sha256(expected).hexdigest()
