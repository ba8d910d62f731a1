"""A dump that is put into a directory, what is said of it, and what refuses it."""

from __future__ import annotations

import asyncio
import shlex
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest

from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest, content_of
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, feed, restore
from tests.servers.meilisearch.control import HOLD_DUMPS
from tests.servers.meilisearch.server import MeilisearchServer
from tests.servers.waiting import eventually


@pytest.fixture
async def backup(meilisearch: MeilisearchUnderTest) -> Backup:
    await meilisearch.do(lambda client: client.index("movies").add_documents([{"id": n} for n in range(50)], "id"))
    return await back_up(meilisearch.driver())


def target(directory: str, **changes: Any) -> RestoreTarget:
    return RestoreTarget(project="acme", service="search", node="node-1", directory=directory, **changes)


async def test_the_dump_lies_there_for_its_owner_and_the_outcome_says_how_to_launch(
    meilisearch: MeilisearchUnderTest, backup: Backup
) -> None:
    (outcome,) = await restore(meilisearch.driver(), backup, meilisearch.target())
    path = meilisearch.target_dir / f"search-{RUN_ID}.dump"
    assert outcome["in_place"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_bytes() == backup.artifacts[0][1]
    assert outcome["documents"] == 50
    assert (outcome["server_version"], outcome["dump_version"]) == ("1.50.0", "V6")
    warnings = outcome["warnings"]
    assert isinstance(warnings, list)
    assert f"--import-dump {path}" in warnings[0]
    assert "Meilisearch 1.50.0 or newer" in warnings[0]
    assert "master key" in warnings[0]
    assert len(warnings) == 1


async def test_the_command_launches_it_with_the_keys_of_the_original(
    meilisearch: MeilisearchUnderTest, backup: Backup
) -> None:
    before = await meilisearch.content()
    (outcome,) = await restore(meilisearch.driver(), backup, meilisearch.target())
    argv = shlex.split(str(outcome["launch"]))
    assert argv[0] == "meilisearch"
    assert argv[1] == "--import-dump"
    server = MeilisearchServer(
        meilisearch.directory / "launched",
        master_key=meilisearch.server.master_key,
        program=str(meilisearch.bin_dir / argv[0]),
    )
    await asyncio.to_thread(lambda: server.start(import_dump=Path(argv[2])))
    try:
        assert await asyncio.to_thread(content_of, server.client()) == before
        key = before["keys"][0]["key"]
        assert await asyncio.to_thread(lambda: server.client(key).health()) == {"status": "available"}
    finally:
        server.kill()


async def test_writes_that_were_not_done_yet_are_told(meilisearch: MeilisearchUnderTest) -> None:
    meilisearch.server.control.set(HOLD_DUMPS)
    backing_up = asyncio.create_task(back_up(meilisearch.driver()))
    await eventually(meilisearch.makes_a_dump)
    await meilisearch.ask(lambda client: client.index("movies").add_documents([{"id": 1}], "id"))
    meilisearch.server.control.clear(HOLD_DUMPS)
    (outcome,) = await restore(meilisearch.driver(), await backing_up, meilisearch.target())
    warnings = outcome["warnings"]
    assert isinstance(warnings, list)
    assert "1 writes that Meilisearch had accepted but not done" in warnings[1]
    restored = await meilisearch.content_of_target()
    assert restored["indexes"]["movies"]["documents"] == [{"id": 1}]


@pytest.mark.parametrize("wanted", ["", "/etc/dumps", "../elsewhere", ".", "a/../../b"])
async def test_a_directory_that_the_host_does_not_allow_is_refused(
    meilisearch: MeilisearchUnderTest, backup: Backup, wanted: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await meilisearch.driver().check_restore(backup.records, target(wanted))
    assert caught.value.field == "directory"


async def test_a_host_that_allows_no_directory_says_how_to_allow_one(
    meilisearch: MeilisearchUnderTest, backup: Backup
) -> None:
    with pytest.raises(RunFailed, match="set restore_dir in the service's file"):
        await meilisearch.driver(restore_dir="").check_restore(backup.records, meilisearch.target())


async def test_a_directory_inside_one_that_does_not_exist_is_refused(
    meilisearch: MeilisearchUnderTest, backup: Backup
) -> None:
    with pytest.raises(RunFailed, match="missing"):
        await meilisearch.driver().check_restore(backup.records, target("missing/dump"))


async def test_a_file_system_without_room_is_told_beforehand(meilisearch: MeilisearchUnderTest, backup: Backup) -> None:
    huge = msgspec.structs.replace(backup.records[0], plain_bytes=shutil.disk_usage("/").total * 1000)
    with pytest.raises(RunFailed, match="has only"):
        await meilisearch.driver().check_restore([huge], meilisearch.target())


async def test_indexes_cannot_be_renamed(meilisearch: MeilisearchUnderTest, backup: Backup) -> None:
    with pytest.raises(InvalidInput) as caught:
        await meilisearch.driver().check_restore(backup.records, target("dump", rename={"movies": "films"}))
    assert caught.value.field == "rename"


async def test_a_target_that_is_filled_meanwhile_is_left_alone(meilisearch: MeilisearchUnderTest, backup: Backup) -> None:
    record, data = backup.artifacts[0]
    async with meilisearch.driver().restore(record, meilisearch.target(), RUN_ID) as sink:
        await feed(sink, data)
        meilisearch.target_dir.mkdir()
        (meilisearch.target_dir / "of-somebody-else").touch()
        with pytest.raises(Conflict) as caught:
            await sink.finish()
    assert caught.value.code == "restore.target_not_empty"
    assert [path.name for path in meilisearch.target_dir.iterdir()] == ["of-somebody-else"]
    assert await meilisearch.leftovers() == [str(meilisearch.target_dir / "of-somebody-else")]


async def test_an_empty_directory_is_a_target(meilisearch: MeilisearchUnderTest, backup: Backup) -> None:
    meilisearch.target_dir.mkdir()
    await restore(meilisearch.driver(), backup, meilisearch.target())
    assert len(list(meilisearch.target_dir.iterdir())) == 1


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
async def test_an_artifact_that_ends_early_is_told_from_a_dump(
    meilisearch: MeilisearchUnderTest, backup: Backup, cut: int
) -> None:
    record, data = backup.artifacts[0]
    with pytest.raises(Corrupt, match="ends in the middle"):
        await take_in(meilisearch, record, data[:cut])
    assert not meilisearch.target_dir.exists()
    assert await meilisearch.leftovers() == []


async def test_something_else_is_told_from_a_dump(meilisearch: MeilisearchUnderTest, backup: Backup) -> None:
    record = backup.records[0]
    with pytest.raises(Corrupt, match="no whole Meilisearch dump"):
        await take_in(meilisearch, record, b"PGDMP" + bytes(1000))
    assert await meilisearch.leftovers() == []


async def take_in(meilisearch: MeilisearchUnderTest, record: ArtifactRecord, data: bytes) -> None:
    async with meilisearch.driver().restore(record, meilisearch.target(), RUN_ID) as sink:
        await feed(sink, data)
        await sink.finish()
