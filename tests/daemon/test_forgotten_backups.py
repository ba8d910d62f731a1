"""A catalogue that was set back to an older state: what it forgot, the bucket still has, and nobody touches."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from contracts.object_keys import artifact_key, backup_prefix, manifest_key
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord, DueState, RunState
from contracts.requests import BackupRequest
from contracts.subjects import request_subject
from contracts.wire import encode
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import open_store
from tests.daemon.inside import catalog_of
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

DAILY = Daily(at="00:30")
BUCKETS = ("backups", "active", "uploads", "ledger", "states", "usage")
"""Of the catalogue: what runs leave there."""
BOTH = ("node-1", "node-2")


class Snapshot:
    """What the catalogue held at one moment, to be had back later."""

    def __init__(self, records: dict[str, dict[str, Any]]) -> None:
        self.records = records

    @staticmethod
    async def take(catalog: Catalog) -> Snapshot:
        return Snapshot({name: {each.key: each.value for each in await getattr(catalog, name).select()} for name in BUCKETS})

    async def restore(self, catalog: Catalog) -> None:
        for name, records in self.records.items():
            bucket = getattr(catalog, name)
            for stored in await bucket.select():
                if stored.key not in records:
                    await bucket.delete(stored.key, stored.revision)
            for key_, value in records.items():
                await bucket.put(key_, value)


async def stored(settings: CoordinatorSettings, run_id: str) -> dict[str, bytes]:
    """Every object that the bucket has of a backup."""
    async with open_store(settings.store) as store:
        found = [each async for each in store.objects(backup_prefix("acme", "orders", run_id))]
        return {each.object_key: await store.read(each.object_key) for each in found}


@asynccontextmanager
async def catalog_set_back(nats_server: NatsServer, snapshot: Snapshot) -> AsyncIterator[Catalog]:
    async with catalog_of(nats_server) as catalog:
        await snapshot.restore(catalog)
        yield catalog


async def ends(made: Scene, run_id: str) -> BackupRecord:
    """The record, once the run has ended and everything that follows has followed."""

    async def ended() -> BackupRecord | None:
        found = [record for record in await made.backups() if record.id == run_id]
        return found[0] if found and not found[0].state.is_active else None

    record = await eventually(ended)
    await made.idle()
    return record


@pytest.mark.parametrize("again", [b"of the same size", b"longer than what was dumped in the night"])
async def test_a_due_time_that_the_catalogue_has_forgotten_is_not_backed_up_over_its_old_backup(
    settings: CoordinatorSettings, nats_server: NatsServer, again: bytes
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00")) as made:
        await made.add_service(schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
        async with catalog_of(nats_server) as catalog:
            snapshot = await Snapshot.take(catalog)
        made.robot.data = lambda _: b"dumped last night"[: len(b"of the same size")]
        run_id = (await made.passes(at("2026-03-03 00:30"))).run_id
    before = await stored(settings, run_id)
    artifact = artifact_key("acme", "orders", run_id, 1, 1, "orders", "pgdump.zst.age")
    assert before.keys() == {artifact, manifest_key("acme", "orders", run_id)}
    async with catalog_set_back(nats_server, snapshot) as catalog:
        assert await catalog.backups.get(key("acme", "orders", run_id)) is None
    async with scene(settings, nats_server, start=at("2026-03-03 12:00"), is_new=False) as made:
        made.robot.data = lambda _: again

        async def asked_for_again() -> BackupRecord | None:
            return next((record for record in await made.backups() if record.id == run_id), None)

        await publish_again(nats_server, await eventually(asked_for_again))
        record = await ends(made, run_id)
        assert record.state is RunState.FAILED
        assert record.error is not None
        assert record.error.code == "upload.occupied"
        assert [request.run_id for request in made.robot.taken] == [run_id]
        assert await stored(settings, run_id) == before
        (entry,) = [entry for entry in await made.ledger() if entry.run_id == run_id]
        assert (entry.state, entry.reason) == (DueState.FAILED, record.error.message)
        # What nobody may touch is in nobody's way either: the next is made as ever, and what is stored adds up.
        assert (await made.passes(at("2026-03-04 00:30"))).state is DueState.COMPLETED
        async with catalog_of(nats_server) as catalog:
            assert await catalog.uploads.select() == []


async def publish_again(nats_server: NatsServer, record: BackupRecord) -> None:
    """Stands for the end of the ten minutes in which the bus stores a request once."""
    request = BackupRequest(
        run_id=record.id,
        project=record.project,
        service=record.service,
        attempt=record.attempt,
        requested_at=record.requested_at,
    )
    async with nats_server.connect_coordinator() as client:
        await client.jetstream(timeout=5).publish(request_subject(record.node), encode(request))


@pytest.mark.parametrize("nodes", [BOTH[:1], BOTH])
async def test_a_run_set_back_to_running_after_it_completed_is_lost_and_its_backup_stays(
    tmp_path: Path, settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket, nodes: tuple[str, ...]
) -> None:
    async with scene(settings, nats_server, start=at("2026-03-02 00:00"), nodes=nodes) as made:
        await made.add_service(schedule=DAILY)
        for each in made.robots.values():
            each.may_finish.clear()
        made.clock.set(at("2026-03-02 00:30"))
        async with catalog_of(nats_server) as catalog:

            async def is_uploaded() -> bool:
                return any(upload.value.closed is not None for upload in await catalog.uploads.select())

            await eventually(is_uploaded)
            snapshot = await Snapshot.take(catalog)
        assert [record.state for record in snapshot.records["backups"].values()] == [RunState.RUNNING]
        for each in made.robots.values():
            each.may_finish.set()
        entry = await made.passes(at("2026-03-02 00:30"))
        assert entry.state is DueState.COMPLETED
    before = await stored(settings, entry.run_id)
    assert len(before) == 2
    async with catalog_set_back(nats_server, snapshot):
        pass
    reaper = ReaperSettings(every_s=0.1, lost_after_s=0.5, settle_after_s=0.2)
    impatient = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    async with scene(impatient, nats_server, start=at("2026-03-02 06:00"), nodes=nodes, is_new=False) as made:
        record = await ends(made, entry.run_id)
        assert (record.state, record.attempt) == (RunState.FAILED, 1)
        assert record.error is not None
        assert record.error.code == "agent.lost"
        assert await stored(settings, entry.run_id) == before
        async with catalog_of(nats_server) as catalog:
            assert await catalog.uploads.select() == []
        usage = await made.usage()
        assert (usage.stored_bytes, usage.reserved_bytes) == (0, 0)
