"""Records in memory are those of the bucket whenever somebody looks, whatever happened between two looks."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contracts.records import ProjectRecord
from contracts.subjects import PROJECTS_BUCKET
from daemon.catalog import buckets
from daemon.catalog.buckets import RecordBucket, ensure_bucket
from daemon.catalog.mirror import TRUSTED_S, Mirror
from tests.daemon.test_buckets import record
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

STREAM = f"KV_{PROJECTS_BUCKET}"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
async def bucket(nats_server: NatsServer) -> AsyncIterator[RecordBucket[ProjectRecord]]:
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        await ensure_bucket(js, PROJECTS_BUCKET, replicas=1)
        yield RecordBucket(client, js, PROJECTS_BUCKET, ProjectRecord)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def mirror(bucket: RecordBucket[ProjectRecord], clock: Clock) -> Mirror[ProjectRecord]:
    return Mirror(bucket, clock=clock)


async def seen(mirror: Mirror[ProjectRecord]) -> dict[str, str]:
    return {name: stored.value.key_id for name, stored in (await mirror.look()).items()}


async def test_a_look_finds_what_was_made_changed_and_deleted_since_the_look_before(
    bucket: RecordBucket[ProjectRecord], mirror: Mirror[ProjectRecord]
) -> None:
    assert await seen(mirror) == {}
    first = await bucket.create("a", record("a", "1"))
    second = await bucket.create("b", record("b", "1"))
    assert await seen(mirror) == {"a": "1", "b": "1"}
    assert await seen(mirror) == {"a": "1", "b": "1"}
    await bucket.delete("a", first)
    await bucket.update("b", record("b", "2"), second)
    await bucket.create("c", record("c", "1"))
    assert await seen(mirror) == {"b": "2", "c": "1"}
    await bucket.create("a", record("a", "3"))
    assert await seen(mirror) == {"a": "3", "b": "2", "c": "1"}
    assert (await mirror.look())["a"] == await bucket.get("a")


async def test_a_second_look_reads_only_what_is_new(bucket: RecordBucket[ProjectRecord]) -> None:
    for name in "abc":
        await bucket.create(name, record(name))
    first = await bucket.written_since(0)
    assert (set(first.records), first.is_whole) == (set("abc"), True)
    await bucket.create("d", record("d"))
    second = await bucket.written_since(first.until)
    assert (set(second.records), second.is_whole) == ({"d"}, False)
    third = await bucket.written_since(second.until)
    assert (third.records, third.gone, third.until) == ({}, set(), second.until)


async def test_more_than_a_page_is_read_whole(bucket: RecordBucket[ProjectRecord], mirror: Mirror[ProjectRecord]) -> None:
    for number in range(buckets._PAGE + 20):
        await bucket.create(f"p{number}", record(f"p{number}"))
    assert len(await mirror.look()) == buckets._PAGE + 20


async def test_what_was_deleted_so_long_ago_that_nothing_tells_of_it_is_gone(
    bucket: RecordBucket[ProjectRecord],
    mirror: Mirror[ProjectRecord],
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    revision = await bucket.create("a", record("a"))
    assert set(await mirror.look()) == {"a"}
    monkeypatch.setattr(buckets, "_TOMBSTONE_TTL_S", 1)
    await bucket.delete("a", revision)

    async def is_forgotten() -> bool:
        return (await bucket._js.stream_info(STREAM)).state.messages == 0

    await eventually(is_forgotten)
    clock.now_s += TRUSTED_S + 1
    assert set(await mirror.look()) == set()


async def test_a_bucket_that_was_made_anew_is_read_anew(
    bucket: RecordBucket[ProjectRecord], mirror: Mirror[ProjectRecord]
) -> None:
    for name in "abc":
        await bucket.create(name, record(name))
    assert set(await mirror.look()) == set("abc")
    await bucket._js.delete_stream(STREAM)
    await ensure_bucket(bucket._js, PROJECTS_BUCKET, replicas=1)
    await bucket.create("z", record("z"))
    assert set(await mirror.look()) == {"z"}


async def test_after_a_lost_connection_everything_is_read_anew(
    nats_server: NatsServer, bucket: RecordBucket[ProjectRecord], mirror: Mirror[ProjectRecord]
) -> None:
    """The server may have been set back to an older state, and have gone on from there beyond where we were."""
    await bucket.create("a", record("a"))
    assert set(await mirror.look()) == {"a"}
    connections = bucket.connections
    nats_server.stop()
    nats_server.start()
    await eventually(lambda: bucket.connections > connections)
    await bucket._js.delete_stream(STREAM)
    await ensure_bucket(bucket._js, PROJECTS_BUCKET, replicas=1)
    for name in "xyz":
        await bucket.create(name, record(name))
    assert set(await mirror.look()) == set("xyz")


async def test_a_record_that_nobody_can_read_hides_no_other(
    bucket: RecordBucket[ProjectRecord], mirror: Mirror[ProjectRecord]
) -> None:
    await bucket.create("a", record("a"))
    await bucket.create("b", record("b"))
    assert set(await mirror.look()) == {"a", "b"}
    await bucket._js.publish(f"$KV.{PROJECTS_BUCKET}.a", b'{"name": 1}')
    assert set(await mirror.look()) == {"b"}
