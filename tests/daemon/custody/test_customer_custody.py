"""A project whose identity only its owner has: everything works, and the identity is nowhere but with its owner."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from contracts import control
from contracts.age import Identity, Recipient
from contracts.control import RestoreCreate
from contracts.custody import recipient_fingerprint
from contracts.errors import Denied, InvalidInput
from contracts.records import RunState
from contracts.resealing import reseal_header
from contracts.subjects import HEADERS_BUCKET
from tests.daemon.cli.calling import Strongroom
from tests.daemon.custody.scene import everything_heard, key_file, set_up
from tests.integration.platform import Platform
from tests.integration.test_backup_and_restore import content
from tests.servers.postgres import Database
from tests.servers.waiting import eventually

OWNER, SAFE, STRANGER = Identity.generate(), Identity.generate(), Identity.generate()


async def headers_kept(platform: Platform) -> int:
    """How many restores have headers in the servers' store."""
    async with platform.nats.connect_coordinator() as client:
        info = await client.jetstream().stream_info(f"KV_{HEADERS_BUCKET}")
        return info.state.messages


async def test_the_owner_reads_and_restores_and_the_identity_never_travels(
    platform: Platform, strongroom: Strongroom, shop: Database, tmp_path: Path
) -> None:
    keys = key_file(tmp_path / "key.txt", STRANGER, OWNER)
    platform.write_service()
    platform.start_coordinator(log_level="debug")
    agent = platform.start_agent(log_level="debug")
    copy = f"{shop.name}_copy"
    async with platform.operator() as operator, everything_heard(platform) as heard:
        await set_up(operator, shop, OWNER, SAFE)
        backup = await operator.completed(await operator.request(tags=["first"]))
        name = f"acme/orders/{backup.id}"
        assert backup.key_id == ""

        shown = (await strongroom.beside("backup", "show", name, "--identity", str(keys), "--json")).ok().document
        assert shown["inventory"]["databases"][0]["name"] == shop.name
        named = await strongroom.beside("backup", "show", name, "--json", STRONGROOM_IDENTITY_FILE=str(keys))
        assert named.ok().document["inventory"] == shown["inventory"]

        saved = strongroom.home / "orders.pgdump"
        flags = ("--artifact", shop.name, "--output", str(saved))
        (await strongroom.beside("backup", "download", name, *flags, "--identity", str(keys))).ok()
        assert saved.read_bytes()[:5] == b"PGDMP"

        flags = ("--rename", f"{shop.name}={copy}", "--identity", str(keys))
        try:
            restored = (await strongroom.beside("restore", name, *flags)).ok()
            assert content(platform.cluster, copy) == content(platform.cluster, shop.name)
        finally:
            platform.cluster.query(f"DROP DATABASE IF EXISTS {copy}")
        (node,) = (await operator.call(control.NODE_LIST, control.Nothing())).nodes
        assert recipient_fingerprint(node.record.recipient) in restored.err
    assert agent is not None
    assert await headers_kept(platform) == 0
    assert len(heard) > 50
    everything = b"\n".join(heard) + (platform.log("coordinator") + platform.log("agent-node-1")).encode()
    for secret in (OWNER.reveal(), OWNER.reveal().lower(), OWNER.reveal()[16:]):
        assert secret.encode() not in everything
    assert str(OWNER.recipient).encode() in everything


async def test_without_an_identity_everything_says_what_to_type(
    platform: Platform, strongroom: Strongroom, shop: Database, tmp_path: Path
) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    wrong = key_file(tmp_path / "wrong.txt", STRANGER)
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        backup = await operator.completed(await operator.request())
        name = f"acme/orders/{backup.id}"
        for command in ("restore", "backup download"):
            refused = (await strongroom.beside(*command.split(), name)).failed(7, "key.unavailable")
            assert f"strongroom {command} {name} --identity FILE" in " ".join(refused.err.split())
            refused = (await strongroom.beside(*command.split(), name, "--identity", str(wrong))).failed(7)
            assert str(OWNER.recipient) in "".join(refused.err.split())
        with pytest.raises(Denied, match="--identity FILE") as denied:
            await operator.call(RESTORE, RestoreCreate(project="acme", service="orders", id=backup.id))
        assert denied.value.code == "key.unavailable"
        with pytest.raises(Denied, match="backup download"):
            await operator.call(
                control.BACKUP_DOWNLOAD,
                control.BackupDownload(
                    project="acme",
                    service="orders",
                    id=backup.id,
                    artifact=shop.name,
                    recipient=str(STRANGER.recipient),
                ),
            )
        encrypted = strongroom.home / "as-stored"
        (await strongroom.beside("backup", "download", name, "--encrypted", "--output", f"{encrypted}/")).ok()
        assert next(encrypted.iterdir()).read_bytes().startswith(b"age-encryption.org/v1\n")
        detail = await operator.call(
            control.BACKUP_SHOW, control.RunRefRequest(project="acme", service="orders", id=backup.id)
        )
        assert detail.inventory is None
        assert detail.sealed_inventory.startswith(b"age-encryption.org/v1\n")


