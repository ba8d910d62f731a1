"""Dumps and restores that are coroutines: what holds up whom, and what is left when one side goes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator

import pytest

from agents.drivers.pipes import PipeReader, PipeWriter, piped_dump, piped_restore
from contracts.errors import Conflict, Corrupt, RunFailed
from contracts.records import Attributes
from tests.agents.drivers.playing import feed, finish_dump, read_all
from tests.servers.waiting import eventually

MORE_THAN_A_PIPE = 5 * 1024 * 1024


def open_fds() -> set[int]:
    return {int(name) for name in os.listdir("/proc/self/fd")}  # noqa: PTH208


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    before = open_fds()
    yield
    assert open_fds() - before == set()


async def nothing_to_place() -> Attributes:
    return {"placed": True}


async def test_a_dump_comes_through_whole_with_its_warnings() -> None:
    data = os.urandom(MORE_THAN_A_PIPE)

    async def produce(pipe: PipeWriter) -> list[str]:
        await pipe.write(data[:1000])
        await pipe.write(bytearray(data[1000:2000]))
        await pipe.write(memoryview(data)[2000:])
        assert pipe.written_bytes == len(data)
        return ["mind the gap"]

    async with piped_dump(produce, name="x") as source:
        received = await asyncio.to_thread(read_all, source.fd)
        assert received == data
        assert await finish_dump(source, received) == ["mind the gap"]


async def test_a_reader_that_is_slow_holds_up_the_engine() -> None:
    written: list[int] = []

    async def produce(pipe: PipeWriter) -> list[str]:
        while pipe.written_bytes < MORE_THAN_A_PIPE:
            await pipe.write(bytes(65536))
            written.append(pipe.written_bytes)
        return []

    async with piped_dump(produce, name="x") as source:
        await eventually(lambda: written and written[-1] >= 65536)
        for _ in range(100):
            await asyncio.sleep(0)
        assert written[-1] <= 1024 * 1024  # what the pipe holds
        received = await asyncio.to_thread(read_all, source.fd)
        assert len(received) == MORE_THAN_A_PIPE
        await finish_dump(source, received)


async def test_what_the_engine_fails_with_is_told_at_the_end() -> None:
    async def produce(pipe: PipeWriter) -> list[str]:
        await pipe.write(b"half")
        raise RunFailed("dump.failed", "the engine went away")

    async with piped_dump(produce, name="x") as source:
        received = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, received)
        assert caught.value.message == "the engine went away"


async def test_a_dump_of_nothing_is_incomplete() -> None:
    async def produce(_: PipeWriter) -> list[str]:
        return []

    async with piped_dump(produce, name="x") as source:
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, await asyncio.to_thread(read_all, source.fd))
    assert caught.value.code == "dump.incomplete"


async def test_leaving_a_dump_waits_for_the_engines_clean_up() -> None:
    cleaned = False

    async def produce(pipe: PipeWriter) -> list[str]:
        nonlocal cleaned
        try:
            while True:
                await pipe.write(bytes(65536))
        finally:
            await asyncio.sleep(0.01)
            cleaned = True

    async with piped_dump(produce, name="x") as source:
        await asyncio.to_thread(os.read, source.fd, 100)
    assert cleaned


async def test_a_dump_that_is_cancelled_as_it_begins_leaves_nothing_open() -> None:
    async def produce(pipe: PipeWriter) -> list[str]:
        await pipe.write(bytes(MORE_THAN_A_PIPE))
        return []

    async def dumping() -> None:
        async with piped_dump(produce, name="x"):
            await asyncio.Event().wait()

    for steps in range(4):
        task = asyncio.create_task(dumping())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_a_restore_takes_all_in_and_then_places_it() -> None:
    data, steps = os.urandom(MORE_THAN_A_PIPE), []

    async def consume(pipe: PipeReader) -> None:
        assert await pipe.read_exactly(10) == data[:10]
        rest = bytearray()
        while part := await pipe.read():
            rest += part
        assert rest == data[10:]
        steps.append("consumed")

    async def confirm() -> None:
        steps.append("confirmed")

    async def place() -> Attributes:
        steps.append("placed")
        return {"collection": "x"}

    async with piped_restore(consume, place, name="x", confirm=confirm) as sink:
        await feed(sink, data)
        assert await sink.finish() == {"collection": "x"}
        assert sink.is_finished
        assert await sink.finish() == {"collection": "x"}
    assert steps == ["consumed", "confirmed", "placed"]


async def test_a_restore_that_needs_no_more_still_waits_for_the_end() -> None:
    """The last bytes say whether all before them are authentic."""

    async def consume(pipe: PipeReader) -> None:
        await pipe.read_exactly(10)

    async with piped_restore(consume, nothing_to_place, name="x") as sink:
        await feed(sink, bytes(MORE_THAN_A_PIPE))  # no broken pipe
        assert await sink.finish() == {"placed": True}


async def test_an_engine_that_refuses_the_data_is_told_to_whoever_writes() -> None:
    async def consume(pipe: PipeReader) -> None:
        await pipe.read(10)
        raise RunFailed("restore.failed", "no room left")

    async with piped_restore(consume, nothing_to_place, name="x") as sink:
        with pytest.raises(RunFailed) as caught:
            await feed(sink, bytes(MORE_THAN_A_PIPE))
        assert caught.value.message == "no room left"
        assert not sink.is_finished


async def test_nothing_is_placed_when_nobody_wants_it_any_more() -> None:
    async def consume(pipe: PipeReader) -> None:
        await pipe.drain()

    async def not_wanted() -> None:
        raise Conflict("run.not_current", "somebody else does it")

    async def place() -> Attributes:
        raise AssertionError

    async with piped_restore(consume, place, name="x", confirm=not_wanted) as sink:
        await feed(sink, b"data")
        with pytest.raises(Conflict):
            await sink.finish()


async def test_leaving_a_restore_early_cancels_the_engines_part_and_waits_for_it() -> None:
    cleaned = False

    async def consume(pipe: PipeReader) -> None:
        nonlocal cleaned
        try:
            await pipe.drain()
        finally:
            await asyncio.sleep(0.01)
            cleaned = True

    async with piped_restore(consume, nothing_to_place, name="x") as sink:
        await asyncio.to_thread(os.write, sink.fd, b"some")
    assert cleaned


async def test_a_restore_that_is_cancelled_as_it_begins_leaves_nothing_open() -> None:
    async def consume(pipe: PipeReader) -> None:
        await pipe.drain()

    async def restoring() -> None:
        async with piped_restore(consume, nothing_to_place, name="x"):
            await asyncio.Event().wait()

    for steps in range(4):
        task = asyncio.create_task(restoring())
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()


async def test_an_end_in_the_middle_is_damage() -> None:
    async def consume(pipe: PipeReader) -> None:
        await pipe.read_exactly(100)

    async with piped_restore(consume, nothing_to_place, name="x") as sink:
        await feed(sink, b"only this")
        with pytest.raises(Corrupt) as caught:
            await sink.finish()
    assert caught.value.code == "artifact.corrupt"
