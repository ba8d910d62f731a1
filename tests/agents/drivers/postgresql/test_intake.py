"""What goes into a restore arrives at its program, byte by byte, however both sides dawdle."""

from __future__ import annotations

import asyncio
import errno
import os
from pathlib import Path

import pytest

from agents.drivers.postgresql.intake import Intake
from agents.processes import Command, start
from tests.agents.drivers.playing import write_all

DATA = bytes(range(256)) * 40_000


async def pass_through(script: str, data: bytes, *, head_bytes: int = 1000) -> None:
    """Feeds `data` to a shell script as a restore does."""
    with Intake() as intake:
        async with asyncio.TaskGroup() as group:
            group.create_task(write(intake, data))
            head = await intake.read(head_bytes)
            assert head == data[:head_bytes]
            async with start(Command(argv=["sh", "-c", script]), stdin=True) as child:
                await intake.pass_on(head, child)
                assert (await child.wait()).ok
            await intake.drain()


async def write(intake: Intake, data: bytes) -> None:
    await asyncio.to_thread(write_all, intake.fd, data)
    intake.close_input()


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 65_536, len(DATA)])
async def test_every_byte_arrives(tmp_path: Path, size: int) -> None:
    await pass_through(f"cat > {tmp_path}/out", DATA[:size])
    assert (tmp_path / "out").read_bytes() == DATA[:size]


async def test_every_byte_arrives_at_a_slow_reader(tmp_path: Path) -> None:
    script = "while :; do head -c 1000000 > part; test -s part || exit 0; cat part; sleep 0.02; done"
    await pass_through(f"cd {tmp_path}; ({script}) > out", DATA)
    assert (tmp_path / "out").read_bytes() == DATA


async def test_every_byte_arrives_without_splice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> int:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "splice", unknown)
    await pass_through(f"cat > {tmp_path}/out", DATA)
    assert (tmp_path / "out").read_bytes() == DATA


async def test_what_a_program_does_not_want_is_taken_from_the_writer_nevertheless() -> None:
    with Intake() as intake:
        async with asyncio.TaskGroup() as group:
            group.create_task(write(intake, DATA))
            async with start(Command(argv=["head", "-c", "5"]), stdin=True) as child:
                await intake.pass_on(b"", child)
                assert (await child.wait()).ok
            await intake.drain()


async def test_an_abandoned_intake_breaks_the_writers_pipe() -> None:
    with Intake() as intake:
        writing = asyncio.create_task(asyncio.to_thread(write_all, intake.fd, DATA))
        await intake.read(100)
        intake.abandon()
        with pytest.raises(BrokenPipeError):
            await writing


async def test_an_intake_leaves_no_descriptor() -> None:
    before = set(Path("/proc/self/fd").iterdir())
    with Intake() as intake:
        intake.close_input()
        intake.close_input()
        intake.abandon()
    assert set(Path("/proc/self/fd").iterdir()) == before
