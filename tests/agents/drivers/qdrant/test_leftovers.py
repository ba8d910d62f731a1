"""Nothing of ours stays on a node, and nobody else's goes."""

from __future__ import annotations

import asyncio
import os
import time

import pytest

from agents.drivers.base import PlannedArtifact
from contracts.errors import RunFailed
from contracts.services import QdrantOptions
from tests.agents.drivers.playing import back_up, finish_dump, read_all
from tests.agents.drivers.qdrant.engine import ODD_NAMES, QdrantEngine
from tests.servers.waiting import eventually

NAME = ODD_NAMES[1]


async def planned(engine: QdrantEngine, name: str = NAME) -> PlannedArtifact:
    plan = await engine.driver().plan_backup()
    return next(each for each in plan.artifacts if each.name == name)


async def snapshots(engine: QdrantEngine, name: str = NAME) -> list[str]:
    async with engine.client() as client:
        return [each.name for each in await client.list_snapshots(name)]


def a_second_later(engine: QdrantEngine) -> None:
    """Names are by the second: what is made next gets another."""
    assert engine.server is not None
    engine.server.fail(second=time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime(time.time() + 5)))


async def test_snapshots_of_others_stay(fake: QdrantEngine) -> None:
    async with fake.client() as client:
        theirs = await client.create_snapshot(NAME)
    assert theirs is not None
    await back_up(fake.driver())
    assert await snapshots(fake) == [theirs.name]


async def test_a_snapshot_that_could_not_be_removed_is_a_warning_and_goes_with_the_next_run(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(refuse_deletes=True)
    backup = await back_up(fake.driver())
    left = await snapshots(fake)
    assert len(left) == 1
    warning = next(warning for warning in backup.warnings if left[0] in warning)
    assert "until the next run removes it" in warning
    fake.server.fail()
    async with fake.client() as client:
        a_second_later(fake)
        theirs = await client.create_snapshot(NAME)
    assert theirs is not None
    fake.server.fail()
    again = await back_up(fake.driver())
    assert again.warnings == []
    assert await snapshots(fake) == [theirs.name]
    assert list(fake.work_dir.iterdir()) == []


async def test_a_snapshot_that_still_cannot_be_removed_is_told_again(fake: QdrantEngine) -> None:
    assert fake.server is not None
    fake.server.fail(refuse_deletes=True)
    await back_up(fake.driver())
    backup = await back_up(fake.driver())
    assert any("left by an earlier run, could not be removed" in warning for warning in backup.warnings)


async def test_a_backup_that_is_cancelled_while_the_server_makes_the_snapshot_leaves_none(fake: QdrantEngine) -> None:
    assert fake.server is not None
    driver, artifact = fake.driver(), await planned(fake)
    fake.server.fail(hold_snapshots=True)

    async def dump() -> None:
        async with driver.dump(artifact) as source:
            await asyncio.to_thread(os.read, source.fd, 1)

    task = asyncio.create_task(dump())
    await eventually(lambda: list(fake.work_dir.iterdir()))
    task.cancel()
    fake.server.fail()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await fake.leftovers() == []


async def test_what_a_killed_agent_has_left_is_removed_by_the_next_run(fake: QdrantEngine) -> None:
    """It was asked for, but nobody was there any more to hear its name."""
    from agents.drivers.qdrant.leftovers import note_snapshot

    note_snapshot(fake.work_dir, fake.proxy_url, NAME)
    async with fake.client() as client:
        ours = await client.create_snapshot(NAME)
    assert ours is not None
    backup = await back_up(fake.driver())
    assert backup.warnings == []
    assert await fake.leftovers() == []


async def test_of_several_that_may_be_ours_none_is_removed(fake: QdrantEngine) -> None:
    from agents.drivers.qdrant.leftovers import note_snapshot

    note_snapshot(fake.work_dir, fake.proxy_url, NAME)
    async with fake.client() as client:
        await client.create_snapshot(NAME)
        a_second_later(fake)
        await client.create_snapshot(NAME)
    assert fake.server is not None
    fake.server.fail()
    before = await snapshots(fake)
    backup = await back_up(fake.driver())
    assert any("cannot be told from here which" in warning for warning in backup.warnings)
    assert await snapshots(fake) == before


async def test_a_snapshot_of_the_same_second_is_left_to_whoever_made_it(fake: QdrantEngine) -> None:
    assert fake.server is not None
    artifact = await planned(fake)
    fake.server.fail(second="2026-11-22-00-05-12")
    async with fake.client() as client:
        theirs = await client.create_snapshot(NAME)
    assert theirs is not None
    dumping = asyncio.create_task(_dump(fake, artifact))
    await eventually(lambda: list(fake.work_dir.iterdir()))
    fake.server.fail()
    await dumping
    assert await snapshots(fake) == [theirs.name]


async def test_a_clock_that_stands_still_fails_the_dump(fake: QdrantEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fake.server is not None
    monkeypatch.setattr("agents.drivers.qdrant.making._NEXT_SECOND_S", 0.0)
    artifact = await planned(fake)
    fake.server.fail(second="2026-11-22-00-05-12")
    async with fake.client() as client:
        await client.create_snapshot(NAME)
    with pytest.raises(RunFailed, match="the node's clock stands still"):
        await _dump(fake, artifact)


async def test_another_run_of_this_agent_leaves_alone_what_is_in_use(fake: QdrantEngine) -> None:
    """Of another service, which has other collections of the same node."""
    artifact = await planned(fake)
    async with fake.driver().dump(artifact) as source:
        await asyncio.to_thread(os.read, source.fd, 1)
        (in_use,) = await snapshots(fake)
        backup = await back_up(fake.driver(QdrantOptions(include=[ODD_NAMES[2]])))
        assert backup.warnings == []
        assert await snapshots(fake) == [in_use]
    assert await fake.leftovers() == []


async def test_a_proxy_that_answers_errors_for_good_ends_the_wait(
    fake: QdrantEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fake.server is not None
    monkeypatch.setattr("agents.drivers.qdrant.making.ANSWER_S", 0.2)
    monkeypatch.setattr("agents.drivers.qdrant.making._SILENT_S", 0.2)
    artifact = await planned(fake)
    fake.server.fail(hold_snapshots=True)
    dumping = asyncio.create_task(_dump(fake, artifact))
    await eventually(lambda: list(fake.work_dir.glob("*.json")))
    fake.server.fail(hold_snapshots=True, gateway_broken=True)
    async with asyncio.timeout(10):
        with pytest.raises(RunFailed) as caught:
            await dumping
    assert "status 502" in caught.value.message
    fake.server.fail()
    await eventually(fake.server.files)
    await back_up(fake.driver())
    assert await fake.leftovers() == []


async def test_a_note_that_cannot_be_written_is_told_before_the_server_is_asked(fake: QdrantEngine) -> None:
    artifact = await planned(fake)
    fake.work_dir.rmdir()
    with pytest.raises(RunFailed, match="could not be noted in"):
        await _dump(fake, artifact)
    assert await snapshots(fake) == []


async def _dump(engine: QdrantEngine, artifact: PlannedArtifact) -> list[str]:
    async with engine.driver().dump(artifact) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        return await finish_dump(source, data)