RESTORE = control.RESTORE_CREATE


async def test_headers_of_another_node_or_artifact_are_refused_and_nothing_is_kept_of_them(
    platform: Platform, shop: Database
) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        backup = await operator.completed(await operator.request())
        prepare = control.RestorePrepare(project="acme", service="orders", id="latest")
        found = await operator.call(control.RESTORE_PREPARE, prepare)
        assert (found.id, found.node, found.key_id) == (backup.id, "node-1", "")
        (header,) = found.headers
        good = reseal_header(header, [OWNER], Recipient.parse(found.recipient))
        for field, headers in (
            ("headers[0].recipient", [reseal_header(header, [OWNER], STRANGER.recipient)]),
            ("headers[0].object_key", [msgspec.structs.replace(good, object_key="elsewhere")]),
            ("headers[0].artifact", [msgspec.structs.replace(good, artifact="elsewhere")]),
            ("headers[1].artifact", [good, good]),
            ("headers[0].header", [msgspec.structs.replace(good, header=header.header + b"\n")]),
        ):
            request = RestoreCreate(project="acme", service="orders", id=backup.id, headers=headers)
            with pytest.raises(InvalidInput) as refused:
                await operator.call(RESTORE, request)
            assert refused.value.field == field
        listed = await operator.call(control.RESTORE_LIST, control.RestoreList())
        assert listed.restores == []
    assert await headers_kept(platform) == 0


async def test_a_restore_goes_on_with_its_headers_after_its_agent_was_killed(platform: Platform, shop: Database) -> None:
    """The next attempt is answered with the same headers, and they are gone when it has ended."""
    platform.write_service()
    platform.start_coordinator(request_ack_wait_s=2)
    platform.start_agent()
    copy = f"{shop.name}_copy"
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        backup = await operator.completed(await operator.request())
        prepare = control.RestorePrepare(project="acme", service="orders", id=backup.id)
        found = await operator.call(control.RESTORE_PREPARE, prepare)
        node = Recipient.parse(found.recipient)
        headers = [reseal_header(each, [OWNER], node) for each in found.headers]
        platform.kill("agent-node-1")
        request = RestoreCreate(
            project="acme", service="orders", id=backup.id, node="node-1", rename={shop.name: copy}, headers=headers
        )
        made = await operator.call(RESTORE, request)
        assert await headers_kept(platform) == 1
        platform.start_agent()

        async def has_ended() -> bool:
            reference = control.RunRefRequest(project="acme", service="orders", id=made.id)
            record = await operator.call(control.RESTORE_SHOW, reference)
            assert "header" not in json.dumps(msgspec.to_builtins(record))
            return not record.state.is_active

        try:
            await eventually(has_ended, 60)
            reference = control.RunRefRequest(project="acme", service="orders", id=made.id)
            record = await operator.call(control.RESTORE_SHOW, reference)
            assert record.state is RunState.COMPLETED, record.error
            assert content(platform.cluster, copy) == content(platform.cluster, shop.name)
        finally:
            platform.cluster.query(f"DROP DATABASE IF EXISTS {copy}")

        async def is_clean() -> bool:
            return await headers_kept(platform) == 0

        await eventually(is_clean)
    await asyncio.to_thread(platform.stop)
    for file in platform.nats.directory.rglob("*.blk"):
        assert headers[0].header not in file.read_bytes()


async def test_a_cancelled_restore_leaves_no_headers(platform: Platform, shop: Database) -> None:
    platform.write_service()
    platform.start_coordinator()
    platform.start_agent()
    async with platform.operator() as operator:
        await set_up(operator, shop, OWNER)
        backup = await operator.completed(await operator.request())
        prepare = control.RestorePrepare(project="acme", service="orders", id=backup.id)
        found = await operator.call(control.RESTORE_PREPARE, prepare)
        headers = [reseal_header(each, [OWNER], Recipient.parse(found.recipient)) for each in found.headers]
        platform.kill("agent-node-1")
        request = RestoreCreate(project="acme", service="orders", id=backup.id, node="node-1", headers=headers)
        made = await operator.call(RESTORE, request)
        reference = control.RunRefRequest(project="acme", service="orders", id=made.id)
        assert (await operator.call(control.RESTORE_CANCEL, reference)).state is RunState.CANCELLED
    assert await headers_kept(platform) == 0
