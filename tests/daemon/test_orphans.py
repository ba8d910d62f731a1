"""What nobody knows of goes from the bucket in the end, and nothing that could be somebody's backup."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import pytest

from contracts import control
from contracts.object_keys import artifact_key, manifest_key
from contracts.records import (
    ActiveRun,
    Activity,
    BackupRecord,
    ProjectRecord,
    RunState,
    Trigger,
    UploadRecord,
)
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog, backup_marker, upload_key
from daemon.catalog.topology import ensure_topology
from daemon.orphans import Orphans, OrphanSettings
from daemon.quotas import Quotas
from daemon.reaper import ReaperSettings
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import ObjectStore, open_store
from tests.daemon.running import Operator, SetClock, coordinator_settings, running_coordinator
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

RUN = "20260301T003000Z-aaaa"
OTHER_RUN = "20260302T003000Z-bbbb"
UPLOADS_AFTER = timedelta(hours=1)
OBJECTS_AFTER = timedelta(days=1)
LATER = timedelta(days=2)
"""Long enough for whatever the test has stored just now to be nobody's."""


class World(NamedTuple):
    """The catalogue and the bucket of a coordinator that does not run, and what would clean up after it."""

    catalog: Catalog
    store: ObjectStore
    quotas: Quotas
    orphans: Orphans

    async def add_project(self, name: str = "acme", *, age: timedelta = timedelta(days=30)) -> None:
        record = ProjectRecord(name=name, created_at=utc_now() - age, key_id="", recipients=[])
        await self.catalog.projects.create(name, record)


