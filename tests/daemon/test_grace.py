"""Deleting a service or a project: nothing is lost for a week, nothing is left after it."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import aiohttp
import msgspec
import pytest

from contracts import control
from contracts.age import Decryptor, Identity
from contracts.asks import DownloadGrant, OpenDownload, RestoreJob
from contracts.errors import ErrorInfo, NotFound, StrongroomError
from contracts.object_keys import backup_prefix, service_prefix
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.policy.schedule import Daily, Off
from contracts.records import BackupRecord, DueState, RestoreRecord, RunKind, RunState, ServiceRecord
from contracts.reports import RestoreFinished
from contracts.wire import utc_now
from daemon.catalog.catalog import Catalog
from daemon.settings import CoordinatorSettings
from daemon.store.s3 import open_store
from tests.daemon.robots import HEALTHY
from tests.daemon.running import coordinator_settings
from tests.daemon.scene import Scene, at, scene
from tests.daemon.speaking import SpeakingAgent, sealed
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket, S3Factory
from tests.servers.waiting import eventually

START = at("2026-03-02 00:00")
DAILY = Daily(at="00:30")
GRACE = timedelta(days=7)
KEEP_ONE = RetentionPolicy(total_count=1, minimums=Minimums(daily=0, weekly=0, monthly=0))


async def delete(made: Scene, service: str = "orders", *, actor: str = "") -> ServiceRecord:
    return await made.operator.call(
        control.SERVICE_DELETE, control.ServiceDelete(project="acme", service=service, actor=actor)
    )


async def undelete(made: Scene, service: str = "orders", *, actor: str = "") -> ServiceRecord:
    return await made.operator.call(
        control.SERVICE_UNDELETE, control.ServiceDelete(project="acme", service=service, actor=actor)
    )


async def show(made: Scene, service: str = "orders", *, project: str = "acme") -> control.ServiceView:
    return await made.operator.call(control.SERVICE_SHOW, control.ServiceRef(project=project, service=service))


async def delete_project(made: Scene, project: str = "acme", *, actor: str = "") -> None:
    await made.operator.call(control.PROJECT_DELETE, control.ProjectDelete(project=project, actor=actor))


async def undelete_project(made: Scene, project: str = "acme", *, actor: str = "") -> None:
    await made.operator.call(control.PROJECT_UNDELETE, control.ProjectDelete(project=project, actor=actor))


async def goes(made: Scene, service: str = "orders", *, timeout_s: float = 10) -> None:
    """Waits until the coordinator knows the service no more."""

    async def gone() -> bool:
        try:
            await show(made, service)
        except NotFound:
            return True
        return False

    await eventually(gone, timeout_s)


async def project_goes(made: Scene, project: str = "acme", *, timeout_s: float = 10) -> None:
    async def gone() -> bool:
        projects = (await made.operator.call(control.PROJECT_LIST, control.ProjectList())).projects
        return project not in {each.name for each in projects}

    await eventually(gone, timeout_s)


@contextmanager
def refused(code: str, *, match: str | None = None) -> Iterator[None]:
    with pytest.raises(StrongroomError, match=match) as caught:
        yield
    assert caught.value.code == code


@asynccontextmanager
async def catalog_of(nats_server: NatsServer) -> AsyncIterator[Catalog]:
    """The records themselves, as the coordinator reads them."""
    async with nats_server.connect_coordinator() as client:
        yield Catalog(client, client.jetstream())


async def records_of(catalog: Catalog, prefix: str) -> list[str]:
    """What is left under `acme` or `acme.orders`, as `<bucket>:<key>`."""
    buckets = (
        catalog.services,
        catalog.backups,
        catalog.restores,
        catalog.uploads,
        catalog.ledger,
        catalog.states,
        catalog.keys,
    )
    found = [f"{bucket.name}:{stored.key}" for bucket in buckets for stored in await bucket.select(prefix)]
    found += [f"{bucket.name}:{prefix}" for bucket in buckets if await bucket.get(prefix) is not None]
    for marker in await catalog.active.select():
        if f".{prefix}." in f".{marker.key}.":
            found.append(f"active:{marker.key}")
    return found


@asynccontextmanager
async def reader(made: Scene, nats_server: NatsServer, *services: str) -> AsyncIterator[SpeakingAgent]:
    """`node-2`, which restores what it is told to; its services are added with it."""
    await made.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
    async with nats_server.connect_node("node-2") as client:
        agent = SpeakingAgent(client, "node-2")
        health = {f"acme/{service}": HEALTHY for service in services}

        async def heard() -> bool:
            await agent.beat(services=health)
            views = (await made.operator.call(control.NODE_LIST, control.Nothing())).nodes
            return any(view.record.name == "node-2" and view.alive is not None for view in views)

        await eventually(heard)
        yield agent


async def ask_restore(made: Scene, backup: BackupRecord, to_service: str, node: str = "") -> RestoreRecord:
    request = control.RestoreCreate(
        project="acme", service=backup.service, id=backup.id, to_service=to_service, node=node, replace=True
    )
    return await made.operator.call(control.RESTORE_CREATE, request)


async def restores_read(agent: SpeakingAgent, restore: RestoreRecord, backup: BackupRecord) -> bytes:
    """What the agent reads of the backup's only artifact, up to just before its report."""
    assert (await agent.pull()).run_id == restore.id
    job = await agent.claim(restore, RunKind.RESTORE)
    assert isinstance(job, RestoreJob)
    (artifact,) = backup.artifacts
    ask = OpenDownload(run_id=restore.id, attempt=1, artifact=artifact.name, object_key=artifact.object_key)
    grant = await agent.ask(restore, ask, kind=RunKind.RESTORE)
    assert isinstance(grant, DownloadGrant)
    return await opened(grant.url, grant.header, grant.payload_offset, agent.identity)


