"""Nothing becomes final before everything is known to be right, and whatever ends sooner leaves nothing behind."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator

import pytest

from contracts.asks import AbortArtifact, CloseArtifact
from contracts.errors import StrongroomError, error
from contracts.multipart import MIB
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.dumps import PipeDump
from tests.agents.datapath.faulty_store import FaultyStore, answer
from tests.servers.waiting import eventually


def nothing_is_left(agent: Agent) -> bool:
    bucket = agent.coordinator.bucket
    return not bucket.list_keys() and not bucket.list_uploads() and agent.staging.used_bytes == 0


async def test_a_dump_that_fails_after_its_last_byte_is_never_closed(agent: Agent) -> None:
    failure = error("dump.failed", "the tool ended with status 1", detail="its own words")
    with PipeDump(os.urandom(12 * MIB), failure=failure) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value is failure
    assert agent.coordinator.asks_of(CloseArtifact) == []
    assert agent.coordinator.aborted.is_set()
    assert nothing_is_left(agent)


async def test_the_last_sealed_chunk_does_not_exist_before_the_tool_has_ended_well(agent: Agent, store: FaultyStore) -> None:
    """Even if somebody joined all parts that were sent by then, no age program would open the result to its end."""
    may_end = asyncio.Event()
    parts_before: set[int] = set()

    class SlowToEnd(PipeDump):
        async def ending(self) -> None:
            await eventually(lambda: {1, 2} <= store.stored_parts)
            parts_before.update(store.stored_parts)
            assert agent.coordinator.asks_of(CloseArtifact) == []
            may_end.set()

    with SlowToEnd(os.urandom(12 * MIB)) as dump:
        await agent.upload(dump)
    assert may_end.is_set()
    assert parts_before == {1, 2}
    assert store.stored_parts == {1, 2, 3}


async def test_a_dump_that_stops_writing_has_failed(agent: Agent) -> None:
    released = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield os.urandom(MIB)
        released.wait()

    agent.limit(dump_stall_s=0.2)
    with PipeDump(pieces()) as dump:
        with pytest.raises(StrongroomError) as caught:
            await agent.upload(dump)
        released.set()
    assert caught.value.code == "dump.stalled"
    assert nothing_is_left(agent)


async def test_waiting_for_the_store_does_not_count_as_a_stall_of_the_dump(agent: Agent, store: FaultyStore) -> None:
    released = asyncio.Event()
    store.on_put = store.hold_until(released)
    agent.limit(dump_stall_s=0.2, spool_bytes=0, parts_in_flight=1)
    with PipeDump(os.urandom(40 * MIB)) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await store.held.wait()
        held_up = asyncio.get_running_loop().time() + 0.5
        await eventually(lambda: asyncio.get_running_loop().time() > held_up)
        assert not upload.done()
        released.set()
        await upload


async def test_cancelled_while_it_reads(agent: Agent) -> None:
    released = threading.Event()

    def pieces() -> Iterator[bytes]:
        yield os.urandom(12 * MIB)
        released.wait()

    with PipeDump(pieces()) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await eventually(lambda: agent.meter.parts >= 1)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert nothing_is_left(agent)
        released.set()
    assert agent.coordinator.aborted.is_set()


async def test_cancelled_while_the_store_holds_everything_up(agent: Agent, store: FaultyStore) -> None:
    store.on_put = store.hold_until(asyncio.Event())
    agent.limit(spool_bytes=0)
    with PipeDump(os.urandom(60 * MIB)) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await eventually(lambda: agent.staging.used_bytes >= 20 * MIB)
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
        assert dump.written_bytes < 60 * MIB
        assert nothing_is_left(agent)
    assert dump.broken


async def test_cancelled_while_the_tool_ends(agent: Agent) -> None:
    ending = asyncio.Event()

    class NeverEnds(PipeDump):
        async def ending(self) -> None:
            ending.set()
            await asyncio.Event().wait()

    with NeverEnds(os.urandom(6 * MIB)) as dump:
        upload = asyncio.create_task(agent.upload(dump))
        await ending.wait()
        upload.cancel()
        with pytest.raises(asyncio.CancelledError):
            await upload
    assert agent.coordinator.asks_of(CloseArtifact) == []
    assert nothing_is_left(agent)


async def test_a_store_that_fails_stops_the_reading_of_a_dump_that_writes_for_ever(agent: Agent, store: FaultyStore) -> None:
    store.on_put = answer(400, "<Error><Code>AccountProblem</Code></Error>")

    def endless() -> Iterator[bytes]:
        while True:
            yield os.urandom(MIB)

    with PipeDump(endless()) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "upload.denied"
    assert dump.broken
    assert nothing_is_left(agent)


async def test_an_upload_that_cannot_be_opened_reads_nothing(agent: Agent) -> None:
    async def refuse(_: object) -> None:
        raise error("run.not_current", "somebody else works on it")

    agent.coordinator.open = refuse  # type: ignore[assignment, method-assign]
    with PipeDump(os.urandom(3 * MIB)) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "run.not_current"
    assert dump.finished_with is None


async def test_an_abort_that_does_not_get_through_does_not_hide_the_reason(agent: Agent) -> None:
    async def away(ask: AbortArtifact) -> None:
        raise error("bus.unavailable", "nobody answers")

    agent.coordinator.abort = away  # type: ignore[method-assign]
    failure = error("dump.incomplete", "nothing was written")
    with PipeDump(b"", failure=failure) as dump, pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert caught.value.code == "dump.incomplete"


async def test_a_dump_that_cannot_be_read_has_failed(agent: Agent) -> None:
    with PipeDump(b"") as dump:
        directory = os.open("/", os.O_RDONLY)
        os.dup2(directory, dump.fd)
        os.close(directory)
        with pytest.raises(StrongroomError) as caught:
            await agent.upload(dump)
    assert caught.value.code == "dump.failed"
    assert "directory" in caught.value.message
