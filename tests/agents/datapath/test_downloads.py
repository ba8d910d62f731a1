"""Downloads that are cut, and objects that are not what they should be: the tool never gets a whole dump of those."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable

import msgspec
import pytest
import zstandard
from aiohttp import web

from contracts.age import Encryptor, Identity
from contracts.asks import OpenDownload
from contracts.errors import StrongroomError, error
from contracts.multipart import MIB
from contracts.records import ArtifactRecord
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.dumps import CollectingSink, PipeDump, repeated
from tests.agents.datapath.faulty_store import EXPIRED, FaultyStore, Passage, answer, cut_answers_after, first
from tests.servers.waiting import eventually

DATA = os.urandom(7 * MIB) + b"the end"


@pytest.fixture
async def artifact(agent: Agent) -> ArtifactRecord:
    with PipeDump(DATA) as dump:
        return (await agent.upload(dump)).artifact


async def restored(agent: Agent, artifact: ArtifactRecord) -> str:
    with CollectingSink() as sink:
        await agent.download(artifact, sink)
    assert sink.finished
    return sink.sha256


async def refused(agent: Agent, artifact: ArtifactRecord) -> tuple[StrongroomError, CollectingSink]:
    """The error; the tool was neither told that this was all, nor asked for its result."""
    with CollectingSink() as sink:
        with pytest.raises(StrongroomError) as caught:
            await agent.download(artifact, sink)
        assert not sink.input_closed
        assert not sink.finished
    return caught.value, sink


async def test_a_cut_download_goes_on_where_it_was(agent: Agent, artifact: ArtifactRecord, store: FaultyStore) -> None:
    store.on_answer = cut_answers_after(2 * MIB, times=2)
    assert await restored(agent, artifact) == hashlib.sha256(DATA).hexdigest()
    starts = [int(header.removeprefix("bytes=").rstrip("-")) for header in store.ranges]
    assert starts[0] == 0
    assert starts == sorted(set(starts))
    assert len(starts) == 3


async def test_a_download_may_be_cut_more_often_than_there_are_tries(
    agent: Agent, artifact: ArtifactRecord, store: FaultyStore
) -> None:
    tries = agent.download_limits.retry.tries
    store.on_answer = cut_answers_after(MIB, times=tries + 2)
    assert await restored(agent, artifact) == hashlib.sha256(DATA).hexdigest()
    assert len(store.ranges) == tries + 3


@pytest.mark.parametrize("fault", [answer(503), answer(500)], ids=["503", "500"])
async def test_a_busy_store_is_asked_again(
    agent: Agent, artifact: ArtifactRecord, store: FaultyStore, fault: object
) -> None:
    store.on_get = first(2, fault)  # type: ignore[arg-type]
    assert await restored(agent, artifact) == hashlib.sha256(DATA).hexdigest()


async def test_an_expired_signature_is_asked_for_anew(agent: Agent, artifact: ArtifactRecord, store: FaultyStore) -> None:
    store.on_get = first(1, answer(403, EXPIRED))
    assert await restored(agent, artifact) == hashlib.sha256(DATA).hexdigest()
    assert len(agent.coordinator.asks_of(OpenDownload)) == 2


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (answer(403, EXPIRED), "download.failed"),
        (answer(503), "download.failed"),
        (answer(404, "<Error><Code>NoSuchKey</Code></Error>"), "store.missing"),
        (answer(416), "artifact.corrupt"),
    ],
    ids=["denied", "always busy", "missing", "shorter"],
)
async def test_a_fault_that_stays_ends_the_download_with_its_code(
    agent: Agent, artifact: ArtifactRecord, store: FaultyStore, fault: object, code: str
) -> None:
    store.on_get = fault  # type: ignore[assignment]
    failure, sink = await refused(agent, artifact)
    assert failure.code == code
    assert sink.received_bytes == 0


async def test_a_download_that_does_not_move_is_resumed(agent: Agent, artifact: ArtifactRecord, store: FaultyStore) -> None:
    never = asyncio.Event()
    store.on_get = first(1, store.hold_until(never))
    agent.download_limits = msgspec.structs.replace(agent.download_limits, request_stall_s=1.0)
    assert await restored(agent, artifact) == hashlib.sha256(DATA).hexdigest()
    never.set()


Change = Callable[[bytes], bytes]


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2],
        lambda data: data + b"\0",
        lambda data: data + data[-1000:],
        lambda data: data[:4000] + bytes([data[4000] ^ 1]) + data[4001:],
        lambda data: data[:-1] + bytes([data[-1] ^ 1]),
        lambda data: data[: 300 * 1024] + data[300 * 1024 + 65552 :] + bytes(65552),
    ],
    ids=["last byte gone", "half gone", "a byte more", "a tail more", "a bit early", "a bit late", "a chunk dropped"],
)
@pytest.mark.parametrize("record_follows", [False, True], ids=["record right", "record forged too"])
async def test_a_changed_object_is_refused(
    agent: Agent, artifact: ArtifactRecord, change: Change, record_follows: bool
) -> None:
    """Even if the sizes and digest in the record were changed with it, so that only the encryption can tell."""
    bucket = agent.coordinator.bucket
    changed = change(bucket.read(artifact.object_key))
    bucket.write(artifact.object_key, changed)
    if record_follows:
        artifact = msgspec.structs.replace(artifact, stored_bytes=len(changed), sha256=hashlib.sha256(changed).hexdigest())
    failure, sink = await refused(agent, artifact)
    assert failure.code == "artifact.corrupt"
    assert sink.received_bytes < len(DATA)


def sealed(agent: Agent, compressed: bytes, identity: Identity | None = None) -> bytes:
    """A perfectly good age file, as everybody can make it who knows the recipient."""
    encryptor = Encryptor([(identity or agent.coordinator.project).recipient])
    return encryptor.preamble + encryptor.update(compressed) + encryptor.finish()


def compressed(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


async def stored(agent: Agent, content: bytes, plain_bytes: int) -> ArtifactRecord:
    agent.coordinator.bucket.write("made-up", content)
    return ArtifactRecord(
        name="orders",
        kind="database",
        format="raw",
        object_key="made-up",
        stored_bytes=len(content),
        plain_bytes=plain_bytes,
        sha256=hashlib.sha256(content).hexdigest(),
    )


async def test_another_file_for_the_same_recipient_is_not_taken_for_the_one_that_was_stored(
    agent: Agent, artifact: ArtifactRecord
) -> None:
    """Whoever can write to the bucket can encrypt to our recipients: only the record's digest tells."""
    forged_data = os.urandom(len(DATA) - 7) + b"a forge"
    forged = sealed(agent, compressed(forged_data))
    artifact = msgspec.structs.replace(artifact, stored_bytes=len(forged))
    agent.coordinator.bucket.write(artifact.object_key, forged)
    failure, sink = await refused(agent, artifact)
    assert failure.code == "artifact.corrupt"
    assert "SHA-256" in failure.message
    assert sink.received_bytes < len(forged_data)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (lambda data: compressed(data)[:-2], "not complete"),
        (lambda data: compressed(data) + compressed(b"more"), "follow"),
        (lambda data: compressed(data) + b"\0", "follow"),
        (lambda data: compressed(data)[:-1] + b"?", "compression is not intact"),
        (lambda _: b"", "not complete"),
        (lambda _: b"no zstd frame at all, but long enough to look like one", "compression is not intact"),
        (lambda data: compressed(data + b"x"), "more than"),
        (lambda data: compressed(data[:-1]), "should hold"),
    ],
    ids=["cut", "second frame", "trailing byte", "wrong checksum", "empty", "no zstd", "longer", "shorter"],
)
async def test_what_is_wrong_inside_the_encryption_is_found_too(
    agent: Agent, frame: Callable[[bytes], bytes], words: str
) -> None:
    data = b"a row of a table\n" * 1000
    record = await stored(agent, sealed(agent, frame(data)), len(data))
    failure, sink = await refused(agent, record)
    assert failure.code == "artifact.corrupt"
    assert words in failure.message
    assert sink.received_bytes < len(data)


