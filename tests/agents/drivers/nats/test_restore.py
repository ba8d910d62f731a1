"""Restores: names, what stands in the way, what is left when they fail."""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable
from typing import Any

import pytest

from agents.drivers.base import Confirm, confirmed
from agents.drivers.nats import placing
from agents.drivers.nats.driver import NATSDriver
from agents.drivers.nats.streams import MARK, PROOF_PREFIX
from agents.drivers.nats.upload import make_stream
from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed, StrongroomError
from contracts.records import ArtifactRecord, RestoreTarget
from contracts.services import NATSOptions
from tests.agents.drivers.nats.artifacts import flipped, members, packed, replaced
from tests.agents.drivers.nats.content import ApiError, api, stream_content, stream_names
from tests.agents.drivers.nats.engine import REPLACING, TARGET, NatsEngine
from tests.agents.drivers.nats.filling import make, publish_many
from tests.agents.drivers.playing import RUN_ID, Backup, back_up, feed, restore
from tests.servers.waiting import eventually


def _renaming(**rename: str) -> RestoreTarget:
    return RestoreTarget(project="acme", service="bus", node="n1", rename=rename)


@pytest.fixture
async def orders(host: NatsEngine) -> NatsEngine:
    """A server with one stream of 2 MB and a durable consumer."""
    async with host.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"])
        await publish_many(client, "orders", 2_000_000, 20_000)
        config = {"durable_name": "billing", "ack_policy": "explicit", "filter_subject": "orders.1"}
        await api(client, "CONSUMER.DURABLE.CREATE.ORDERS.billing", {"stream_name": "ORDERS", "config": config})
    return host


async def _restore_one(host: NatsEngine, backup: Backup, target: RestoreTarget = TARGET) -> dict[str, Any]:
    (outcome,) = await restore(host.restoring_driver(), backup, target)
    return dict(outcome)


async def _refused(host: NatsEngine, backup: Backup, target: RestoreTarget = TARGET) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        await restore(host.restoring_driver(), backup, target)
    return caught.value


async def _attempt(driver: NATSDriver, record: ArtifactRecord, data: bytes, confirm: Confirm = confirmed) -> None:
    async with driver.restore(record, TARGET, RUN_ID, confirm=confirm) as sink:
        await feed(sink, data)
        await sink.finish()


