"""A deleted project's identities: gone on disk, sealed by a master key that is no more, and a signed record says so."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import msgspec
import pytest

from contracts import control
from contracts.custody import CustodyKind
from contracts.deletion_record import DeletionRecord, DeletionStage, ProjectDeletion
from contracts.errors import Corrupt, Denied
from contracts.signed_record import PublicKey, content_as, verify
from daemon.catalog.catalog import Catalog
from daemon.keys.custody import identity_context
from daemon.keys.erasure import ErasureSettings, read_deletion
from daemon.keys.master import MasterKey
from daemon.keys.signing import SIGNING_KEY
from daemon.settings import CoordinatorSettings
from tests.daemon.scene import Scene, at, scene
from tests.daemon.test_grace import catalog_of, delete_project, files_with, store_age_files, undelete_project
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

START = at("2026-03-02 00:00")


async def deletions(catalog: Catalog, stage: DeletionStage | None = None) -> dict[str, DeletionRecord]:
    found = {stored.value.project: stored.value for stored in await catalog.deletions.select()}
    return {name: record for name, record in found.items() if stage in (None, record.stage)}


async def public_key(catalog: Catalog) -> PublicKey:
    stored = await catalog.signing.get(SIGNING_KEY)
    assert stored is not None
    return PublicKey.parse(stored.value.public_key)


async def add_projects(made: Scene, *names: str) -> None:
    for name in names:
        await made.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))


async def test_an_erased_project_leaves_a_signed_record_and_nothing_that_opens_it(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    master_file = Path(settings.master_key_file)
    old_master, old_text = MasterKey.read(master_file), master_file.read_bytes().strip()
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await made.add_service()
        await store_age_files(made, b"all orders")
        backup = await made.make(tags=["protected"])
        (key,) = await catalog.keys.select("acme")
        sealed, context = key.value.sealed_identity, identity_context("acme", key.value.key_id)
        plain = old_master.open(sealed, context)
        assert files_with(nats_server.directory, base64.b64encode(sealed))
        await delete_project(made, actor="ada")
        made.clock.advance(days=7)
        record = (await eventually(lambda: deletions(catalog, DeletionStage.SIGNED)))["acme"]

        for secret in (plain, base64.b64encode(plain), sealed, base64.b64encode(sealed)):
            assert files_with(nats_server.directory, secret) == []
        with pytest.raises(Denied):
            MasterKey.read(master_file).open(sealed, context)
        for directory in {master_file.parent, nats_server.directory}:
            assert files_with(directory, old_text) == []

        text = bucket.read(record.object_key)
        statement = verify(text, await public_key(catalog))
        said = content_as(statement, ProjectDeletion)
        assert (said.project, said.asked_by, said.custody) == ("acme", "ada", CustodyKind.MANAGED)
        assert [each.key_id for each in said.keys] == [key.value.key_id]
        (listed,) = said.backups
        assert (listed.id, listed.size_bytes) == (backup.id, backup.size_bytes)
        assert [each.sha256 for each in listed.artifacts] == [each.sha256 for each in backup.artifacts]
        assert (said.backup_count, said.stored_bytes) == (1, backup.size_bytes)
        assert len(said.verification) == 2
        (kept,) = await catalog.signed.select()
        assert kept.value.text.encode() == text
        assert read_deletion(kept.value.text) == said
        (event,) = await made.events("project.erased")
        assert (event.actor, event.project) == ("ada", "acme")

        async def notes_are_gone() -> bool:
            return not await catalog.deleted_backups.select()

        await eventually(notes_are_gone)
        envelope = json.loads(text)
        forged = base64.b64decode(envelope["payload"]).replace(b'"asked_by":"ada"', b'"asked_by":"bob"')
        envelope["payload"] = base64.b64encode(forged).decode()
        with pytest.raises(Corrupt):
            verify(json.dumps(envelope).encode(), await public_key(catalog))


async def test_one_rotation_is_enough_for_all_that_were_purged_together_and_what_was_had_back_stays(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START) as made, catalog_of(nats_server) as catalog:
        await add_projects(made, "one", "two", "three")
        for project in ("one", "two", "three"):
            await delete_project(made, project)
        await undelete_project(made, "three")
        made.clock.advance(days=7)

        async def both() -> bool:
            return set(await deletions(catalog, DeletionStage.SIGNED)) == {"one", "two"}

        await eventually(both)
        assert len(await made.events("master_key.rotated")) == 1
        assert set(await deletions(catalog)) == {"one", "two"}
        assert len(await catalog.keys.select("three")) == 1


async def test_a_project_waits_for_the_next_rotation_and_no_record_says_meanwhile_that_it_is_erased(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    """And a coordinator that begins anew takes it up where it was left."""
    settings = msgspec.structs.replace(settings, erasure=ErasureSettings(rotate_every_s=3600))
    async with catalog_of(nats_server) as catalog:
        async with scene(settings, nats_server, start=START) as made:
            await add_projects(made, "one", "two")
            await delete_project(made, "one")
            made.clock.advance(days=7)
            await eventually(lambda: deletions(catalog, DeletionStage.SIGNED))
            await delete_project(made, "two")
            made.clock.advance(days=7)
            waiting = (await eventually(lambda: deletions(catalog, DeletionStage.ERASED)))["two"]
            assert waiting.waits_for.startswith("waiting for the master key's rotation")
            assert await catalog.keys.select("two") == []
            assert {event.project for event in await made.events("project.erased")} == {"one"}
            moment = made.clock.moment
        async with scene(settings, nats_server, start=moment, is_new=False) as made:

            async def signed() -> bool:
                return set(await deletions(catalog, DeletionStage.SIGNED)) == {"one", "two"}

            await eventually(signed, 30)
            assert {event.project for event in await made.events("project.erased")} == {"one", "two"}
