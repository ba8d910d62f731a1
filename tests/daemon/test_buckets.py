"""Lists of records that are too long for one answer, whole and at an end whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from contracts.records import ProjectRecord
from contracts.subjects import PROJECTS_BUCKET
from contracts.wire import utc_now
from daemon.catalog import buckets
from daemon.catalog.buckets import RecordBucket, ensure_bucket
from tests.servers.nats import NatsServer

MANY = 2_500


def record(name: str, key_id: str = "") -> ProjectRecord:
    return ProjectRecord(name=name, created_at=utc_now(), key_id=key_id, recipients=[])


def name(number: int) -> str:
    return f"p{number:05}"


@pytest.fixture
async def bucket(nats_server: NatsServer) -> AsyncIterator[RecordBucket[ProjectRecord]]:
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        await ensure_bucket(js, PROJECTS_BUCKET, replicas=1)
        yield RecordBucket(client, js, PROJECTS_BUCKET, ProjectRecord)


async def fill(bucket: RecordBucket[ProjectRecord], count: int) -> list[int]:
    """So many records; their revisions."""
    revisions: list[int] = []
    for start in range(0, count, 250):
        batch = range(start, min(start + 250, count))
        revisions += await asyncio.gather(*(bucket.create(name(number), record(name(number))) for number in batch))
    return revisions


async def test_a_long_list_has_every_record_once_in_its_newest_form_and_none_that_is_gone(
    bucket: RecordBucket[ProjectRecord],
) -> None:
    revisions = await fill(bucket, MANY)
    for number in range(0, MANY, 100):
        await bucket.delete(name(number), revisions[number])
    for number in range(50, MANY, 100):
        await bucket.update(name(number), record(name(number), "changed"), revisions[number])
    listed = await bucket.select()
    assert [stored.key for stored in listed] == [name(number) for number in range(MANY) if number % 100]
    assert {stored.key for stored in listed if stored.value.key_id} == {name(number) for number in range(50, MANY, 100)}


async def test_a_long_list_taken_while_its_records_change_misses_none_of_them(bucket: RecordBucket[ProjectRecord]) -> None:
    revisions = await fill(bucket, MANY)

    async def change() -> None:
        # Some of everywhere: a list has most of the connection to itself, so there is time for few writes between its pages.
        for number in range(0, MANY, 10):
            await bucket.update(name(number), record(name(number), "changed"), revisions[number])

    changing = asyncio.create_task(change())
    while not changing.done():
        assert len(await bucket.select()) == MANY
    await changing


async def test_a_list_ends_though_tombstones_expire_while_it_is_taken(
    bucket: RecordBucket[ProjectRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """More keys than one answer may have, most of them deleted and about to be forgotten."""
    monkeypatch.setattr(buckets, "_TOMBSTONE_TTL_S", 1)
    revisions = await fill(bucket, MANY)
    deletions = [bucket.delete(name(number), revisions[number]) for number in range(10, MANY)]

    async def delete() -> None:
        for start in range(0, len(deletions), 100):
            await asyncio.gather(*deletions[start : start + 100])

    deleting = asyncio.create_task(delete())
    left = [name(number) for number in range(10)]
    async with asyncio.timeout(60):
        while True:
            listed = [stored.key for stored in await bucket.select()]
            assert set(left) <= set(listed)
            info = await bucket._js.stream_info(f"KV_{PROJECTS_BUCKET}")
            if deleting.done() and info.state.messages == len(left):
                break
    await deleting
    assert [stored.key for stored in await bucket.select()] == left