async def test_a_copy_beside_the_original_holds_the_messages_and_takes_none(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    outcome = await _restore_one(orders, backup, _renaming(ORDERS="ORDERS_copy"))
    assert outcome["stream"] == "ORDERS_copy"
    assert "belong to stream 'ORDERS'" in outcome["warnings"][0]
    async with orders.server.connect() as client:
        await client.jetstream().publish("orders.1", b"new")
        original, copy = [await stream_content(client, name) for name in ("ORDERS", "ORDERS_copy")]
    assert copy["range"] == (1, 100, 100)
    assert copy["messages"] == {key: value for key, value in original["messages"].items() if key <= 100}
    assert copy["config"]["subjects"] == ["strongroom.restored.ORDERS_copy"]
    assert list(copy["consumers"]) == ["billing"]


async def test_a_copy_in_the_place_of_the_original_goes_on_taking_its_subjects(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    outcome = await _restore_one(orders, backup, _renaming(ORDERS="ORDERS_2"))
    assert outcome["warnings"] == []
    async with orders.server.connect() as client:
        assert (await client.jetstream().publish("orders.1", b"new")).stream == "ORDERS_2"


async def test_buckets_keep_their_names(varied: NatsEngine) -> None:
    backup = await back_up(varied.driver(NATSOptions(include=["KV_settings"])))
    exc = await _refused(varied, backup, _renaming(KV_settings="KV_copy"))
    assert exc.code == "restore.unsupported"
    assert "its own name" in exc.message


async def test_a_stream_that_pushes_is_not_copied(varied: NatsEngine) -> None:
    backup = await back_up(varied.driver(NATSOptions(include=["PUSHED"])))
    exc = await _refused(varied, backup, _renaming(PUSHED="PUSHED_copy"))
    assert exc.code == "restore.unsupported"
    assert "1 push consumers" in exc.message


@pytest.mark.parametrize(
    "rename",
    [{"NOBODY": "x"}, {"ORDERS": ""}, {"ORDERS": "a b"}, {"ORDERS": "a.b"}, {"ORDERS": "a/b"}, {"ORDERS": "x" * 256}],
)
async def test_names_that_cannot_be_are_refused(orders: NatsEngine, rename: dict[str, str]) -> None:
    backup = await back_up(orders.driver())
    with pytest.raises(InvalidInput) as caught:
        await orders.restoring_driver().check_restore(backup.records, _renaming(**rename))
    assert caught.value.field == "rename"


async def test_two_streams_do_not_become_one(varied: NatsEngine) -> None:
    backup = await back_up(varied.driver(NATSOptions(include=["ORDERS", "INTEREST"])))
    with pytest.raises(InvalidInput) as caught:
        await varied.restoring_driver().check_restore(backup.records, _renaming(ORDERS="INTEREST"))
    assert caught.value.field == "rename"


async def test_subjects_of_another_stream_are_not_taken(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    async with orders.server.connect() as client:
        await make(client, "RIVAL", subjects=["orders.1"])
        exc = await _refused(orders, backup)
        assert exc.code == "restore.failed"
        assert "'RIVAL'" in exc.message
        assert await stream_names(client) == ["RIVAL"]


async def test_who_filled_the_target_meanwhile_keeps_it(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    record, data = backup.artifacts[0]

    async def somebody_else_is_quicker() -> None:
        async with orders.server.connect() as client:
            await make(client, "ORDERS", subjects=["theirs"])

    with pytest.raises(Conflict) as caught:
        await _attempt(orders.restoring_driver(), record, data, somebody_else_is_quicker)
    assert caught.value.code == "restore.target_not_empty"
    async with orders.server.connect() as client:
        assert (await stream_content(client, "ORDERS"))["config"]["subjects"] == ["theirs"]


async def test_of_a_damaged_archive_nothing_is_left(orders: NatsEngine) -> None:
    """From 2.15 on a server leaves the part of the stream that it got to."""
    backup = await back_up(orders.driver())
    await orders.wipe()
    damaged = replaced(backup, "ORDERS", flipped(backup.artifacts[0][1]))
    exc = await _refused(orders, damaged)
    assert exc.code == "restore.failed"
    assert "could not restore stream 'ORDERS'" in exc.message
    async with orders.server.connect() as client:
        assert await stream_names(client) == []


async def test_a_stream_does_not_make_way_for_a_damaged_archive(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    damaged = replaced(backup, "ORDERS", flipped(backup.artifacts[0][1]))
    async with orders.server.connect() as client:
        created = (await api(client, "STREAM.INFO.ORDERS"))["created"]
        exc = await _refused(orders, damaged, REPLACING)
        assert exc.code == "restore.failed"
        assert (await api(client, "STREAM.INFO.ORDERS"))["created"] == created
        assert await stream_names(client) == ["ORDERS"]


async def test_a_stream_comes_back_when_the_new_one_does_not_get_into_its_place(orders: NatsEngine) -> None:
    """Where copies of consumers would push, an archive is not tried out beside the stream that has to make way."""
    backup = await back_up(orders.driver())
    damaged = replaced(backup, "ORDERS", flipped(backup.artifacts[0][1]), push_consumers=1)
    async with orders.server.connect() as client:
        await client.jetstream().publish("orders.9", b"since then")
        before = await stream_content(client, "ORDERS")
        exc = await _refused(orders, damaged, REPLACING)
        assert exc.code == "restore.failed"
        assert "the stream that was there is there again" in exc.message
        assert await stream_content(client, "ORDERS") == before
    assert await orders.leftovers() == []


async def test_a_stream_that_cannot_come_back_is_saved_on_disk(orders: NatsEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server dies while the new stream is made, and does not come back in time."""
    monkeypatch.setattr(placing, "_PATIENCE_S", 0.1)
    async with orders.server.connect() as client:
        await publish_many(client, "orders", 24_000_000, 200_000)
        before = await stream_content(client, "ORDERS")
    backup = await back_up(orders.driver())

    async def power_failure() -> None:
        async with orders.server.connect() as client:
            await eventually(lambda: _is_half_made(client))
        orders.server.kill()

    killing = asyncio.create_task(power_failure())
    exc = await _refused(orders, replaced(backup, "ORDERS", push_consumers=1), REPLACING)
    await killing
    assert exc.code == "restore.failed"
    saved = orders.work_dir / f"saved-stream-{RUN_ID}"
    assert str(saved) in exc.message
    assert "nats stream restore" in exc.message
    described = json.loads((saved / "backup.json").read_text())
    parts = {
        "backup.json": (saved / "backup.json").read_bytes(),
        "stream.arc.s2.000001": (saved / "stream.arc.s2").read_bytes(),
    }
    assert described["state"]["messages"] == before["range"][2]
    orders.server.start()
    await orders.wipe()
    monkeypatch.undo()
    await _restore_one(orders, replaced(backup, "ORDERS", packed(parts)))
    async with orders.server.connect() as client:
        assert await stream_content(client, "ORDERS") == before


async def test_a_stream_that_cannot_even_be_saved_is_told(orders: NatsEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    backup = await back_up(orders.driver())
    damaged = replaced(backup, "ORDERS", flipped(backup.artifacts[0][1]), push_consumers=1)
    monkeypatch.setattr(placing, "_save", full)
    monkeypatch.setattr(placing, "_PATIENCE_S", 0.1)

    async def dies(*arguments: Any) -> list[str]:
        orders.server.kill()
        return await make_stream(*arguments)

    monkeypatch.setattr(placing, "make_stream", dies)
    exc = await _refused(orders, damaged, REPLACING)
    assert exc.code == "restore.failed"
    assert "No space left" in exc.message
    assert "restore its latest backup" in exc.message


async def test_a_proof_that_a_killed_attempt_has_left_is_told_and_not_backed_up(orders: NatsEngine) -> None:
    async with orders.server.connect() as client:
        await make(client, f"{PROOF_PREFIX}{RUN_ID}", subjects=["nobody"])
    backup = await back_up(orders.driver())
    assert [record.name for record in backup.records] == ["ORDERS"]
    (warning,) = backup.warnings
    assert f"'{PROOF_PREFIX}{RUN_ID}'" in warning
    assert "nats stream rm" in warning


async def _is_half_made(client: Any) -> bool:
    try:
        info = await api(client, "STREAM.INFO.ORDERS")
    except ApiError:
        return False
    return MARK in (info["config"].get("metadata") or {})


async def test_what_a_killed_attempt_has_left_is_known_and_makes_way(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    async with orders.server.connect() as client:
        await make(client, "ORDERS", subjects=["orders.>"], metadata={MARK: RUN_ID})
        await client.jetstream().publish("orders.1", b"half")
        plan = await orders.driver().plan_backup()
        assert "not whole" in plan.warnings[0]
        await _restore_one(orders, backup)
        content = await stream_content(client, "ORDERS")
    assert content["range"] == (1, 100, 100)
    assert content["config"]["metadata"] == {}
    assert await orders.leftovers() == []


async def test_backups_of_newer_servers_are_refused_by_older_ones(
    orders: NatsEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version that a server tells is set here: an older server cannot be had as a package."""
    backup = await back_up(orders.driver())
    monkeypatch.setattr("agents.drivers.nats.session.Session.version_pair", (2, 14))
    monkeypatch.setattr("agents.drivers.nats.session.Session.version", "2.14.9")
    with pytest.raises(RunFailed) as caught:
        await orders.restoring_driver().check_restore(backup.records, _renaming(ORDERS="X"))
    assert caught.value.code == "engine.version_skew"
    assert "2.15.1, and this one is 2.14.9" in caught.value.message
    async with orders.server.connect() as client:
        await make(client, "MEMORY", subjects=["memory"], storage="memory")
    with pytest.raises(RunFailed) as caught:
        await orders.driver().plan_backup()
    assert caught.value.code == "engine.unsupported"
    assert "--exclude MEMORY" in caught.value.message


async def test_streams_of_older_servers_keep_their_names(orders: NatsEngine) -> None:
    backup = replaced(await back_up(orders.driver()), "ORDERS", archive="tar", server_version="2.14.9")
    exc = await _refused(orders, backup, _renaming(ORDERS="X"))
    assert exc.code == "restore.unsupported"


async def test_replicas_and_placement_that_cannot_be_had_are_given_up_with_a_warning(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    parts = members(backup.artifacts[0][1])
    described = json.loads(parts["backup.json"])
    described["config"]["num_replicas"] = 5
    parts["backup.json"] = json.dumps(described).encode()
    outcome = await _restore_one(orders, replaced(backup, "ORDERS", packed(parts)))
    assert outcome["warnings"] == ["stream 'ORDERS' has 1 instead of 5 replicas, as the servers are fewer here"]
    assert outcome["messages"] == 100


async def test_an_account_without_room_says_so(orders: NatsEngine) -> None:
    async with orders.server.connect() as client:
        await publish_many(client, "orders", 4_000_000, 20_000)
    backup = await back_up(orders.driver())
    tight = orders.driver(user="tight")
    await tight.check_restore(backup.records, TARGET)
    record, data = backup.artifacts[0]
    with pytest.raises(RunFailed) as caught:
        await _attempt(tight, record, data)
    assert caught.value.code == "restore.failed"
    assert "raise the limits of the account" in caught.value.message
    async with orders.server.connect("tight") as client:
        assert await stream_names(client) == []


Damage = Callable[[dict[str, bytes]], dict[str, bytes]]


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _: {}, "ends in the middle"),
        (lambda parts: dict(list(parts.items())[1:]), "begins with 'stream.arc.s2.000001'"),
        (lambda parts: {**parts, "backup.json": b"{}"}, "cannot be understood"),
        (
            lambda parts: {**parts, "backup.json": parts["backup.json"].replace(b"ORDERS", b"OTHERS")},
            "is one of stream 'OTHERS'",
        ),
        (lambda parts: {**parts, "stream.arc.s2.000003": b"x"}, "in place of part 2"),
        (lambda parts: {**parts, "stream.arc.s2.000002": b"\x00\x10"}, "ends in the middle"),
        (lambda parts: {"backup.json": parts["backup.json"], "stream.arc.s2.000001": b"PK" * 99}, "is damaged"),
        (
            lambda parts: {"backup.json": parts["backup.json"], "stream.tar.s2.000001": parts["stream.arc.s2.000001"]},
            "not of the kind",
        ),
    ],
)
async def test_an_artifact_that_is_something_else_is_told(orders: NatsEngine, damage: Damage, words: str) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    record, data = backup.artifacts[0]
    with pytest.raises(Corrupt) as caught:
        await _attempt(orders.restoring_driver(), record, packed(damage(members(data))))
    assert words in caught.value.message
    async with orders.server.connect() as client:
        assert await stream_names(client) == []


async def test_a_server_that_dies_while_it_restores_is_told(orders: NatsEngine) -> None:
    backup = await back_up(orders.driver())
    await orders.wipe()
    record, data = backup.artifacts[0]

    async def dies() -> None:
        orders.server.kill()

    with pytest.raises(RunFailed) as caught:
        await _attempt(orders.restoring_driver(), record, data, dies)
    assert caught.value.code == "engine.unreachable"
    orders.server.start()
    async with orders.server.connect() as client:
        assert await stream_names(client) == []