async def opened(url: str, header: bytes, payload_offset: int, identity: Identity) -> bytes:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        response.raise_for_status()
        stored = await response.read()
    decryptor = Decryptor([identity])
    return decryptor.feed(header + stored[payload_offset:]) + decryptor.finish()


async def finish_restore(made: Scene, agent: SpeakingAgent, restore: RestoreRecord) -> None:
    await agent.report(
        RestoreFinished(
            project=restore.project,
            service=restore.service,
            run_id=restore.id,
            attempt=1,
            started_at=utc_now(),
            finished_at=utc_now(),
            restored={},
        )
    )


async def download(made: Scene, backup: BackupRecord) -> bytes:
    identity = Identity.generate()
    request = control.BackupDownload(
        project=backup.project,
        service=backup.service,
        id=backup.id,
        artifact=backup.artifacts[0].name,
        recipient=str(identity.recipient),
    )
    answer = await made.operator.call(control.BACKUP_DOWNLOAD, request)
    return await opened(answer.url, answer.header, answer.payload_offset, identity)


async def store_age_files(made: Scene, plain: bytes, *, project: str = "acme") -> None:
    """From now on the robot stores files that the project's key opens."""
    record = await made.operator.call(control.PROJECT_SHOW, control.ProjectRef(project=project))
    made.robot.data = lambda _: sealed(plain, record.recipients)


