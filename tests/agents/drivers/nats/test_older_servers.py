"""Backups of nats-server before 2.15, whose archives are tars: `recorded-2.14.9.tar` is one, made by the driver there."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from agents.drivers.base import BackupPlan
from contracts.errors import RunFailed
from contracts.records import ArtifactRecord, RestoreTarget
from tests.agents.drivers.nats.artifacts import flipped, members
from tests.agents.drivers.nats.content import stream_content, stream_names
from tests.agents.drivers.nats.engine import REPLACING, TARGET, NatsEngine
from tests.agents.drivers.playing import Backup, restore

RECORDED = Path(__file__).with_name("recorded-2.14.9.tar")


@pytest.fixture
def old() -> Backup:
    data = RECORDED.read_bytes()
    record = ArtifactRecord(
        name="OLD",
        kind="stream",
        format="nats-stream-backup",
        object_key="acme/bus/1-old.natsstream.zst.age",
        stored_bytes=len(data),
        plain_bytes=len(data),
        sha256="0" * 64,
        attributes={"server_version": "2.14.9", "archive": "tar", "messages": 5, "durable_consumers": 1},
    )
    plan = BackupPlan(artifacts=[], inventory={}, summary={}, tools={})
    return Backup(plan=plan, artifacts=[(record, data)], warnings=[])


async def test_they_come_back_on_newer_servers(host: NatsEngine, old: Backup) -> None:
    assert list(members(old.artifacts[0][1])) == ["backup.json", "stream.tar.s2.000001"]
    for target in (TARGET, REPLACING):
        (outcome,) = await restore(host.restoring_driver(), old, target)
        assert outcome["warnings"] == []
        async with host.server.connect() as client:
            content = await stream_content(client, "OLD")
            assert content["range"] == (1, 5, 5)
            assert [subject for subject, *_ in content["messages"].values()] == [f"old.{number}" for number in range(5)]
            assert content["consumers"]["reader"]["ack_floor"] == {"consumer_seq": 2, "stream_seq": 2}
            await client.jetstream().publish("old.5", b"since then")
    assert await host.leftovers() == []


async def test_they_cannot_have_another_name(host: NatsEngine, old: Backup) -> None:
    target = RestoreTarget(project="acme", service="bus", node="n1", rename={"OLD": "NEW"})
    with pytest.raises(RunFailed) as caught:
        await host.restoring_driver().check_restore(old.records, target)
    assert caught.value.code == "restore.unsupported"
    assert "before 2.15" in caught.value.message


async def test_of_a_damaged_one_nothing_is_left_and_what_was_there_stays(host: NatsEngine, old: Backup) -> None:
    record, data = old.artifacts[0]
    damaged = msgspec.structs.replace(record, plain_bytes=len(data))
    broken = Backup(plan=old.plan, artifacts=[(damaged, flipped(data))], warnings=[])
    with pytest.raises(RunFailed) as caught:
        await restore(host.restoring_driver(), broken, TARGET)
    assert caught.value.code == "restore.failed"
    async with host.server.connect() as client:
        assert await stream_names(client) == []
        await restore(host.restoring_driver(), old, TARGET)
        before = await stream_content(client, "OLD")
        with pytest.raises(RunFailed, match="is there again"):
            await restore(host.restoring_driver(), broken, REPLACING)
        assert await stream_content(client, "OLD") == before
