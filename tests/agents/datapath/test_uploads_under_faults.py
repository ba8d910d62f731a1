"""Uploads to a store that is slow, busy, forgetful, damaged or dead."""

from __future__ import annotations

import asyncio
import hashlib
import os

import msgspec
import pytest
from aiohttp import ClientSession, web
from yarl import URL

from agents.datapath.store_answers import Next, StoreAnswer, read_answer
from contracts.asks import AbortArtifact, CloseArtifact, Grant, MoreParts, OpenArtifact, SignedPart
from contracts.errors import StrongroomError, error
from contracts.multipart import MIB
from contracts.records import ArtifactRecord
from tests.agents.datapath.conftest import Agent
from tests.agents.datapath.coordinator import RUN_ID
from tests.agents.datapath.dumps import CollectingSink, PipeDump
from tests.agents.datapath.faulty_store import (
    EXPIRED,
    SLOW_DOWN,
    FaultyStore,
    Passage,
    answer,
    cut_upload_after,
    first,
    flip_byte,
    hang_up,
)
from tests.servers.waiting import eventually

DATA = os.urandom(12 * MIB)


async def assert_restorable(agent: Agent, artifact: ArtifactRecord, data: bytes = DATA) -> None:
    with CollectingSink() as sink:
        await agent.download(artifact, sink)
    assert sink.sha256 == hashlib.sha256(data).hexdigest()


async def fails(agent: Agent, dump: PipeDump) -> StrongroomError:
    """The upload's error; nothing is left of it: not in the store, not in memory, not in the spool."""
    with pytest.raises(StrongroomError) as caught:
        await agent.upload(dump)
    assert agent.coordinator.asks_of(CloseArtifact) == []
    assert len(agent.coordinator.asks_of(AbortArtifact)) == 1
    assert agent.coordinator.bucket.list_uploads() == []
    assert agent.coordinator.bucket.list_keys() == []
    assert agent.staging.used_bytes == 0
    return caught.value


@pytest.mark.parametrize(
    "fault",
    [
        answer(503, SLOW_DOWN),
        answer(429, headers={"Retry-After": "0"}),
        answer(500, "<Error><Code>InternalError</Code></Error>"),
        answer(307, headers={"Location": "http://127.0.0.1:1/elsewhere"}),
        cut_upload_after(0),
        cut_upload_after(3 * MIB),
    ],
    ids=["503", "429", "500", "307", "cut at once", "cut in the middle"],
)
async def test_a_part_is_sent_again_after_a_passing_fault(agent: Agent, store: FaultyStore, fault: object) -> None:
    store.on_put = first(2, fault)  # type: ignore[arg-type]
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert 1 <= agent.meter.retries <= 2  # aiohttp itself tries again when a connection that it kept proves to be dead
    await assert_restorable(agent, artifact)


async def test_a_lost_answer_does_no_harm(agent: Agent, store: FaultyStore) -> None:
    async def lose(passage: Passage, status: int, headers: dict[str, str], data: bytes) -> web.StreamResponse | None:
        return hang_up(passage.request) if passage.request.method == "PUT" and passage.number <= 2 else None

    store.on_answer = lose
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert len(store.puts) == 5
    await assert_restorable(agent, artifact)


async def test_a_part_damaged_on_the_way_is_refused_by_the_store_and_sent_again(agent: Agent, store: FaultyStore) -> None:
    answers: list[int] = []

    async def note(_: Passage, status: int, __: dict[str, str], ___: bytes) -> None:
        answers.append(status)

    store.on_put = first(1, flip_byte(1234))
    store.on_answer = note
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert max(answers) == 400
    await assert_restorable(agent, artifact)


async def test_a_part_damaged_unnoticed_by_the_store_is_found_by_its_etag(agent: Agent, store: FaultyStore) -> None:
    store.on_put = first(1, flip_byte(1234, hide=True))
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert agent.meter.retries == 1
    await assert_restorable(agent, artifact)


@pytest.mark.parametrize("hide", [False, True])
async def test_parts_that_are_always_damaged_end_the_upload(agent: Agent, store: FaultyStore, hide: bool) -> None:
    store.on_put = flip_byte(0, hide=hide)
    with PipeDump(DATA) as dump:
        failure = await fails(agent, dump)
    assert failure.code == "upload.mismatch"


async def test_an_expired_signature_is_asked_for_anew(agent: Agent, store: FaultyStore) -> None:
    async def expire_the_first_grant(passage: Passage) -> web.StreamResponse | None:
        expired = answer(403, EXPIRED)
        return await expired(passage) if passage.request.query["X-Amz-Expires"] == "1000" else None

    agent.coordinator.first_batch = 32
    agent.coordinator.url_lifetime_s = 1000

    def sign_otherwise(_: MoreParts) -> None:
        agent.coordinator.url_lifetime_s = 2000

    agent.coordinator.on_more = sign_otherwise
    store.on_put = expire_the_first_grant
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert agent.meter.retries == 0
    assert len(agent.coordinator.asks_of(MoreParts)) == 1
    await assert_restorable(agent, artifact)


async def test_a_fresh_signature_that_is_refused_too_is_final(agent: Agent, store: FaultyStore) -> None:
    store.on_put = answer(403, EXPIRED)
    agent.limit(parts_in_flight=1)
    with PipeDump(DATA) as dump:
        failure = await fails(agent, dump)
    assert failure.code == "upload.denied"
    assert "Request has expired" in failure.message
    assert len(store.puts) == 2


