"""Locked backups, with a real store that locks: nobody deletes them early, and they go when their time has come."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from botocore.exceptions import ClientError

from contracts import control
from contracts.errors import Conflict, InvalidInput
from contracts.object_keys import backup_prefix
from contracts.policy.locking import LockDays, LockMode
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.records import BackupRecord
from contracts.wire import utc_now
from daemon.settings import CoordinatorSettings
from tests.daemon.locks.conftest import locking
from tests.daemon.scene import Scene, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

HOUR = 3600.0
BRIEF = 4.0
KEEPS_ONE = RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0), total_count=1, suspicious_size_factor=0)


def versions(bucket: Bucket, prefix: str = "strongroom/") -> list[tuple[str, str]]:
    """Name and id of all there is, delete markers aside."""
    answer = bucket.server.blocking_client.list_object_versions(Bucket=bucket.name, Prefix=prefix)
    return [(each["Key"], each["VersionId"]) for each in answer.get("Versions", [])]


def markers(bucket: Bucket) -> list[str]:
    answer = bucket.server.blocking_client.list_object_versions(Bucket=bucket.name)
    return [each["Key"] for each in answer.get("DeleteMarkers", [])]


async def delete(made: Scene, backup: BackupRecord, *, force: bool = False) -> None:
    request = control.BackupDelete(project=backup.project, service=backup.service, id=backup.id, force=force)
    await made.operator.call(control.BACKUP_DELETE, request)


async def test_a_stolen_credential_of_the_coordinator_deletes_nothing_that_is_locked(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    """It even holds the store's every right, as in embedded mode: compliance mode knows no exception."""
    async with scene(locking(settings, HOUR), nats_server, start=utc_now()) as made:
        await made.add_service()
        backup = await made.make()
        assert backup.lock is not None
        assert backup.lock.mode is LockMode.COMPLIANCE
        assert abs(backup.lock.until - datetime.now(UTC) - timedelta(hours=1)) < timedelta(minutes=1)
        thief = locking_bucket.server.blocking_client
        found = versions(locking_bucket)
        assert {name for name, _ in found} == {backup.manifest_key, backup.artifacts[0].object_key}
        for name, version in found:
            with pytest.raises(ClientError, match="AccessDenied"):
                thief.delete_object(Bucket="locked", Key=name, VersionId=version, BypassGovernanceRetention=True)
            with pytest.raises(ClientError, match="AccessDenied"):
                thief.put_object_retention(
                    Bucket="locked",
                    Key=name,
                    VersionId=version,
                    BypassGovernanceRetention=True,
                    Retention={"Mode": "COMPLIANCE", "RetainUntilDate": datetime.now(UTC) + timedelta(seconds=5)},
                )
        assert versions(locking_bucket) == found
        (stated,) = await made.events("backup.locked")
        assert stated.backup_id == backup.id