async def test_a_deleted_service_says_when_it_goes_and_refuses_whatever_would_begin_or_change(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(schedule=DAILY)
        with refused("service.not_deleted", match="nothing to undelete"):
            await undelete(made)
        record = await delete(made, actor="ada")
        assert record.deletion is not None
        assert (record.deletion.at, record.deletion.purge_at) == (START, START + GRACE)
        assert (record.deletion.actor, record.deletion.purging) == ("ada", False)
        view = await show(made)
        assert (view.record, view.next_due) == (record, None)
        (event,) = await made.events("service.deleted")
        assert (event.project, event.service, event.actor) == ("acme", "orders", "ada")
        assert event.facts == {"purge_at": (START + GRACE).isoformat()}

        has_it_back = "goes for good at 2026-03-09 00:00 UTC: `strongroom service undelete acme/orders` has it back"
        with refused("service.deleted", match=has_it_back):
            await made.request()
        with refused("service.deleted", match=has_it_back):
            await delete(made)
        for change in (
            control.ServiceChange(project="acme", service="orders", nodes=["node-1"]),
            control.ServiceSetSchedule(project="acme", service="orders", schedule=Off()),
            control.ServiceSetRetention(project="acme", service="orders", retention=KEEP_ONE),
        ):
            verb = next(verb for verb in control.VERBS.values() if verb.request is type(change))
            with refused("service.deleted"):
                await made.operator.call(verb, change)
        with refused("service.deleted"):
            await made.add_service()
        assert (await show(made)).record == record


async def test_the_schedule_of_a_deleted_service_is_not_followed_and_undelete_makes_up_for_nothing(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    """Beside another service with the same schedule, which shows that the coordinator has been there."""
    async with scene(settings, nats_server, start=START) as made:
        for service in ("orders", "witness"):
            await made.add_service(service, schedule=DAILY)
        await made.passes(at("2026-03-02 00:30"))
        await delete(made)
        dues = await made.operator.call(control.SERVICE_DUES, control.ServiceDues(project="acme", service="orders"))
        assert dues.next == []
        for moment in ("2026-03-03 00:30", "2026-03-06 00:30"):
            await made.passes(at(moment), "witness")
        assert [entry.state for entry in await made.ledger("witness")][-3:] == [
            DueState.MISSED,
            DueState.MISSED,
            DueState.COMPLETED,
        ]
        assert [entry.due_at.day for entry in await made.ledger()] == [2]

        made.clock.set(at("2026-03-06 12:00"))
        record = await undelete(made, actor="ada")
        assert record.deletion is None
        assert [event.actor for event in await made.events("service.undeleted")] == ["ada"]
        assert (await show(made)).next_due == at("2026-03-07 00:30")
        assert (await made.passes(at("2026-03-07 00:30"))).state is DueState.COMPLETED
        assert [(entry.due_at.day, entry.state) for entry in await made.ledger()] == [
            (2, DueState.COMPLETED),
            (7, DueState.COMPLETED),
        ]
        assert {event.service for event in await made.events("backup.missed")} == {"witness"}
        with refused("service.not_deleted"):
            await undelete(made)


async def test_backups_of_a_deleted_service_are_listed_downloaded_and_restored_as_before(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    """Even to where they came from: that its backups are to go is no reason to refuse the database its data."""
    async with scene(settings, nats_server, start=START) as made, reader(made, nats_server, "orders", "copy") as agent:
        await made.add_service(nodes=["node-1", "node-2"])
        await made.add_service("copy", nodes=["node-2"])
        await store_age_files(made, b"all orders")
        backup = await made.make(node="node-1")
        assert backup.state is RunState.COMPLETED
        await delete(made)

        assert [each.id for each in await made.backups()] == [backup.id]
        assert await download(made, backup) == b"all orders"
        for target in ("copy", "orders"):
            await agent.beat(services={f"acme/{target}": HEALTHY})
            restore = await ask_restore(made, backup, target, "node-2")
            assert await restores_read(agent, restore, backup) == b"all orders"
            await finish_restore(made, agent, restore)
            await eventually(partial(is_restored, made, restore))


async def is_restored(made: Scene, restore: RestoreRecord) -> bool:
    reference = control.RunRefRequest(project=restore.project, service=restore.service, id=restore.id)
    return (await made.operator.call(control.RESTORE_SHOW, reference)).state is RunState.COMPLETED


async def test_retention_leaves_a_deleted_service_alone(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    async with scene(settings, nats_server, start=START) as made:
        for service in ("orders", "witness"):
            await made.add_service(service, retention=KEEP_ONE)
            await made.make(service)
        made.robot.may_finish.clear()
        for service in ("orders", "witness"):
            await made.request(service)
        await delete(made)
        made.robot.may_finish.set()
        for service in ("orders", "witness"):
            await made.idle(service)
        # The run under way has ended well, and what follows from that has followed at both.
        assert len(await made.completed("witness")) == 1
        assert [backup.state for backup in await made.backups()] == [RunState.COMPLETED] * 2


async def test_a_deleted_service_gives_no_room_to_others(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=1_000_000) as made:
        made.robot.data = lambda _: bytes(300_000)
        await made.add_service(retention=RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0)))
        await made.add_service("events")
        for service in ("orders", "orders", "events"):
            await made.make(service)
        await delete(made)
        with refused("quota.exceeded"):
            await made.request("events")
        assert len(await made.completed()) == 2
        await undelete(made)
        assert (await made.make("events")).state is RunState.COMPLETED
        assert len(await made.completed()) == 1


async def test_after_the_grace_nothing_is_left_of_a_service_and_its_name_is_free(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START) as made,
        reader(made, nats_server, "copy") as agent,
        catalog_of(nats_server) as catalog,
    ):
        await made.add_service("orders-2")
        neighbour = await made.make("orders-2")
        await made.add_service(schedule=DAILY)
        await made.add_service("copy", nodes=["node-2"])
        await store_age_files(made, b"all orders")
        await made.passes(at("2026-03-02 00:30"))
        made.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="broken")
        await made.passes(at("2026-03-03 00:30"))
        made.robot.failure = lambda _: None
        protected = await made.make(tags=["protected"])
        restore = await ask_restore(made, protected, "copy")
        await restores_read(agent, restore, protected)
        await finish_restore(made, agent, restore)
        await eventually(lambda: is_restored(made, restore))
        assert len(await records_of(catalog, "acme.orders")) >= 8
        stray = backup_prefix("acme", "orders", "20260101T003000Z-aaaa") + "1/0001-orders.pgdump.zst.age"
        bucket.write(stray, b"what no record knows of")
        async with open_store(settings.store) as store:
            await store.begin_upload(stray)

        await delete(made, actor="ada")
        # A service that was deleted a second before shows that the purger came by in between.
        await made.add_service("witness")
        made.clock.advance(seconds=-1)
        await delete(made, "witness")
        made.clock.advance(days=7)
        await goes(made, "witness")
        assert len(await made.completed()) == 2
        made.clock.advance(seconds=1)
        await goes(made)

        assert await records_of(catalog, "acme.orders") == []
        assert bucket.list_keys(service_prefix("acme", "orders")) == []
        assert bucket.list_uploads() == []
        usage = await made.usage()
        assert (usage.stored_bytes, usage.reserved_bytes) == (neighbour.size_bytes, 0)
        assert {each.service: each.backups for each in usage.services} == {"copy": 0, "orders-2": 1}
        assert usage.check is not None
        assert (usage.check.is_exact, usage.check.objects) == (True, 2)
        purged = {event.service: event for event in await made.events("service.purged")}
        assert purged["orders"].actor == "ada"
        deleted = [event for event in await made.events("backup.deleted") if event.service == "orders"]
        assert protected.id in {event.backup_id for event in deleted}
        assert {event.reason for event in deleted} == {"its grace is over"}
        with refused("service.not_found"):
            await undelete(made)

        await made.add_service(schedule=DAILY)
        assert await made.ledger() == []
        due = at("2026-03-11 00:30")
        assert (await made.passes(due)).state is DueState.COMPLETED
        assert [backup.tags for backup in await made.backups()] == [["daily", "monthly", "weekly"]]