async def test_an_upload_that_somebody_else_ended_hears_the_coordinators_reason(agent: Agent, store: FaultyStore) -> None:
    def refuse(_: MoreParts) -> None:
        raise error("run.not_current", "another attempt has taken over")

    agent.coordinator.on_more = refuse
    store.on_put = answer(404, "<Error><Code>NoSuchUpload</Code></Error>")
    with PipeDump(DATA) as dump:
        failure = await fails(agent, dump)
    assert failure.code == "run.not_current"


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (answer(400, "<Error><Code>EntityTooLarge</Code></Error>"), "upload.denied"),
        (answer(503, SLOW_DOWN), "upload.failed"),
        (answer(507), "store.full"),
        (answer(500, "<Error><Code>InternalError</Code><Message>no space left on device</Message></Error>"), "store.full"),
        (cut_upload_after(MIB), "store.unavailable"),
    ],
    ids=["refused", "always busy", "507", "full in words", "always cut"],
)
async def test_a_fault_that_stays_ends_the_upload_with_its_code(
    agent: Agent, store: FaultyStore, fault: object, code: str
) -> None:
    store.on_put = fault  # type: ignore[assignment]
    with PipeDump(DATA) as dump:
        failure = await fails(agent, dump)
    assert failure.code == code
    assert dump.broken or dump.written_bytes == len(DATA)


async def test_a_store_that_is_not_there_ends_the_upload(agent: Agent, store: FaultyStore) -> None:
    original = agent.coordinator.open

    async def open_elsewhere(ask: OpenArtifact) -> Grant:
        grant = await original(ask)
        parts = [SignedPart(part.number, part.url.replace(store.url, "http://127.0.0.1:1")) for part in grant.parts]
        return msgspec.structs.replace(grant, parts=parts)

    agent.coordinator.open = open_elsewhere  # type: ignore[method-assign]
    with PipeDump(DATA) as dump:
        failure = await fails(agent, dump)
    assert failure.code == "store.unavailable"
    assert "ECONNREFUSED" in failure.message


async def test_a_request_that_does_not_move_is_given_up(agent: Agent, store: FaultyStore) -> None:
    released = asyncio.Event()
    store.on_put = first(1, store.hold_until(released))
    agent.limit(request_stall_s=2.0)
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    released.set()
    assert agent.meter.retries == 1
    await assert_restorable(agent, artifact)


async def test_no_error_and_no_log_line_quotes_a_signature(
    agent: Agent, store: FaultyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    async def quote_it_back(passage: Passage) -> web.StreamResponse:
        await passage.request.read()
        url = str(passage.request.url)
        return web.Response(status=503, text=f"<Error><Code>SlowDown</Code><Resource>{url}</Resource></Error>")

    for fault in (quote_it_back, cut_upload_after(MIB)):
        store.on_put = fault
        with PipeDump(DATA) as dump, pytest.raises(StrongroomError) as caught:
            await agent.upload(dump)
        said = capsys.readouterr()
        for text in (str(caught.value), repr(caught.value.detail), said.out, said.err):
            assert "Signature" not in text
            assert "X-Amz" not in text


async def test_signatures_are_fetched_ahead_of_the_parts(agent: Agent) -> None:
    agent.coordinator.first_batch = 4
    data = os.urandom(42 * MIB)
    with PipeDump(data) as dump:
        await agent.upload(dump)
    questions = agent.coordinator.asks_of(MoreParts)
    assert [question.first for question in questions] == [5]
    (closing,) = agent.coordinator.asks_of(CloseArtifact)
    assert [part.number for part in closing.parts] == list(range(1, 10))


@pytest.mark.parametrize("claimed_lifetime_s", [-86_400, 1, 10 * 86_400])
async def test_a_wrong_clock_costs_a_question_at_most(agent: Agent, claimed_lifetime_s: float) -> None:
    agent.coordinator.claimed_lifetime_s = claimed_lifetime_s
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert len(agent.coordinator.asks_of(MoreParts)) <= 1
    await assert_restorable(agent, artifact)


async def test_a_coordinator_that_is_away_for_a_moment_is_asked_again(agent: Agent) -> None:
    failures = [error("bus.unavailable", "no coordinator is running")] * 3
    original = agent.coordinator.close

    async def close(ask: CloseArtifact) -> ArtifactRecord:
        if failures:
            raise failures.pop()
        return await original(ask)

    agent.coordinator.close = close  # type: ignore[method-assign]
    with PipeDump(DATA) as dump:
        artifact = (await agent.upload(dump)).artifact
    assert failures == []
    await assert_restorable(agent, artifact)


async def test_the_real_stores_word_for_an_expired_signature_is_understood(agent: Agent, http: ClientSession) -> None:
    agent.coordinator.url_lifetime_s = 1
    opening = OpenArtifact(run_id=RUN_ID, attempt=1, index=1, name="x", kind="x", format="x", suffix="x", estimate_bytes=0)
    grant = await agent.coordinator.open(opening)

    async def refusal() -> StoreAnswer | None:
        async with http.put(URL(grant.parts[0].url, encoded=True), data=b"late") as response:
            body = await response.read()
            return read_answer(response.status, response.headers, body) if response.status != 200 else None

    judged = await eventually(refusal)
    assert judged.next is Next.RENEW
    assert judged.status == 403
