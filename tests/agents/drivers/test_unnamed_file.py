"""Files without a name, for what waits on disk."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from agents.drivers import unnamed_file
from agents.drivers.nats.spool import SegmentSpool
from agents.drivers.unnamed_file import UnnamedFile
from contracts.errors import RunFailed
from tests.servers.waiting import eventually


class _SlowDisk:
    """Writes wait for as long as is wanted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.writing = threading.Event()
        self.go_on = threading.Event()
        write = os.write

        def slowly(fd: int, data: bytes) -> int:
            self.writing.set()
            assert self.go_on.wait(10)
            return write(fd, data)

        monkeypatch.setattr(os, "write", slowly)


@pytest.fixture
def slow_disk(monkeypatch: pytest.MonkeyPatch) -> _SlowDisk:
    return _SlowDisk(monkeypatch)


async def test_what_was_written_is_read_as_often_as_wanted(tmp_path: Path) -> None:
    file = UnnamedFile(tmp_path)
    for data in (b"abc", b"", os.urandom(9 << 20)):
        await file.append(data)
    for _ in range(2):
        assert b"".join([piece async for piece in file.pieces()]) == b"abc" + data
    assert file.size_bytes == 3 + (9 << 20)
    assert list(tmp_path.iterdir()) == []
    file.close()
    file.close()


async def test_a_write_that_is_cancelled_has_ended_before_the_file_is_closed(tmp_path: Path, slow_disk: _SlowDisk) -> None:
    """Otherwise its thread would write into whatever file gets the same number next."""
    file = UnnamedFile(tmp_path)

    async def write() -> None:
        try:
            await file.append(b"private")
        finally:
            file.close()

    task = asyncio.create_task(write())
    await eventually(slow_disk.writing.is_set)
    task.cancel()
    await asyncio.wait([task], timeout=0.05)
    another = os.open(tmp_path / "another", os.O_RDWR | os.O_CREAT)
    slow_disk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert os.pread(another, 100, 0) == b""
    os.close(another)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_dump_that_is_cancelled_keeps_no_room_on_disk(tmp_path: Path, slow_disk: _SlowDisk) -> None:
    before = _open_files()
    spool = SegmentSpool(tmp_path)
    await spool.put(b"in memory")
    task = asyncio.create_task(spool.put(b"on disk"))
    await eventually(slow_disk.writing.is_set)
    task.cancel()
    slow_disk.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    spool.close()
    assert _open_files() == before


async def test_a_disk_that_is_full_or_fails_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunFailed) as caught:
        UnnamedFile(tmp_path / "absent")
    assert caught.value.code == "agent.internal"
    assert str(tmp_path) in caught.value.message
    file = UnnamedFile(tmp_path)
    monkeypatch.setattr(unnamed_file, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(RunFailed) as caught:
        await file.append(b"x")
    assert caught.value.code == "spool.full"
    assert "make room" in caught.value.message
    file.close()
