"""Lists held in memory are never older than the question, and bounded."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from contracts.records import BackupRecord, RunState
from contracts.subjects import BACKUPS_BUCKET
from daemon.catalog.buckets import RecordBucket, ensure_bucket, key
from daemon.run_lists import RunLists
from tests.daemon.http.calling import a_backup
from tests.servers.nats import NatsServer


@pytest.fixture
async def bucket(nats_server: NatsServer) -> AsyncIterator[RecordBucket[BackupRecord]]:
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        await ensure_bucket(js, BACKUPS_BUCKET, replicas=1)
        yield RecordBucket(client, js, BACKUPS_BUCKET, BackupRecord)


async def store(bucket: RecordBucket[BackupRecord], *records: BackupRecord) -> list[int]:
    return [await bucket.create(key(run.project, run.service, run.id), run) for run in records]


def ids(runs: object) -> list[str]:
    assert isinstance(runs, list | tuple)
    return [run.id for run in runs]


async def test_a_list_has_what_was_written_before_it_was_asked_for(bucket: RecordBucket[BackupRecord]) -> None:
    lists = RunLists(bucket)
    assert ids(await lists.newest_first("acme.orders")) == []
    records = [a_backup(number) for number in range(3)]
    revisions = await store(bucket, *records, a_backup(9, service="files"))
    assert ids(await lists.newest_first("acme.orders")) == ids(records[::-1])
    await bucket.delete(key("acme", "orders", records[1].id), revisions[1])
    changed = msgspec.structs.replace(records[0], state=RunState.FAILED)
    await bucket.update(key("acme", "orders", changed.id), changed, revisions[0])
    assert list(await lists.newest_first("acme.orders")) == [records[2], changed]
    assert len(await lists.newest_first("acme")) == len(await lists.newest_first("")) == 3


async def test_a_list_that_did_not_change_is_not_made_again(bucket: RecordBucket[BackupRecord]) -> None:
    shown: list[str] = []

    def show(run: BackupRecord) -> BackupRecord:
        shown.append(run.id)
        return run

    lists = RunLists(bucket, shown=show)
    records = [a_backup(number) for number in range(3)]
    await store(bucket, *records)
    first = await lists.newest_first("acme.orders")
    assert await lists.newest_first("acme.orders") is first
    assert sorted(shown) == ids(records)
    later = a_backup(7)
    await store(bucket, later)
    assert ids(await lists.newest_first("acme.orders"))[0] == later.id
    assert shown[3:] == [later.id]


async def test_the_lists_that_nobody_looks_at_are_forgotten(bucket: RecordBucket[BackupRecord]) -> None:
    lists = RunLists(bucket, most_records=5)
    for service in ("one", "two", "three"):
        await store(bucket, *(a_backup(number, service=service) for number in range(2)))
    for service in ("one", "two", "one", "three"):
        assert len(await lists.newest_first(f"acme.{service}")) == 2
    assert list(lists._lists) == ["acme.one", "acme.three"]


async def test_a_list_too_long_to_be_held_is_whole_all_the_same(bucket: RecordBucket[BackupRecord]) -> None:
    lists = RunLists(bucket, most_records=5)
    await store(bucket, *(a_backup(number) for number in range(8)))
    for _ in range(2):
        assert len(await lists.newest_first("acme.orders")) == 8
        assert not lists._lists
