"""A dump is whole, or says what is wrong."""

from __future__ import annotations

import asyncio
import io
import json
import tarfile

import pytest
from qdrant_client import models

from contracts.errors import RunFailed
from contracts.services import QdrantOptions
from tests.agents.drivers.playing import Backup, back_up
from tests.agents.drivers.qdrant.engine import ODD_NAMES, QdrantEngine
from tests.servers.waiting import eventually

NAME = ODD_NAMES[1]
VECTORS = models.VectorParams(size=2, distance=models.Distance.DOT)
ONLY = QdrantOptions(include=[NAME])


async def failure(engine: QdrantEngine, code: str) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await back_up(engine.driver(ONLY))
    assert caught.value.code == code
    assert caught.value.detail is None or engine.token not in caught.value.detail
    return caught.value


async def test_a_full_disk_says_where_and_what_to_do(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(disk_full=True)
    told = await failure(fake, "dump.failed")
    assert "No space left on device" in told.message
    assert fake.proxy_url in told.message
    assert "make room there" in told.message
    assert await fake.leftovers() == []


async def test_a_checksum_that_does_not_match_fails_the_dump(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(wrong_checksum=True)
    told = await failure(fake, "dump.incomplete")
    assert "SHA-256" in told.message
    assert await fake.leftovers() == []


async def test_a_server_without_checksums_is_a_warning(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(no_checksum=True)
    backup = await back_up(fake.driver(ONLY))
    assert any("states no checksum" in warning for warning in backup.warnings)


async def test_a_download_that_is_cut_off_fails_the_dump(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(cut_downloads_at=1)
    told = await failure(fake, "dump.failed")
    assert "broke off" in told.message
    assert await fake.leftovers() == []


async def test_a_snapshot_that_is_gone_before_its_download_fails_the_dump(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(lose_snapshots=True)
    told = await failure(fake, "dump.failed")
    assert "was gone before it could be downloaded" in told.message
    assert list(fake.work_dir.iterdir()) == []


async def test_a_proxy_that_does_not_wait_does_no_harm(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(gateway_timeout_s=0.1, hold_snapshots=True)
    backing_up = asyncio.create_task(back_up(fake.driver(ONLY)))
    await eventually(lambda: list(fake.work_dir.iterdir()))
    await asyncio.sleep(0.3)  # the proxy has given up meanwhile, whenever it began
    fake.server.fail()
    backup = await backing_up
    assert NAME in [record.name for record in backup.records]
    assert await fake.leftovers() == []


async def test_a_snapshot_that_fails_behind_a_proxy_is_not_waited_for(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(gateway_timeout_s=0.1, hold_snapshots=True)
    backing_up = asyncio.create_task(back_up(fake.driver(ONLY)))
    await eventually(lambda: list(fake.work_dir.iterdir()))
    await asyncio.sleep(0.3)
    fake.server.fail(silent_failures=True)
    with pytest.raises(RunFailed) as caught:
        await backing_up
    assert caught.value.code == "dump.failed"
    assert "its log says why" in caught.value.message
    assert await fake.leftovers() == []


async def test_a_collection_that_goes_while_the_backup_is_made_fails_its_dump(fake: QdrantEngine) -> None:
    driver = fake.driver()
    plan = await driver.plan_backup()
    async with fake.client() as client:
        await client.delete_collection(NAME)
    artifact = next(each for each in plan.artifacts if each.name == NAME)
    with pytest.raises(RunFailed) as caught:
        async with driver.dump(artifact) as source:
            await source.finish(0, b"", b"")
    assert caught.value.code == "dump.failed"
    assert "has gone" in caught.value.message


async def test_collections_that_come_and_go_meanwhile_are_told(fake: QdrantEngine) -> None:
    driver = fake.driver()
    plan = await driver.plan_backup()
    async with fake.client() as client:
        await client.delete_collection(NAME)
        await client.create_collection("new", vectors_config=VECTORS)
    warnings = await driver.finish_backup(plan)
    assert any("'new' was made while" in warning for warning in warnings)
    assert any(f"{NAME!r} was removed" in warning for warning in warnings)


async def test_snapshots_are_the_server_s_own_and_aliases_are_ready_to_be_sent(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    snapshot = next(data for record, data in backup.artifacts if record.name == NAME)
    with tarfile.open(fileobj=io.BytesIO(snapshot)) as tar:
        names = tar.getnames()
    assert {"config.json", "version.info", "payload_index.json"} <= set(names)
    assert any(name.startswith("0/segments/") for name in names)
    document = json.loads(next(data for record, data in backup.artifacts if record.kind == "aliases"))
    async with fake.client() as client:
        await client.delete_collection("unrelated")
    wanted = {
        (action["create_alias"]["alias_name"], action["create_alias"]["collection_name"]) for action in document["actions"]
    }
    assert wanted == {("current", ODD_NAMES[0]), ("alias mit Umlaut ß", NAME), ("other", NAME)}
    assert document["collections"][NAME]["payload_schema"]["city"]["data_type"] == "keyword"


async def test_a_collection_called_aliases_does_not_hide_the_aliases(fake: QdrantEngine) -> None:
    backup = await back_up(fake.driver())
    kinds = {record.name: record.kind for record in backup.records}
    assert kinds["aliases"] == "collection"
    assert kinds["aliases (2)"] == "aliases"


async def test_a_store_that_is_slow_holds_up_the_server(fake: QdrantEngine) -> None:
    backup: Backup = await back_up(fake.driver(ONLY))
    expected = next(data for record, data in backup.artifacts if record.name == NAME)
    driver = fake.driver(ONLY)
    plan = await driver.plan_backup()
    async with driver.dump(plan.artifacts[0]) as source:
        await asyncio.sleep(0.3)  # nobody reads
        data = await asyncio.to_thread(_read, source.fd)
        assert await source.finish(len(data), data[:1024], data[-1024:]) == []
    assert len(data) == len(expected)


def _read(fd: int) -> bytes:
    with open(fd, "rb", closefd=False) as file:
        return file.read()
