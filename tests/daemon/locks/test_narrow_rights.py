"""The rights of `deploy/object-store`, with the real store: enough for all that the coordinator does, and nothing more."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import botocore.session
import msgspec
import pytest
from botocore.exceptions import ClientError

from contracts.errors import Conflict
from contracts.object_keys import artifact_key
from contracts.policy.locking import LockMode, ObjectLock
from contracts.wire import utc_now
from daemon.catalog.catalog import Catalog
from daemon.catalog.topology import ensure_topology
from daemon.embedded import store_config
from daemon.embedded.private_files import write_private
from daemon.orphans import Orphans, OrphanSettings
from daemon.quotas import Quotas
from daemon.store.s3 import open_store
from daemon.store.settings import LockSettings, StoreSettings
from tests.servers import s3 as s3_servers
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket, S3Factory
from tests.servers.waiting import eventually

IDENTITY = Path(__file__).parents[3] / "deploy" / "object-store" / "seaweedfs-identity.json"
ACCESS, SECRET = "COORDINATOR", "of-the-coordinator-alone"


@pytest.fixture
def bucket(s3_factory: S3Factory, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """In a store that knows an admin and, by the file, the coordinator."""
    text = IDENTITY.read_text().replace("ACCESS_KEY", ACCESS).replace("SECRET_KEY", SECRET).replace("BUCKET", "locked")
    render = store_config.render_identities

    def with_coordinator(access_key: str, secret_key: str) -> str:
        known = json.loads(render(access_key, secret_key))
        return json.dumps({"identities": [*known["identities"], json.loads(text)]})

    monkeypatch.setattr(s3_servers, "render_identities", with_coordinator)
    server = s3_factory()
    server.blocking_client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    return Bucket(server, "locked")


@pytest.fixture
def store_settings(bucket: Bucket, tmp_path: Path) -> StoreSettings:
    credentials = tmp_path / "store.toml"
    write_private(credentials, f'access_key = "{ACCESS}"\nsecret_key = "{SECRET}"\n')
    return StoreSettings(
        bucket=bucket.name,
        endpoint_url=bucket.server.endpoint_url,
        credentials_file=str(credentials),
        lock=LockSettings(mode=LockMode.GOVERNANCE),
    )


def governance(now: datetime, **span: float) -> ObjectLock:
    until = (now + timedelta(**span)).replace(microsecond=0)
    return ObjectLock(mode=LockMode.GOVERNANCE, until=until, since=now)


async def test_they_suffice_for_writing_locking_lengthening_and_deleting(store_settings: StoreSettings) -> None:
    async with open_store(store_settings) as store:
        upload = await store.begin_upload("strongroom/a")
        await store.abort_upload("strongroom/a", upload)
        await store.write_once("strongroom/a/x", b"x")
        await store.write_once("strongroom/a/y", b"y")
        lock = governance(utc_now(), hours=1)
        assert await store.lock(["strongroom/a/x"], lock) == lock
        longer = msgspec.structs.replace(lock, until=lock.until + timedelta(hours=1))
        assert await store.lock(["strongroom/a/x"], longer) == longer
        assert await store.lock(["strongroom/a/x"], lock) == longer, "never shorter"
        with pytest.raises(Conflict) as refused:
            await store.clear("strongroom/a/")
        assert refused.value.code == "backup.locked"
        assert [item.object_key async for item in store.objects("strongroom/a/")] == ["strongroom/a/x"]


async def test_they_end_no_lock_early_and_open_no_other_door(store_settings: StoreSettings, bucket: Bucket) -> None:
    async with open_store(store_settings) as store:
        await store.write_once("strongroom/a", b"a")
        await store.lock(["strongroom/a"], governance(utc_now(), hours=2))
    thief: Any = botocore.session.get_session().create_client(
        "s3",
        endpoint_url=bucket.server.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id=ACCESS,
        aws_secret_access_key=SECRET,
        config=s3_servers._CONFIG,
    )
    found = thief.list_object_versions(Bucket="locked")["Versions"]
    (version,) = [each["VersionId"] for each in found if each["Key"] == "strongroom/a"]
    named = {"Bucket": "locked", "Key": "strongroom/a", "VersionId": version}
    shorter = {"Mode": "GOVERNANCE", "RetainUntilDate": utc_now() + timedelta(minutes=1)}
    default = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": 9999}}}
    doors: list[Callable[[], Any]] = [
        lambda: thief.delete_object(**named, BypassGovernanceRetention=True),
        lambda: thief.put_object_retention(**named, BypassGovernanceRetention=True, Retention=shorter),
        lambda: thief.put_object_legal_hold(**named, LegalHold={"Status": "ON"}),
        lambda: thief.put_object_lock_configuration(Bucket="locked", ObjectLockConfiguration=default),
        lambda: thief.put_bucket_policy(Bucket="locked", Policy="{}"),
        lambda: thief.delete_bucket(Bucket="locked"),
        lambda: thief.create_bucket(Bucket="other"),
        lambda: thief.list_objects_v2(Bucket="probe"),
    ]
    for door in doors:
        with pytest.raises(ClientError, match="AccessDenied"):
            door()
    assert thief.get_object(**named)["Body"].read() == b"a"
    thief.close()


async def test_orphans_that_are_locked_stay_until_their_lock_has_ended(
    store_settings: StoreSettings, nats_server: NatsServer
) -> None:
    from contracts.records import ProjectRecord

    name = artifact_key("acme", "orders", "20260301T003000Z-aaaa", 1, 1, "orders", "pgdump.zst.age")
    async with nats_server.connect_coordinator() as client, open_store(store_settings) as store:
        js = client.jetstream()
        await ensure_topology(js, replicas=1)
        catalog = Catalog(client, js)
        project = ProjectRecord(name="acme", created_at=utc_now() - timedelta(days=9), key_id="", recipients=[])
        await catalog.projects.create("acme", project)
        orphans = Orphans(catalog, store, Quotas(catalog), OrphanSettings())
        await store.write_once(name, b"of an attempt that failed")
        lock = governance(utc_now(), seconds=6)
        await store.lock([name], lock)
        later = utc_now() + timedelta(days=2)
        await orphans.sweep_objects(later)
        assert [item.object_key async for item in store.objects("strongroom/")] == [name]

        async def gone() -> bool:
            await orphans.sweep_objects(later)
            return [item async for item in store.objects("strongroom/")] == []

        await eventually(gone, 20)
        assert utc_now() >= lock.until
