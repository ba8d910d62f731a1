"""Restores: beside the original, in its place, or not at all."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from qdrant_client import models

from agents.drivers import unnamed_file
from agents.drivers.qdrant.replacing import proof_name
from agents.drivers.qdrant.uploading import Upload
from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, feed, restore
from tests.agents.drivers.qdrant.engine import ODD_NAMES, QdrantEngine
from tests.servers.waiting import eventually

EMPTY, NAME, THIRD = ODD_NAMES[0], ODD_NAMES[1], ODD_NAMES[2]


def alter(backup: Backup, name: str, **attributes: Any) -> Backup:
    """The same with other attributes of that artifact."""

    def altered(record: ArtifactRecord) -> ArtifactRecord:
        if record.name != name:
            return record
        return msgspec.structs.replace(record, attributes={**record.attributes, **attributes})

    return Backup(
        plan=backup.plan,
        artifacts=[(altered(record), data) for record, data in backup.artifacts],
        warnings=backup.warnings,
    )


async def delete(engine: QdrantEngine, *names: str) -> None:
    async with engine.client() as client:
        for name in names:
            await client.delete_collection(name)


async def take(engine: QdrantEngine, record: ArtifactRecord, data: bytes, target: RestoreTarget) -> None:
    async with engine.driver().restore(record, target, RUN_ID) as sink:
        await feed(sink, data)
        await sink.finish()


async def set_alias(engine: QdrantEngine, alias: str, name: str) -> None:
    async with engine.client() as client:
        creation = models.CreateAlias(collection_name=name, alias_name=alias)
        await client.update_collection_aliases([models.CreateAliasOperation(create_alias=creation)])


async def test_a_collection_comes_back_beside_the_original(fake: QdrantEngine) -> None:
    before = await fake.content()
    backup = await back_up(fake.driver())
    target = fake.target(rename={NAME: "copy of it"})
    outcome = await restore(fake.driver(), backup, target, only=[NAME])
    assert outcome == [{"in_place": "copy of it"}]
    after = await fake.content()
    assert after["collections"].pop("copy of it") == before["collections"][NAME]
    assert after == before
    assert await fake.leftovers() == []


async def test_replacing_one_keeps_the_aliases_that_pointed_to_it(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    await set_alias(fake, "made later", NAME)
    before = await fake.content()
    await restore(fake.driver(), backup, fake.target(replace=True), only=[NAME])
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_name_that_is_an_alias_is_never_restored_into(fake: QdrantEngine) -> None:
    """Qdrant would put it into the collection that the alias points to."""
    backup = await back_up(fake.driver())
    await delete(fake, NAME)
    await set_alias(fake, NAME, THIRD)
    before = await fake.content()
    for replace in (False, True):
        with pytest.raises(Conflict, match="is an alias of collection"):
            await restore(fake.driver(), backup, fake.target(replace=replace), only=[NAME])
    assert await fake.content() == before


async def test_a_collection_that_somebody_makes_meanwhile_is_left_alone(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    record = next(record for record in backup.records if record.name == NAME)
    await delete(fake, NAME)
    driver = fake.driver()
    await driver.check_restore([record], fake.target())
    async with driver.restore(record, fake.target(), RUN_ID) as sink:
        await feed(sink, backup.data_of(record))
        async with fake.client() as client:
            await client.create_collection(NAME, vectors_config=models.VectorParams(size=3, distance=models.Distance.DOT))
        before = await fake.content()
        with pytest.raises(Conflict) as caught:
            await sink.finish()
    assert caught.value.code == "restore.target_not_empty"
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_server_that_cannot_take_it_keeps_what_it_has(fake: QdrantEngine) -> None:
    assert fake.server is not None
    backup = await back_up(fake.driver())
    before = await fake.content()
    fake.server.fail(disk_full_for=[proof_name(RUN_ID, NAME)])
    with pytest.raises(RunFailed) as caught:
        await restore(fake.driver(), backup, fake.target(replace=True), only=[NAME])
    assert caught.value.code == "restore.failed"
    assert "No space left" in caught.value.message
    assert "make room" in caught.value.message
    fake.server.fail()
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_free_name_stays_free_when_the_server_cannot_take_it(fake: QdrantEngine) -> None:
    assert fake.server is not None
    backup = await back_up(fake.driver())
    before = await fake.content()
    fake.server.fail(disk_full_for=["copy"])
    with pytest.raises(RunFailed, match="No space left"):
        await restore(fake.driver(), backup, fake.target(rename={NAME: "copy"}), only=[NAME])
    fake.server.fail()
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_free_name_stays_free_when_the_file_cannot_be_removed(fake: QdrantEngine) -> None:
    assert fake.server is not None
    backup = await back_up(fake.driver())
    before = await fake.content()
    fake.server.fail(disk_full_for=["copy"], refuse_deletes=True)
    with pytest.raises(RunFailed, match="No space left"):
        await restore(fake.driver(), backup, fake.target(rename={NAME: "copy"}), only=[NAME])
    fake.server.fail()
    assert await fake.content() == before


async def test_a_free_name_stays_free_when_the_server_restarts_after_its_refusal(
    fake: QdrantEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.server is not None
    backup = await back_up(fake.driver())
    before = await fake.content()
    fake.server.fail(disk_full_for=["copy"])
    undo = Upload.undo

    async def undo_with_the_server_away(self: Upload) -> None:
        await fake.proxy.close()
        asyncio.get_running_loop().call_later(0.3, lambda: coming_back.append(asyncio.create_task(fake.proxy.open())))
        await undo(self)

    coming_back: list[asyncio.Task[None]] = []
    monkeypatch.setattr(Upload, "undo", undo_with_the_server_away)
    with pytest.raises(RunFailed, match="No space left"):
        await restore(fake.driver(), backup, fake.target(rename={NAME: "copy"}), only=[NAME])
    fake.server.fail()
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_collection_is_not_replaced_where_the_host_has_no_room_for_its_snapshot(
    fake: QdrantEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = await back_up(fake.driver())
    before = await fake.content()
    monkeypatch.setattr(unnamed_file, "RESERVE_BYTES", 1 << 60)
    with pytest.raises(RunFailed, match="under another name, with --rename") as caught:
        await restore(fake.driver(), backup, fake.target(replace=True), only=[NAME])
    assert caught.value.code == "spool.full"
    assert await fake.content() == before


async def test_no_file_of_the_host_shows_what_is_restored(fake: QdrantEngine) -> None:
    """So that an agent that is killed leaves none."""
    backup = await back_up(fake.driver())
    record = next(record for record in backup.records if record.name == NAME)
    async with fake.driver().restore(record, fake.target(replace=True), RUN_ID) as sink:
        await feed(sink, backup.data_of(record))
        assert list(fake.work_dir.iterdir()) == []
        await sink.finish()
    assert list(fake.work_dir.iterdir()) == []


async def test_when_the_last_step_fails_the_data_are_whole_beside_and_the_error_says_where(fake: QdrantEngine) -> None:
    assert fake.server is not None
    backup = await back_up(fake.driver())
    before = await fake.content()
    fake.server.fail(disk_full_for=[NAME])
    with pytest.raises(RunFailed) as caught:
        await restore(fake.driver(), backup, fake.target(replace=True), only=[NAME])
    kept = proof_name(RUN_ID, NAME)
    assert f"the data are whole in {kept!r}" in caught.value.message
    fake.server.fail()
    after = await fake.content()
    assert after["collections"][kept] == before["collections"][NAME]
    assert list(fake.work_dir.iterdir()) == []


async def test_a_proxy_that_does_not_wait_for_a_recovery_does_no_harm(fake: QdrantEngine) -> None:
    assert fake.server is not None
    before = await fake.content()
    backup = await back_up(fake.driver())
    fake.server.fail(gateway_timeout_s=0.2, hold_uploads=True)
    target = fake.target(rename={NAME: "copy"})
    restoring = asyncio.create_task(restore(fake.driver(), backup, target, only=[NAME]))
    server = fake.server
    await eventually(lambda: any("strongroom-" in name for name in server.files()))
    await asyncio.sleep(0.4)  # the proxy has given up meanwhile, whenever it began
    fake.server.fail()
    assert await restoring == [{"in_place": "copy"}]
    after = await fake.content()
    assert after["collections"]["copy"] == before["collections"][NAME]
    assert await fake.leftovers() == []


async def test_what_is_no_snapshot_is_refused_before_the_server_is_asked(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    record = next(record for record in backup.records if record.name == NAME)
    before = await fake.content()
    for data in (b"no tar at all" * 1000, backup.data_of(record)[:-20_000], b""):
        for target in (fake.target(rename={NAME: "copy"}), fake.target(replace=True)):
            with pytest.raises((Corrupt, RunFailed)) as caught:
                await take(fake, record, data, target)
            assert caught.value.code in {"artifact.corrupt", "restore.failed"}
    assert await fake.content() == before
    assert await fake.leftovers() == []


async def test_a_number_of_points_that_differs_is_told(fake: QdrantEngine) -> None:
    backup = alter(await back_up(fake.driver()), NAME, points=21)
    outcome = await restore(fake.driver(), backup, fake.target(rename={NAME: "copy"}), only=[NAME])
    warnings = outcome[0]["warnings"]
    assert isinstance(warnings, list)
    assert "has 20 points; it had 21 when the backup was planned" in warnings[0]


async def test_an_older_server_is_told_before_anything_is_sent(fake: QdrantEngine) -> None:
    backup = alter(await back_up(fake.driver()), NAME, server_version="1.19.0")
    with pytest.raises(RunFailed) as caught:
        await fake.driver().check_restore(backup.records, fake.target(replace=True))
    assert caught.value.code == "engine.version_skew"


@pytest.mark.parametrize(
    ("rename", "words"),
    [
        ({"nobody": "x"}, "none of the collections"),
        ({NAME: "a/b"}, "no name that Qdrant allows"),
        ({NAME: ""}, "no name that Qdrant allows"),
        ({NAME: THIRD}, "both"),
        ({NAME: "strongroom-may-restore"}, "kept free"),
    ],
)
async def test_names_that_cannot_be_are_refused(fake: QdrantEngine, rename: dict[str, str], words: str) -> None:
    backup = await back_up(fake.driver())
    with pytest.raises(InvalidInput, match=words) as caught:
        await fake.driver().check_restore(backup.records, fake.target(rename=rename, replace=True))
    assert caught.value.field == "rename"


async def test_an_alias_that_points_elsewhere_is_a_conflict_unless_it_may_be_replaced(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    await set_alias(fake, "current", THIRD)
    before = await fake.content()
    with pytest.raises(Conflict, match="the alias 'current'"):
        await restore(fake.driver(), backup, fake.target(), only=["aliases (2)"])
    assert await fake.content() == before
    await restore(fake.driver(), backup, fake.target(replace=True), only=["aliases (2)"])
    assert (await fake.content())["aliases"]["current"] == EMPTY


async def test_aliases_of_collections_that_are_not_there_are_left_out(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    await delete(fake, NAME)
    outcome = await restore(fake.driver(), backup, fake.target(), only=["aliases (2)"])
    assert outcome[0]["aliases"] == 1
    assert (await fake.content())["aliases"] == {"current": EMPTY}
    assert len(outcome[0]["warnings"]) == 2  # type: ignore[arg-type]


async def test_a_copy_beside_the_original_does_not_take_its_aliases(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    await delete(fake, EMPTY, THIRD)
    target = fake.target(rename={NAME: "copy"})
    await restore(fake.driver(), backup, target)
    aliases = (await fake.content())["aliases"]
    assert aliases == {"current": EMPTY, "other": NAME, "alias mit Umlaut ß": NAME}
