"""Events, log lines and progress as everybody reads them: in order, once, from the right place, leaving nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime
from itertools import count

import pytest
from nats.aio.client import Client
from nats.js import JetStreamContext

from contracts.bus import patiently
from contracts.errors import InvalidInput
from contracts.events import Event
from contracts.records import RunKind
from contracts.reports import LogLine, Progress
from contracts.subjects import EVENTS_STREAM, LOGS_STREAM, event_subject, log_subject, progress_subject
from contracts.wire import encode
from daemon.activity import EventFilter, LogFilter, events, history, log_lines, progress
from daemon.catalog.topology import ensure_topology
from tests.servers.nats import NatsServer, settle
from tests.servers.waiting import eventually

RUN = "20261122T000512Z-k7xq"
OTHER = "20261122T000513Z-abcd"
AT = datetime(2026, 11, 22, tzinfo=UTC)
ALL = EventFilter()


class Log:
    """Writes into the streams as the coordinator does."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.js: JetStreamContext = client.jetstream(timeout=5)
        self._numbers = count(1)

    async def event(self, type_: str = "backup.completed", project: str = "acme", service: str = "orders") -> str:
        """Its id."""
        event = Event(id=f"e{next(self._numbers)}", type=type_, at=AT, project=project, service=service)
        await self.js.publish(event_subject(type_, project, service), encode(event))
        return event.id

    async def line(self, text: str, run_id: str = RUN) -> None:
        line = LogLine(
            run=RunKind.BACKUP, project="acme", service="orders", run_id=run_id, attempt=1, at=AT, level="info", event=text
        )
        await self.js.publish(log_subject("acme", "orders", run_id), encode(line))

    async def consumers(self) -> int:
        """How many somebody has left on the servers."""
        return sum([len(await self.js.consumers_info(name)) for name in (EVENTS_STREAM, LOGS_STREAM)])


@asynccontextmanager
async def _log(nats_server: NatsServer) -> AsyncIterator[Log]:
    async with nats_server.connect_coordinator() as client:
        made = Log(client)
        await ensure_topology(made.js, replicas=1)
        yield made


@pytest.fixture
async def log(nats_server: NatsServer) -> AsyncIterator[Log]:
    async with _log(nats_server) as made:
        yield made


async def ids(log: Log, wanted: EventFilter = ALL, **place: int) -> list[str]:
    async with aclosing(events(log.client, wanted, follow=False, **place)) as found:  # type: ignore[arg-type]
        return [each.value.id async for each in found]


async def test_what_is_stored_is_read_from_a_place_on(log: Log) -> None:
    for _ in range(250):
        await log.event()
    assert await ids(log, after_sequence=0) == [f"e{number}" for number in range(1, 251)]
    assert await ids(log, after_sequence=248) == ["e249", "e250"]
    assert await ids(log, after_sequence=250) == []
    assert await ids(log) == []
    assert await log.consumers() == 0


