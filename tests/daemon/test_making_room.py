"""Before a run is refused, what nothing insists on makes room for it, and no more than it must."""

from __future__ import annotations

import asyncio

import pytest

from contracts.errors import Conflict
from contracts.policy.quota_plan import QuotaPlan
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.policy.schedule import Daily
from contracts.records import BackupRecord, DueState, RunState
from daemon.settings import CoordinatorSettings
from tests.daemon.quota_scene import (
    MB,
    NO_LIMITS,
    START,
    check_exact,
    code_of,
    complete,
    give_up,
    ids,
    more,
    protect,
    refused,
    set_quota,
    speaking,
)
from tests.daemon.scene import at, scene
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket


async def test_before_a_run_is_refused_retention_makes_room_with_what_nothing_insists_on(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    minimums = Minimums(daily=2, weekly=0, monthly=0)
    policy = RetentionPolicy(minimums=minimums, total_count=None, suspicious_size_factor=0)
    async with scene(settings, nats_server, start=START, quota_bytes=MB) as made:
        await made.add_service(schedule=Daily(at="00:30"), retention=policy)
        made.robot.data = lambda _: bytes(230_000)

        async def due(day: int) -> list[int]:
            """The days whose backups there are when that of this day has ended."""
            entry = await made.passes(at(f"2026-03-{day:02} 00:30"))
            assert entry.state is (DueState.FAILED if day == 8 else DueState.COMPLETED)
            return [backup.due_at.day for backup in await made.completed() if backup.due_at is not None]

        # The quota has room for four.
        assert [await due(day) for day in (2, 3, 4, 5, 6)][-2:] == [[2, 3, 4, 5], [3, 4, 5, 6]]
        (gone,) = await made.events("backup.deleted")
        assert gone.reason == "room for a backup of orders in the project's quota, and no policy insists on it"
        assert gone.actor == "retention"
        await protect(made, (await made.completed())[0])
        assert await due(7) == [3, 5, 6, 7]
        await protect(made, (await made.completed())[1])
        # Two are protected, and two are the minimum.
        assert await due(8) == [3, 5, 6, 7]
        assert code_of((await made.backups())[-1]) == (RunState.FAILED, "quota.exceeded")
        assert len(await made.events("backup.deleted")) == 2
        await check_exact(made, bucket)


async def test_room_is_made_by_the_service_that_needs_it_first_and_never_of_anybodys_newest(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=MB) as made:
        for name in ("books", "orders"):
            await made.add_service(name, retention=NO_LIMITS)
        await made.alive()
        made.robot.data = lambda _: bytes(230_000)

        async def later(service: str) -> BackupRecord:
            made.clock.advance(minutes=1)
            return await made.make(service)

        # The quota has room for four.
        first_books, books, first, second = [await later(name) for name in ("books", "books", "orders", "orders")]
        third = await later("orders")
        assert (await ids(made, "books"), await ids(made)) == ([first_books.id, books.id], [second.id, third.id])
        await protect(made, second)
        fourth = await later("orders")
        assert (await ids(made, "books"), await ids(made)) == ([books.id], [second.id, third.id, fourth.id])
        await protect(made, third)
        with pytest.raises(Conflict, match="quota"):
            await made.request()
        assert [event.backup_id for event in await made.events("backup.deleted")] == [first.id, first_books.id]


async def test_room_that_is_there_by_now_is_not_made_again(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    """Three runs that come at once and lack a little each: what goes for the first is enough for all."""
    names = ["a", "b", "c"]
    async with (
        scene(settings, nats_server, start=START, quota_bytes=MB) as made,
        speaking(made, nats_server, *names) as agent,
    ):
        await made.add_service(retention=NO_LIMITS)
        backups = []
        for size_bytes in (400_000, 200_000, 10_000):
            made.robot.data = lambda _, size_bytes=size_bytes: bytes(size_bytes)  # type: ignore[misc]
            made.clock.advance(minutes=1)
            backups.append(await made.make())
        for name in names:
            await complete(made, agent, 100_000, name)
        made.clock.advance(minutes=1)
        runs = await asyncio.gather(*(made.request(name) for name in names))
        assert {run.state for run in runs} == {RunState.REQUESTED}
        assert await ids(made) == [backup.id for backup in backups[1:]]
        assert [event.backup_id for event in await made.events("backup.deleted")] == [backups[0].id]


async def test_a_run_that_streams_has_room_made_for_its_next_part(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with (
        scene(settings, nats_server, start=START, quota_bytes=20 * MB) as made,
        speaking(made, nats_server) as agent,
    ):
        await made.add_service(retention=NO_LIMITS)
        made.robot.data = lambda _: bytes(7 * MB)
        older = await made.make()
        made.clock.advance(minutes=1)
        newest = await made.make()
        free = 20 * MB - older.size_bytes - newest.size_bytes

        run = await made.request("books")
        await agent.claim(run)
        grant = await agent.open(run)
        assert ([part.number for part in grant.parts], grant.limit_bytes) == ([1], free)
        # It can go on with that, for all anybody knows; an agent that asks for a single part cannot.
        assert (await more(agent, run, 1, 4)).limit_bytes == free
        assert await ids(made) == [older.id, newest.id]
        assert (await more(agent, run, 1)).limit_bytes is None
        assert await ids(made) == [newest.id]
        # What is left, though it is less than a part: there is nothing more to be made.
        rest = await more(agent, run, 2)
        assert ([part.number for part in rest.parts], rest.limit_bytes) == ([2], 20 * MB - newest.size_bytes)
        with pytest.raises(Conflict, match="quota"):
            await more(agent, run, 3)
        await give_up(made, agent, run, refused())
        assert await ids(made) == [newest.id]
        await check_exact(made, bucket)


async def test_a_quota_below_what_is_stored_deletes_nothing_and_lets_nothing_more_in(
    settings: CoordinatorSettings, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with scene(settings, nats_server, start=START, quota_bytes=2 * MB) as made:
        await made.add_service(retention=NO_LIMITS)
        made.robot.data = lambda _: bytes(300_000)
        backups = []
        for _ in range(6):
            made.clock.advance(minutes=1)
            backups.append(await made.make(tags=["protected"]))
        changed = await set_quota(made, MB)
        assert (changed.quota_bytes, changed.plan) == (MB, QuotaPlan.CUSTOM)
        (event,) = await made.events("project.changed")
        assert (event.actor, event.facts) == ("ada", {"plan": "custom", "quota_bytes": MB})
        made.clock.advance(minutes=1)
        with pytest.raises(Conflict, match="has 0 of its 1,000,000 bytes left"):
            await made.request()
        # Not even the first of a service, of which nobody knows what it takes.
        await made.add_service("books", retention=NO_LIMITS)
        await made.alive()
        with pytest.raises(Conflict) as caught:
            await made.request("books")
        assert caught.value.code == "quota.exceeded"
        assert await ids(made) == [backup.id for backup in backups]
        assert await made.events("backup.deleting") == []
        await check_exact(made, bucket)

        # Once nothing insists on them, what the quota sends away goes first, and then no more than must.
        for backup in backups:
            await protect(made, backup, off=True)
        new = await made.make()
        assert await ids(made) == [backups[4].id, backups[5].id, new.id]
        gone = await made.events("backup.deleted")
        assert [event.backup_id for event in gone] == [backup.id for backup in backups[:4]]
        assert [(event.reason or "").partition(":")[0] for event in gone] == [
            *["it would pass the total size"] * 3,
            "room for a backup of orders in the project's quota, and no policy insists on it",
        ]
        await check_exact(made, bucket)