async def test_a_grant_for_another_node_opens_nothing(agent: Agent, artifact: ArtifactRecord) -> None:
    agent.identity = Identity.generate()
    failure, sink = await refused(agent, artifact)
    assert failure.code == "key.unavailable"
    assert sink.received_bytes == 0


async def test_a_tool_that_dies_gives_its_own_reason(agent: Agent, artifact: ArtifactRecord) -> None:
    reason = error("restore.failed", "pg_restore ended with status 1", detail="out of memory")
    with CollectingSink(dies_after=1, failure=reason) as sink, pytest.raises(StrongroomError) as caught:
        await agent.download(artifact, sink)
    assert caught.value is reason


async def test_a_tool_that_ends_well_too_early_has_failed(agent: Agent, artifact: ArtifactRecord) -> None:
    with CollectingSink(dies_after=1) as sink, pytest.raises(StrongroomError) as caught:
        await agent.download(artifact, sink)
    assert caught.value.code == "restore.failed"


async def test_cancelled_while_the_tool_takes_its_time(agent: Agent, artifact: ArtifactRecord) -> None:
    with CollectingSink() as sink:
        sink.may_read.clear()
        download = asyncio.create_task(agent.download(artifact, sink))
        await eventually(lambda: agent.meter.plain_bytes > 0)
        download.cancel()
        with pytest.raises(asyncio.CancelledError):
            await download
        assert not sink.finished


async def test_a_slow_tool_holds_up_the_download(agent: Agent, store: FaultyStore) -> None:
    """What was received and not taken is bounded, however large the object is."""
    with PipeDump(repeated(os.urandom(MIB), 40)) as dump:
        agent.limit(zstd_level=1)
        artifact = (await agent.upload(dump)).artifact
    agent.meter.stored_bytes = 0
    with CollectingSink() as sink:
        sink.may_read.clear()
        download = asyncio.create_task(agent.download(artifact, sink))
        await eventually(lambda: agent.meter.stored_bytes >= 5 * MIB)
        assert agent.meter.stored_bytes < artifact.stored_bytes
        sink.may_read.set()
        await download


async def test_a_store_that_sends_another_range_is_not_believed(
    agent: Agent, artifact: ArtifactRecord, store: FaultyStore
) -> None:
    async def always_from_the_start(
        passage: Passage, status: int, headers: dict[str, str], data: bytes
    ) -> web.StreamResponse | None:
        if passage.number == 1:
            return await cut_answers_after(MIB, 1)(passage, status, headers, data)
        whole = agent.coordinator.bucket.read(artifact.object_key)
        return web.Response(status=200, body=whole)

    store.on_answer = always_from_the_start
    failure, _ = await refused(agent, artifact)
    assert failure.code == "download.failed"


async def test_a_target_that_cannot_be_written_fails_the_restore(agent: Agent, artifact: ArtifactRecord) -> None:
    with CollectingSink() as sink:
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, sink.fd)
        os.close(full)
        with pytest.raises(StrongroomError) as caught:
            await agent.download(artifact, sink)
    assert caught.value.code == "restore.failed"
    assert "No space left" in caught.value.message