async def test_a_manual_deletion_explains_itself_and_leaves_a_whole_backup(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    async with scene(locking(settings, HOUR, LockMode.GOVERNANCE), nats_server, start=utc_now()) as made:
        await made.add_service()
        backup = await made.make()
        found = versions(locking_bucket)
        with pytest.raises(Conflict, match="BypassGovernanceRetention") as refused:
            await delete(made, backup, force=True)
        assert refused.value.code == "backup.locked"
        assert backup.lock is not None
        assert f"{backup.lock.until:%Y-%m-%d %H:%M}" in refused.value.message
        assert await made.record(backup) == backup
        assert versions(locking_bucket) == found
        assert markers(locking_bucket) == []


async def test_when_the_lock_has_ended_a_deletion_leaves_no_version_and_no_marker(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    async with scene(locking(settings, BRIEF), nats_server, start=utc_now()) as made:
        await made.add_service()
        backup = await made.make()
        assert backup.lock is not None
        made.clock.set(backup.lock.until)

        async def gone() -> bool:
            try:
                await delete(made, backup)
            except Conflict as exc:
                return exc.code != "backup.locked"  # by the store's clock it has not ended
            return True

        await eventually(gone, 20)
        assert versions(locking_bucket) == []
        assert markers(locking_bucket) == []
        assert (await made.usage()).stored_bytes == 0


async def test_retention_waits_for_the_lock_and_tries_nothing_before(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(locking(settings, HOUR), nats_server, start=utc_now()) as made:
        await made.add_service(retention=KEEPS_ONE)
        first = await made.make()
        made.clock.advance(seconds=1)
        second = await made.make()
        plan = await made.operator.call(control.RETENTION_PLAN, control.ServiceRef(project="acme", service="orders"))
        assert [(verdict.id, verdict.rule) for verdict in plan.verdicts] == [(second.id, "locked"), (first.id, "locked")]
        assert all("locked in the object store until" in verdict.reason for verdict in plan.verdicts)
        assert await made.events("backup.deleting") == []
        usage = await made.usage()
        assert usage.stored_bytes == first.size_bytes + second.size_bytes
        assert usage.check is not None
        assert usage.check.differences == []


async def test_a_purge_waits_for_the_locks(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    brief = msgspec.structs.replace(locking(settings, 8), grace_days=0)
    async with scene(brief, nats_server, start=utc_now()) as made:
        await made.add_service()
        backup = await made.make()
        assert backup.lock is not None
        delete_service = control.ServiceDelete(project="acme", service="orders")
        await made.operator.call(control.SERVICE_DELETE, delete_service)
        assert len(versions(locking_bucket)) == 2
        assert [each.id for each in await made.backups()] == [backup.id]
        made.clock.set(backup.lock.until)

        async def purged() -> bool:
            return bool(await made.events("service.purged"))

        await eventually(purged, 30)
        assert datetime.now(UTC) >= backup.lock.until, "the store let nothing go before"
        assert versions(locking_bucket) == []


async def test_a_lock_is_lengthened_when_a_backup_is_protected(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(locking(settings, HOUR), nats_server, start=utc_now()) as made:
        await made.add_service(retention=RetentionPolicy(lock_days=LockDays(protected=3)))
        backup = await made.make()
        protect = control.BackupProtect(project="acme", service="orders", id=backup.id)
        await made.operator.call(control.BACKUP_PROTECT, protect)
        after = await made.record(backup)
        assert backup.lock is not None
        assert after.lock is not None
        assert after.lock.since == backup.lock.since
        assert timedelta(days=3) <= after.lock.until - after.lock.since <= timedelta(days=3, seconds=1)
        off = control.BackupProtect(project="acme", service="orders", id=backup.id, protect=False)
        await made.operator.call(control.BACKUP_PROTECT, off)
        assert (await made.record(backup)).lock == after.lock, "nothing makes a lock shorter"


async def test_a_coordinator_whose_clock_is_wrong_locks_nothing_and_says_so(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    async with scene(locking(settings, HOUR), nats_server, start=utc_now() + timedelta(days=3650)) as made:
        await made.add_service()
        backup = await made.make()
        assert backup.state == "completed"
        assert backup.lock is None
        assert "ahead of the object store's" in backup.lock_problem
        assert len(await made.events("backup.unlocked")) == 1
        head = locking_bucket.server.blocking_client.head_object(Bucket="locked", Key=backup.manifest_key)
        assert "ObjectLockRetainUntilDate" not in head


async def test_a_policy_with_locks_is_refused_where_nothing_locks_and_beyond_the_most(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    wants = RetentionPolicy(lock_days=LockDays(monthly=30))
    async with scene(settings, nats_server, start=utc_now()) as made:
        with pytest.raises(InvalidInput) as refused:
            await made.add_service(retention=wants)
        assert refused.value.field == "retention.lock_days"
    async with scene(locking(settings, 0), nats_server, start=utc_now(), is_new=False) as made:
        with pytest.raises(InvalidInput, match=r"max_days"):
            await made.add_service(retention=RetentionPolicy(lock_days=LockDays(monthly=401)))
        await made.add_service(retention=wants)


async def test_a_hidden_backup_is_uncovered(
    settings: CoordinatorSettings, nats_server: NatsServer, locking_bucket: Bucket
) -> None:
    """All that a thief can do to a locked backup is to put markers on top of it."""
    from daemon.store.s3 import open_store

    locks = locking(settings, HOUR)
    async with scene(locks, nats_server, start=utc_now()) as made, open_store(locks.store) as store:
        await made.add_service()
        backup = await made.make()
        names = locking_bucket.list_keys("strongroom/")
        for name in names:
            locking_bucket.server.blocking_client.delete_object(Bucket="locked", Key=name)
        assert locking_bucket.list_keys("strongroom/") == []
        assert await store.uncover(backup_prefix("acme", "orders", backup.id)) == len(names)
        assert locking_bucket.list_keys("strongroom/") == names