@pytest.fixture
async def world(settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[World]:
    async with nats_server.connect_coordinator() as client, open_store(settings.store) as store:
        js = client.jetstream()
        await ensure_topology(js, replicas=1)
        catalog = Catalog(client, js)
        quotas = Quotas(catalog)
        after = OrphanSettings(uploads_after_s=UPLOADS_AFTER.total_seconds(), objects_after_s=OBJECTS_AFTER.total_seconds())
        yield World(catalog, store, quotas, Orphans(catalog, store, quotas, after))


def object_key(project: str = "acme", service: str = "orders", run_id: str = RUN, *, attempt: int = 1) -> str:
    return artifact_key(project, service, run_id, attempt, 1, "orders", "pgdump.zst.age")


def backup(service: str = "orders", run_id: str = RUN, state: RunState = RunState.FAILED) -> BackupRecord:
    return BackupRecord(
        id=run_id,
        project="acme",
        service=service,
        kind="postgresql",
        state=state,
        trigger=Trigger.MANUAL,
        requested_at=datetime(2026, 3, 1, 0, 30, tzinfo=UTC),
        node="node-1",
        placement="the only node of the service",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="",
    )


def marker(run_id: str = RUN) -> ActiveRun:
    return ActiveRun(activity=Activity.BACKUP, project="acme", service="orders", run_id=run_id, since=utc_now())


async def test_objects_that_no_record_knows_go_with_all_that_is_in_their_backup(world: World, bucket: Bucket) -> None:
    await world.add_project()
    for attempt in (1, 2):
        bucket.write(object_key(attempt=attempt), b"of a coordinator that was cut off")
    bucket.write(object_key(service="events", run_id=OTHER_RUN), b"of another one")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == []


async def test_objects_are_left_alone_until_the_newest_of_their_backup_is_old_enough(world: World, bucket: Bucket) -> None:
    await world.add_project()
    bucket.write(object_key(), b"first")

    async def times() -> list[datetime]:
        return [item.modified_at async for item in world.store.objects("strongroom/v1/acme/")]

    async def second_is_newer() -> bool:
        """The store knows only whole seconds."""
        bucket.write(object_key(attempt=2), b"second")
        first, second = await times()
        return first < second

    await eventually(second_is_newer)
    newest = max(await times())
    await world.orphans.sweep_objects(newest + OBJECTS_AFTER - timedelta(seconds=1))
    assert len(bucket.list_keys()) == 2
    await world.orphans.sweep_objects(newest + OBJECTS_AFTER)
    assert bucket.list_keys() == []


async def test_a_whole_backup_that_every_record_has_forgotten_stays(world: World, bucket: Bucket) -> None:
    """A catalogue that was lost, or set back to yesterday, must not cost a single backup."""
    await world.add_project()
    whole = [object_key(), manifest_key("acme", "orders", RUN)]
    for name in whole:
        bucket.write(name, b"part of a whole backup")
    bucket.write(object_key(run_id=OTHER_RUN), b"without a manifest")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == sorted(whole)


async def test_what_lies_under_a_project_that_is_unknown_here_belongs_to_another_installation(
    world: World, bucket: Bucket
) -> None:
    await world.add_project()
    others = object_key(project="umbrella")
    bucket.write(others, b"somebody else's")
    bucket.write(object_key(), b"ours")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == [others]


async def test_what_is_older_than_its_project_is_of_a_project_of_the_same_name_before_it(
    world: World, bucket: Bucket
) -> None:
    await world.add_project("acme", age=-timedelta(hours=1))
    await world.add_project("umbrella")
    bucket.write(object_key(), b"older than the project")
    bucket.write(object_key("umbrella"), b"younger than the project")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == [object_key()]


async def test_objects_of_a_backup_that_a_record_knows_stay_whatever_its_state(world: World, bucket: Bucket) -> None:
    """What becomes of them is decided by whoever ends or deletes the run."""
    await world.add_project()
    known = []
    for number, state in enumerate(RunState, start=1):
        run_id = f"2026030{number}T003000Z-aaaa"
        await world.catalog.backups.create(key("acme", "orders", run_id), backup(run_id=run_id, state=state))
        known.append(object_key(run_id=run_id))
    for name in (*known, object_key(service="order"), object_key(service="orders-2")):
        bucket.write(name, b"of orders, or of a service whose name begins alike and whose runs are unknown")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == sorted(known)


async def test_oddly_named_objects_are_left_alone_and_hide_no_orphan(world: World, bucket: Bucket) -> None:
    await world.add_project()
    odd = [
        "README.txt",
        "strongroom/notes.txt",
        "strongroom/v1/notes.txt",
        "strongroom/v1/acme/notes.txt",
        "strongroom/v1/acme/orders/notes.txt",
        "strongroom/v1/acme/orders/20260101T003000Z-aaaa",
        "strongroom/v1/acme/orders/20260301T003000Z-AAAA/1/0001-orders",
        "strongroom/v1/acme/orders/20260301T003000Z-aaaa.bak/1/0001-orders",
        "strongroom/v1/acme/Orders/20260301T003000Z-aaaa/1/0001-orders",
        "strongroom/v1/acme/-/20260301T003000Z-aaaa/1/0001-orders",
        "strongroom/v1/acme/*/20260301T003000Z-aaaa/1/0001-orders",
        "strongroom/v1/ac.me/orders/20260301T003000Z-aaaa/1/0001-orders",
        "strongroom/v1/acme/größe %2F+&=?/20260301T003000Z-aaaa/1/0001 orders",
        "strongroom/v2/acme/orders/20260301T003000Z-aaaa/1/0001-orders",
    ]
    for name in [*odd, object_key(), object_key(run_id=OTHER_RUN), object_key(service="zebra")]:
        bucket.write(name, b"written by hand")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == sorted(odd)


async def test_an_orphan_whose_objects_have_odd_names_goes_with_them(world: World, bucket: Bucket) -> None:
    await world.add_project()
    for name in ("1/0001-größe %2F+&=?", "1/a/b/c", "notes.txt"):
        bucket.write(f"strongroom/v1/acme/orders/{RUN}/{name}", b"in a backup that nobody knows")
    await world.orphans.sweep_objects(utc_now() + LATER)
    assert bucket.list_keys() == []


async def test_an_upload_that_nobody_knows_is_aborted_once_it_is_old_enough(world: World, bucket: Bucket) -> None:
    await world.add_project()
    await world.store.begin_upload(object_key())
    (begun,) = [upload async for upload in world.store.open_uploads("strongroom/v1/")]
    await world.orphans.sweep_uploads(begun.initiated_at + UPLOADS_AFTER)
    assert len(bucket.list_uploads()) == 1
    await world.orphans.sweep_uploads(begun.initiated_at + UPLOADS_AFTER + timedelta(seconds=1))
    assert bucket.list_uploads() == []


async def test_uploads_that_are_known_or_under_no_project_of_ours_go_on(world: World, bucket: Bucket) -> None:
    await world.add_project()
    known, forgotten = [await world.store.begin_upload(object_key()) for _ in range(2)]
    elsewhere = [await world.store.begin_upload(name) for name in (object_key("umbrella"), "strongroom/v2/acme/x", "acme/x")]
    record = UploadRecord(
        project="acme",
        service="orders",
        run_id=RUN,
        attempt=1,
        index=1,
        name="orders",
        kind="database",
        format="pg_dump-custom",
        object_key=object_key(),
        upload_id=known,
        base_part_bytes=8 * 1024 * 1024,
        created_at=utc_now(),
    )
    await world.catalog.uploads.create(upload_key(record), record)
    await world.orphans.sweep_uploads(utc_now() + LATER)
    remaining = {upload_id for _, upload_id in bucket.list_uploads()}
    assert remaining == {known, *elsewhere}
    assert forgotten not in remaining


async def test_an_upload_that_is_older_than_its_project_is_not_ours(world: World, bucket: Bucket) -> None:
    await world.add_project("acme", age=-timedelta(hours=1))
    upload_id = await world.store.begin_upload(object_key())
    await world.orphans.sweep_uploads(utc_now() + LATER)
    assert bucket.list_uploads() == [(object_key(), upload_id)]


async def test_a_reservation_without_a_run_is_dropped_the_second_time_that_it_is_seen(world: World) -> None:
    await world.add_project()
    await world.quotas.reserve(backup(), 1000)
    now = utc_now()
    await world.orphans.sweep_uploads(now)
    assert (await world.quotas.usage("acme")).reserved_bytes == 1000
    await world.orphans.sweep_uploads(now)
    assert (await world.quotas.usage("acme")).reserved == {}


async def test_the_reservation_of_a_run_under_way_stays(world: World) -> None:
    await world.add_project()
    await world.quotas.reserve(backup(), 1000)
    await world.catalog.active.create(backup_marker("acme", "orders"), marker())
    for _ in range(3):
        await world.orphans.sweep_uploads(utc_now())
    assert list((await world.quotas.usage("acme")).reserved) == [f"orders/{RUN}"]


async def test_a_reservation_is_seen_twice_in_a_row_or_not_at_all(world: World) -> None:
    """Its run may take its place between the two looks of one sweep, and be well all the same."""
    await world.add_project()
    await world.quotas.reserve(backup(), 1000)
    await world.orphans.sweep_uploads(utc_now())
    name = backup_marker("acme", "orders")
    revision = await world.catalog.active.create(name, marker())
    await world.orphans.sweep_uploads(utc_now())
    await world.catalog.active.delete(name, revision)
    await world.orphans.sweep_uploads(utc_now())
    assert (await world.quotas.usage("acme")).reserved_bytes == 1000


async def test_the_place_of_another_run_does_not_hold_the_reservation(world: World) -> None:
    await world.add_project()
    await world.quotas.reserve(backup(), 1000)
    await world.quotas.reserve(backup(run_id=OTHER_RUN), 20)
    await world.catalog.active.create(backup_marker("acme", "orders"), marker(OTHER_RUN))
    for _ in range(2):
        await world.orphans.sweep_uploads(utc_now())
    assert (await world.quotas.usage("acme")).reserved_bytes == 20


async def test_a_running_coordinator_looks_for_orphans_by_itself(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    reaper = ReaperSettings(
        every_s=0.1,
        purge_every_s=0.1,
        orphans=OrphanSettings(uploads_after_s=0, objects_after_s=0),
        orphans_every_s=0.1,
        orphan_objects_every_s=0.1,
    )
    settings = coordinator_settings(tmp_path, nats_server, bucket, reaper=reaper)
    clock = SetClock(utc_now() - timedelta(days=30))
    async with (
        running_coordinator(settings, now=clock),
        nats_server.connect_operator() as client,
        open_store(settings.store) as store,
    ):
        await Operator(client).call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        bucket.write(object_key(), b"nobody's")
        await store.begin_upload(object_key(service="events"))
        clock.set(utc_now() + LATER)
        await eventually(lambda: bucket.list_keys() == [] and bucket.list_uploads() == [])