async def test_a_service_that_was_had_back_in_time_stays_for_good(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.add_service(retention=KEEP_ONE)
        before = (await show(made)).record
        backup = await made.make(tags=["before-migration"])
        await made.add_service("witness")
        for service in ("orders", "witness"):
            await delete(made, service)
        made.clock.advance(days=6)
        assert await undelete(made) == msgspec.structs.replace(before, scheduled_since=made.clock.moment)
        made.clock.advance(days=1)
        await goes(made, "witness")
        assert [each.tags for each in await made.completed()] == [["before-migration"]]
        assert set(bucket.list_keys()) == {backup.artifacts[0].object_key, backup.manifest_key}
        assert (await made.make()).state is RunState.COMPLETED


async def test_a_run_under_way_when_the_grace_ends_is_cancelled_and_its_agent_let_go_first(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    settings = msgspec.structs.replace(settings, grace_days=0.5)
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.add_service()
        first = await made.make()
        made.robot.may_finish.clear()
        run = await made.request()
        await eventually(lambda: len(made.robot.taken) == 2)
        await eventually(lambda: is_named(made, run))
        await delete(made)
        assert (await made.record(run)).state is RunState.RUNNING
        made.clock.advance(hours=12)

        async def only_the_run_is_left() -> bool:
            return [each.id for each in await made.backups()] == [run.id] and not bucket.list_keys()

        await eventually(only_the_run_is_left)
        cancelled = await made.record(run)
        assert cancelled.state is RunState.CANCELLED
        assert cancelled.error is not None
        assert cancelled.error.message == "its service was deleted, and the grace is over"
        with refused("service.deleted", match="the grace of service acme/orders is over"):
            await undelete(made)

        made.robot.may_finish.set()
        await goes(made)
        assert await records_of(catalog, "acme.orders") == []
        assert bucket.list_keys() == []
        assert bucket.list_uploads() == []
        assert [event.backup_id for event in await made.events("backup.cancelled")] == [run.id]
        assert [event.backup_id for event in await made.events("backup.deleted")] == [first.id, run.id]
        assert (await made.usage()).stored_bytes == 0


async def is_named(made: Scene, run: BackupRecord) -> bool:
    """Whether a heartbeat of the robot has named the run."""
    views = (await made.operator.call(control.NODE_LIST, control.Nothing())).nodes
    return any(ref.run_id == run.id for view in views if view.alive for ref in view.alive.running)


async def test_a_restore_under_way_when_the_grace_ends_is_waited_for(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START) as made,
        reader(made, nats_server, "copy") as agent,
        catalog_of(nats_server) as catalog,
    ):
        await made.add_service()
        await made.add_service("copy", nodes=["node-2"])
        await store_age_files(made, b"all orders")
        other, read = await made.make(), await made.make()
        await delete(made)
        restore = await ask_restore(made, read, "copy")
        await restores_read(agent, restore, read)
        made.clock.advance(days=7)

        async def the_other_is_gone() -> bool:
            return [each.id for each in await made.backups()] == [read.id]

        await eventually(the_other_is_gone)
        assert not [name for name in bucket.list_keys() if other.id in name]
        assert (await made.record(read)).state is RunState.COMPLETED
        with refused("service.deleted"):
            await undelete(made)
        await finish_restore(made, agent, restore)
        await goes(made)
        assert [event.restore_id for event in await made.events("restore.completed")] == [restore.id]
        assert await records_of(catalog, "acme.orders") == []
        assert bucket.list_keys() == []


async def test_a_deleted_project_begins_nothing_and_is_had_back_with_all_its_services(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made:
        await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="umbrella"))
        await made.add_service(schedule=DAILY)
        await made.add_service("events", schedule=DAILY)
        await made.add_service("witness", schedule=DAILY, project="umbrella")
        await store_age_files(made, b"all orders")
        with refused("project.not_deleted", match="project acme is not deleted"):
            await undelete_project(made)
        await made.passes(at("2026-03-02 00:30"))
        await made.passes(at("2026-03-02 00:30"), "events")
        (backup,) = await made.backups()

        await delete_project(made, actor="ada")
        project = await made.operator.call(control.PROJECT_SHOW, control.ProjectRef(project="acme"))
        assert project.deletion is not None
        assert project.deletion.purge_at == at("2026-03-09 00:30")
        (event,) = await made.events("project.deleted")
        assert (event.project, event.actor) == ("acme", "ada")
        has_it_back = "goes for good at 2026-03-09 00:30 UTC: `strongroom project undelete acme` has it back"
        for attempt in (made.request, lambda: made.add_service("more"), lambda: delete_project(made), lambda: delete(made)):
            with refused("project.deleted", match=has_it_back):
                await attempt()
        with refused("project.deleted"):
            await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        assert await download(made, backup) == b"all orders"

        async def witness_passed() -> bool:
            entries = await made.ledger("witness", project="umbrella")
            return [entry.due_at.day for entry in entries if not entry.state.is_open] == [2, 3, 4, 5]

        made.clock.set(at("2026-03-05 00:30"))
        await eventually(witness_passed)
        for service in ("orders", "events"):
            assert [entry.due_at.day for entry in await made.ledger(service)] == [2]

        await undelete_project(made, actor="ada")
        assert [event.actor for event in await made.events("project.undeleted")] == ["ada"]
        for service in ("orders", "events"):
            assert (await made.passes(at("2026-03-06 00:30"), service)).state is DueState.COMPLETED
            assert [entry.due_at.day for entry in await made.ledger(service)] == [2, 6]
        assert {event.project for event in await made.events("backup.missed")} == {"umbrella"}


