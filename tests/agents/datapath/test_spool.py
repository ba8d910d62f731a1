"""Parts that wait on disk: encrypted, bounded, without a name, and gone whatever happens."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import stat
from pathlib import Path

import pytest

from agents.datapath import Staging, UploadLimits
from agents.datapath.spool import open_unnamed
from contracts.errors import InvalidInput, StrongroomError
from contracts.multipart import MIB
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.dumps import CollectingSink, PipeDump, repeated
from tests.agents.datapath.faulty_store import FaultyStore
from tests.servers.waiting import eventually

MARK = b"this line of a table must never lie on the disk\n"


def spool_files(directory: str) -> list[int]:
    """Descriptors of this process whose files are in the directory."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target.startswith(directory):
            found.append(int(entry.name))
    return found


async def test_a_slow_store_fills_the_spool_and_the_dump_goes_on(agent: Agent, store: FaultyStore) -> None:
    released = asyncio.Event()
    store.on_put = store.hold_until(released)
    data = os.urandom(22 * MIB)
    with PipeDump(data) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await eventually(lambda: dump.written_bytes == len(data))  # 10 MiB in memory, the rest on disk
        assert agent.staging.spooled_bytes > 0
        released.set()
        artifact = (await upload).artifact
    assert agent.meter.spooled_parts >= 2
    assert agent.staging.used_bytes == 0
    with CollectingSink() as sink:
        await agent.download(artifact, sink)
    assert sink.sha256 == hashlib.sha256(data).hexdigest()


async def test_what_lies_in_the_spool_is_encrypted_private_and_nameless(agent: Agent, store: FaultyStore) -> None:
    released = asyncio.Event()
    store.on_put = store.hold_until(released)
    agent.coordinator.base_part_bytes = 8 * MIB  # more than half of the memory: straight to disk
    incompressible = os.urandom(9 * MIB)
    with PipeDump([MARK * 1000, incompressible, MARK * 1000]) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await store.held.wait()
        fds = spool_files(agent.limits.spool_dir)
        assert fds
        assert os.listdir(agent.limits.spool_dir) == []  # noqa: PTH208 - a name is what is looked for
        assert stat.S_IMODE(os.stat(agent.limits.spool_dir).st_mode) == 0o700  # noqa: PTH116
        assert all(stat.S_IMODE(os.fstat(fd).st_mode) == 0o600 for fd in fds)
        spooled = [os.pread(fd, 8 * MIB, 0) for fd in fds]
        assert any(part.startswith(b"age-encryption.org/v1\n") for part in spooled)
        assert not any(MARK in part or incompressible[:64] in part for part in spooled)
        released.set()
        await upload
    assert spool_files(agent.limits.spool_dir) == []


async def test_a_part_larger_than_the_memory_goes_through_the_spool(agent: Agent) -> None:
    agent.coordinator.base_part_bytes = 525 * MIB
    data = os.urandom(30 * MIB)
    with PipeDump(data) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert (agent.meter.parts, agent.meter.spooled_parts) == (1, 1)
    with CollectingSink() as sink:
        await agent.download(artifact, sink)
    assert sink.sha256 == hashlib.sha256(data).hexdigest()


async def test_memory_and_spool_full_hold_up_the_dump(agent: Agent, store: FaultyStore) -> None:
    released = asyncio.Event()
    store.on_put = store.hold_until(released)
    block = os.urandom(MIB)
    with PipeDump(repeated(block, 60)) as dump:  # random, so nothing of it is saved by compressing
        agent.limit(zstd_level=1, parts_in_flight=2)
        upload = asyncio.create_task(agent.upload(dump))
        await eventually(lambda: agent.staging.used_bytes >= 30 * MIB)
        assert agent.staging.used_bytes <= 30 * MIB
        assert dump.written_bytes < 60 * MIB
        released.set()
        await upload
    assert dump.written_bytes == 60 * MIB


async def test_a_full_disk_ends_the_upload_of_a_part_that_needs_it(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", no_room)
    agent.coordinator.base_part_bytes = 64 * MIB
    with PipeDump(os.urandom(MIB)) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "spool.full"
    assert agent.staging.used_bytes == 0
    assert agent.coordinator.bucket.list_uploads() == []


async def test_a_full_disk_holds_up_a_dump_whose_parts_fit_in_memory(
    agent: Agent, store: FaultyStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    def no_room(*_: object) -> None:
        loop.call_soon_threadsafe(tried.set)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    released = asyncio.Event()
    store.on_put = store.hold_until(released)
    monkeypatch.setattr(os, "posix_fallocate", no_room)
    data = os.urandom(17 * MIB)
    with PipeDump(data) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await tried.wait()
        released.set()
        await upload
    assert agent.meter.spooled_parts == 0


async def test_a_disk_that_fills_up_while_a_part_is_written(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on file systems that cannot set room aside."""

    def no_room(*_: object) -> int:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    def not_supported(*_: object) -> None:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))

    monkeypatch.setattr(os, "posix_fallocate", not_supported)
    monkeypatch.setattr(os, "pwrite", no_room)
    agent.coordinator.base_part_bytes = 64 * MIB
    with PipeDump(os.urandom(3 * MIB)) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "spool.full"
    assert spool_files(agent.limits.spool_dir) == []


async def test_a_disk_that_cannot_be_read_back_is_reported_as_such(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> bytes:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "pread", broken)
    agent.coordinator.base_part_bytes = 64 * MIB
    with PipeDump(os.urandom(3 * MIB)) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "agent.internal"
    assert "spool directory" in caught.value.message
    assert agent.meter.retries == 0


def test_a_spool_directory_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a directory")
    with pytest.raises(InvalidInput, match="spool_dir"):
        Staging(UploadLimits(spool_dir=str(occupied)))


def test_a_file_system_without_nameless_files_leaves_no_name_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_open = os.open

    def old_open(path: str, flags: int, *rest: int) -> int:
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
        return real_open(path, flags, *rest)

    monkeypatch.setattr(os, "open", old_open)
    fd = open_unnamed(tmp_path)
    try:
        assert list(tmp_path.iterdir()) == []
        assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o600
    finally:
        os.close(fd)
