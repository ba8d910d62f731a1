"""Backups: what is in an artifact, what happens when the store is slow, and what changed meanwhile."""

from __future__ import annotations

import asyncio
import json
import os
import threading

import pytest

from agents.drivers import unnamed_file
from agents.drivers.base import PlannedArtifact
from agents.drivers.nats.driver import NATSDriver
from contracts.errors import RunFailed
from contracts.services import NATSOptions
from tests.agents.drivers.nats.artifacts import members
from tests.agents.drivers.nats.content import api, stream_content, stream_names
from tests.agents.drivers.nats.engine import TARGET, NatsEngine
from tests.agents.drivers.nats.filling import LARGE, make, publish_many
from tests.agents.drivers.playing import back_up, finish_dump, read_all, restore
from tests.servers.waiting import eventually

STALL_S = 6.5
"""Longer than a server waits for the answer to a chunk."""


async def _orders(host: NatsEngine, *, size_bytes: int = 200_000) -> None:
    async with host.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"])
        await publish_many(client, "orders", size_bytes, 10_000)


async def _dump(driver: NATSDriver, planned: PlannedArtifact, *, stall_s: float = 0.0) -> bytes:
    """Its bytes, read by a store that stands still for a while."""
    async with driver.dump(planned) as source:
        data = await asyncio.to_thread(os.read, source.fd, 4096)
        await asyncio.sleep(stall_s)  # what is tested is the passing of time
        data += await asyncio.to_thread(read_all, source.fd)
        assert await finish_dump(source, data) == []
    return data


async def test_an_artifact_is_what_nats_stream_backup_makes_in_parts(filled: NatsEngine) -> None:
    backup = await back_up(filled.driver(NATSOptions(include=[LARGE])))
    parts = members(backup.artifacts[0][1])
    names = list(parts)
    assert names == sorted(names)
    assert names[:2] == ["backup.json", "stream.arc.s2.000001"]
    assert [len(parts[name]) for name in names[1:-1]] == [8 * 1024 * 1024] * (len(names) - 2)
    described = json.loads(parts["backup.json"])
    assert described["config"]["name"] == LARGE
    assert described["state"]["messages"] == 128
    archive = b"".join(parts[name] for name in names[1:])
    assert archive.startswith(b"\xff\x06\x00\x00S2sTwO")


async def test_kinds_tell_buckets_from_streams(varied: NatsEngine) -> None:
    plan = await varied.driver().plan_backup()
    kinds = {planned.name: planned.kind for planned in plan.artifacts}
    assert (kinds["KV_settings"], kinds["OBJ_files"], kinds["ORDERS"]) == ("kv", "object-store", "stream")
    assert plan.summary["kv_buckets"] == 2
    assert plan.summary["object_buckets"] == 1


async def test_a_store_that_stands_still_does_not_break_the_snapshot(filled: NatsEngine) -> None:
    driver = filled.driver(NATSOptions(include=[LARGE]))
    plan = await driver.plan_backup()
    data = await _dump(driver, plan.artifacts[0], stall_s=STALL_S)
    described = members(data)
    assert sum(map(len, described.values())) > 32 * 1024 * 1024
    assert await filled.leftovers() == []


async def test_a_disk_without_room_fails_the_dump_with_a_word_about_it(
    filled: NatsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unnamed_file, "RESERVE_BYTES", 1 << 60)
    looked = threading.Event()
    require_room = unnamed_file.UnnamedFile.require_room

    def look(file: unnamed_file.UnnamedFile, size_bytes: int) -> None:
        looked.set()
        require_room(file, size_bytes)

    monkeypatch.setattr(unnamed_file.UnnamedFile, "require_room", look)
    driver = filled.driver(NATSOptions(include=[LARGE]))
    plan = await driver.plan_backup()
    async with driver.dump(plan.artifacts[0]) as source:
        await eventually(looked.is_set)  # nobody reads until then
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    assert caught.value.code == "spool.full"
    assert str(filled.work_dir) in caught.value.message
    assert await filled.leftovers() == []