def files_with(directory: Path, text: bytes) -> list[str]:
    """The files below the directory that hold the text."""
    return [str(path) for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


async def test_after_the_grace_a_project_is_gone_with_its_services_and_its_key_on_disk(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme-2"))
        for service in ("orders", "events", "empty", "gone-before"):
            await made.add_service(service, schedule=DAILY)
        await made.add_service("orders", project="acme-2")
        await store_age_files(made, b"all orders")
        for service in ("orders", "events"):
            await made.passes(at("2026-03-02 00:30"), service)
        backup = await made.make(tags=["protected"])
        neighbour = await made.make(project="acme-2")
        sealed_identities = {}
        for project in ("acme", "acme-2"):
            (stored,) = await catalog.keys.select(project)
            sealed_identities[project] = base64.b64encode(stored.value.sealed_identity)
        acmes, neighbours = sealed_identities["acme"], sealed_identities["acme-2"]
        assert files_with(nats_server.directory, acmes)

        bucket.write(backup_prefix("acme", "long-gone", "20260101T003000Z-aaaa") + "manifest.json", b"of a service before")
        await delete(made, "gone-before")
        await delete_project(made, actor="ada")
        made.clock.advance(days=7)
        await project_goes(made)

        assert files_with(nats_server.directory, acmes) == []
        assert files_with(nats_server.directory, neighbours)
        assert await records_of(catalog, "acme") == []
        assert await catalog.usage.get("acme") is None
        assert set(bucket.list_keys()) == {neighbour.artifacts[0].object_key, neighbour.manifest_key}
        assert [event.actor for event in await made.events("project.purged")] == ["ada"]
        assert len(await made.events("service.purged")) == 4
        with refused("project.not_found"):
            await undelete_project(made)
        with refused("backup.not_found"):
            await download(made, backup)

        anew = await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
        assert anew.recipients != backup.recipients
        await made.add_service()
        assert (await made.make()).state is RunState.COMPLETED
        usage = await made.usage()
        assert usage.check is not None
        assert usage.check.is_exact


async def test_a_purge_that_was_cut_off_is_finished_later_and_cannot_be_undone(
    tmp_path: Path, nats_server: NatsServer, s3_factory: S3Factory
) -> None:
    store = s3_factory()
    bucket = store.create_bucket()
    settings = coordinator_settings(tmp_path, nats_server, bucket)
    async with scene(settings, nats_server, start=START) as made:
        await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="umbrella"))
        await made.add_service("orders", project="umbrella")
        kept = await made.make(project="umbrella")
        for service in ("orders", "events"):
            await made.add_service(service)
            await made.make(service)
        await delete_project(made)
        store.kill()
        made.clock.advance(days=7)

        async def begun() -> bool:
            states = {backup.state for service in ("orders", "events") for backup in await made.backups(service)}
            return RunState.DELETING in states

        await eventually(begun)
        with refused("project.deleted", match="its backups are going"):
            await undelete_project(made)
    # The coordinator ends in the middle of it; the next one finds a store that answers again.
    store.start()
    async with scene(settings, nats_server, start=START + GRACE, is_new=False) as made, catalog_of(nats_server) as catalog:
        await project_goes(made, timeout_s=30)
        assert await records_of(catalog, "acme") == []
        assert await catalog.usage.get("acme") is None
        assert set(bucket.list_keys()) == {kept.artifacts[0].object_key, kept.manifest_key}
        assert len(await made.events("project.purged")) == 1
        assert len(await made.events("backup.deleted")) == 2