async def test_a_filter_takes_what_it_names_and_nothing_else(log: Log) -> None:
    failed = await log.event("backup.failed")
    done = await log.event("backup.completed", service="files")
    node = await log.event("node.silent", project="", service="")
    other = await log.event("restore.failed", project="globex")
    assert await ids(log, after_sequence=0) == [failed, done, node, other]
    assert await ids(log, EventFilter(project="acme"), after_sequence=0) == [failed, done]
    assert await ids(log, EventFilter(service="files"), after_sequence=0) == [done]
    assert await ids(log, EventFilter(types=("backup", "backup.failed")), after_sequence=0) == [failed, done]
    assert await ids(log, EventFilter(types=("restore.failed", "node.silent")), after_sequence=0) == [node, other]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        (EventFilter(project="a.>"), "project"),
        (EventFilter(service="*"), "service"),
        (EventFilter(types=("backup.exploded",)), "types"),
    ],
)
def test_a_filter_that_makes_no_sense_is_named(wanted: EventFilter, field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        wanted.subjects()
    assert refused.value.field == field


def test_a_run_in_a_filter_must_be_a_run() -> None:
    with pytest.raises(InvalidInput):
        LogFilter(run_id="*").subjects()


async def test_following_goes_on_over_a_restart_of_the_server_and_ends_without_a_trace(
    log: Log, nats_server: NatsServer
) -> None:
    await log.event()
    async with aclosing(events(log.client, EventFilter(), after_sequence=0)) as found:
        assert (await anext(found)).value.id == "e1"
        await log.event()
        assert (await anext(found)).value.id == "e2"
        assert await log.consumers() == 1
        nats_server.kill()
        nats_server.start()
        await eventually(lambda: log.client.is_connected)
        await patiently(log.event, "an event after the restart")
        third = await anext(found)
        assert (third.value.id >= "e3", third.sequence) == (True, 3)
    assert await log.consumers() == 0


async def test_only_what_is_new_is_followed_without_a_place(log: Log) -> None:
    await log.event()
    async with aclosing(events(log.client, EventFilter())) as found:
        first = asyncio.ensure_future(anext(found))
        await eventually(log.consumers)
        await log.event()
        assert (await first).value.id == "e2"


async def test_a_place_beyond_the_end_is_taken_for_the_end(log: Log) -> None:
    """The stream was made anew: the reader's number is of its former life."""
    await log.event()
    async with aclosing(events(log.client, EventFilter(), after_sequence=4711)) as found:
        next_one = asyncio.ensure_future(anext(found))
        await eventually(log.consumers)
        await log.event()
        assert (await next_one).value.id == "e2"


async def test_log_lines_are_those_of_the_run_or_the_newest(log: Log) -> None:
    for number in range(20):
        await log.line(f"line.{number}", RUN if number % 2 else OTHER)

    async def lines(**how: int) -> list[str]:
        wanted = LogFilter(project="acme", service="orders", run_id=RUN)
        async with aclosing(log_lines(log.client, wanted, follow=False, **how)) as found:  # type: ignore[arg-type]
            return [each.value.event async for each in found]

    assert await lines() == [f"line.{number}" for number in range(1, 20, 2)]
    assert await lines(last=2) == ["line.17", "line.19"]
    assert await lines(last=0) == []
    assert await lines(last=100) == await lines()


async def test_progress_is_the_newest_that_nobody_took(log: Log) -> None:
    def said(stored: int) -> bytes:
        return encode(
            Progress(
                run=RunKind.BACKUP,
                project="acme",
                service="orders",
                run_id=RUN,
                attempt=1,
                phase="dumping",
                artifact="orders",
                artifact_index=1,
                artifact_count=1,
                plain_bytes=stored,
                stored_bytes=stored,
                estimate_bytes=0,
                elapsed_s=1.0,
            )
        )

    subject = progress_subject("acme", "orders", RUN)
    async with aclosing(progress(log.client, "acme", "orders", RUN)) as found:
        first = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        await settle(log.client)
        await log.client.publish(subject, said(1))
        assert (await first).stored_bytes == 1
        for stored in range(2, 500):
            await log.client.publish(subject, said(stored))
        await log.client.publish(subject, b"no progress at all")
        await settle(log.client)
        assert (await anext(found)).stored_bytes == 499


async def test_history_is_paged_from_the_newest_back_whatever_lies_between(log: Log) -> None:
    """What is looked for is rare, then frequent, then rare again: the page before a place is found all the same."""
    wanted_ids: list[str] = []
    for number in range(1_500):
        rare = 300 < number < 400 or number in (0, 7, 1_499)
        made = await log.event("backup.failed" if rare else "backup.completed")
        if rare:
            wanted_ids.append(made)
    wanted = EventFilter(project="acme", types=("backup.failed", "node"))
    found: list[str] = []
    before: int | None = None
    pages = 0
    while before != 0:
        page = await history(log.client, wanted, before_sequence=before, limit=10)
        assert len(page.events) <= 10
        found += [each.value.id for each in page.events]
        before, pages = page.next_before, pages + 1
    assert found == wanted_ids[::-1]
    assert pages == -(-len(wanted_ids) // 10)
    assert (await history(log.client, EventFilter(project="nobody"))).events == []
    assert await log.consumers() == 0


async def test_history_of_nothing_is_empty(log: Log) -> None:
    page = await history(log.client, EventFilter())
    assert (page.events, page.next_before) == ([], 0)
    with pytest.raises(InvalidInput, match="limit"):
        await history(log.client, EventFilter(), limit=0)