async def test_a_stream_that_goes_before_its_turn_fails_the_backup(host: NatsEngine) -> None:
    await _orders(host)
    driver = host.driver()
    plan = await driver.plan_backup()
    async with host.server.connect() as client:
        await api(client, "STREAM.DELETE.ORDERS")
    with pytest.raises(RunFailed) as caught:
        await _dump(driver, plan.artifacts[0])
    assert caught.value.code == "dump.incomplete"
    assert "'ORDERS'" in caught.value.message


async def test_what_came_and_went_meanwhile_is_told(host: NatsEngine) -> None:
    await _orders(host)
    async with host.server.connect() as client:
        await make(client, "OLD", subjects=["old"])
    driver = host.driver(NATSOptions(exclude=["IGNORED*"]))
    plan = await driver.plan_backup()
    for planned in plan.artifacts:
        await _dump(driver, planned)
    async with host.server.connect() as client:
        await make(client, "NEW", subjects=["new"])
        await make(client, "IGNORED_NEW", subjects=["ignored"])
        await api(client, "STREAM.DELETE.OLD")
    warnings = await driver.finish_backup(plan)
    assert warnings == [
        "made while the backup was under way, and only in the next one: stream 'NEW'",
        "deleted while the backup was under way, and in it as before: stream 'OLD'",
    ]


async def test_a_stream_that_nobody_dumped_makes_no_backup(host: NatsEngine) -> None:
    await _orders(host)
    driver = host.driver()
    plan = await driver.plan_backup()
    with pytest.raises(RunFailed) as caught:
        await driver.finish_backup(plan)
    assert caught.value.code == "dump.incomplete"
    assert "'ORDERS'" in caught.value.message


async def test_counts_are_those_of_the_snapshots_not_of_the_plan(host: NatsEngine) -> None:
    await _orders(host)
    driver = host.driver()
    plan = await driver.plan_backup()
    assert plan.inventory["counts"] == {"ORDERS": 20}
    async with host.server.connect() as client:
        await client.jetstream().publish("orders.late", b"x")
    await _dump(driver, plan.artifacts[0])
    await driver.finish_backup(plan)
    assert plan.inventory["counts"] == {"ORDERS": 21}


async def test_patterns_choose_streams(varied: NatsEngine) -> None:
    options = NATSOptions(include=["KV_*", "ORDERS", "NOBODY*"], exclude=["*leases"])
    plan = await varied.driver(options).plan_backup()
    assert [planned.name for planned in plan.artifacts] == ["KV_settings", "ORDERS"]
    assert plan.warnings == ["no stream matches --include 'NOBODY*'"]


async def test_a_stream_that_is_named_and_missing_fails_the_plan(host: NatsEngine) -> None:
    await _orders(host)
    with pytest.raises(RunFailed) as caught:
        await host.driver(NATSOptions(include=["ORDER"])).plan_backup()
    assert caught.value.code == "engine.database_not_found"


async def test_without_consumers_the_streams_come_back_alone(varied: NatsEngine) -> None:
    options = NATSOptions(include=["ORDERS", "WORK"], consumers=False)
    backup = await back_up(varied.driver(options))
    assert ["'WORK'" in warning for warning in backup.warnings] == [True]
    async with varied.server.connect() as client:
        before = await stream_content(client, "ORDERS")
        await varied.wipe()
        await restore(varied.restoring_driver(), backup, TARGET)
        after = await stream_content(client, "ORDERS")
        assert after["consumers"] == {}
        assert after["messages"] == before["messages"]
        assert (await stream_content(client, "WORK"))["range"][2] == 19


async def test_messages_of_all_streams_come_in_pages(host: NatsEngine) -> None:
    """A list of streams has at most 256 of them."""
    async with host.server.connect() as client:
        for number in range(300):
            await make(client, f"S{number:03d}", subjects=[f"s.{number}"], storage="memory")
        assert len(await stream_names(client)) == 300
    plan = await host.driver().plan_backup()
    assert len(plan.artifacts) == 300
