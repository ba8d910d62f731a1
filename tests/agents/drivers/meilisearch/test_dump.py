"""Having a dump made: what it waits for, how it fails, and what is removed afterwards."""

from __future__ import annotations

import asyncio
import os
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest

from agents.drivers.meilisearch import leftovers
from agents.drivers.meilisearch.connection import MeilisearchConnection
from agents.drivers.meilisearch.driver import MeilisearchDriver
from agents.drivers.meilisearch.journal import AskedFor, Journal
from contracts.errors import InvalidInput, RunFailed
from contracts.services import MeilisearchOptions
from tests.agents.drivers.meilisearch.engine import MeilisearchUnderTest, make_dump, wait_until_idle
from tests.agents.drivers.playing import back_up, finish_dump, read_all
from tests.servers.meilisearch.control import FAIL_DUMPS, HOLD_DUMPS, HOLD_WRITES, LOSE_DOCUMENTS
from tests.servers.meilisearch.server import MeilisearchServer
from tests.servers.waiting import eventually

HASTY = msgspec.structs.replace(MeilisearchOptions(), timeout_s=0.5)


@pytest.fixture
async def with_movies(meilisearch: MeilisearchUnderTest) -> MeilisearchUnderTest:
    await meilisearch.do(lambda client: client.index("movies").add_documents([{"id": n} for n in range(50)], "id"))
    return meilisearch


async def hold(driver: MeilisearchDriver) -> None:
    """A backup without its upload."""
    plan = await driver.plan_backup()
    async with driver.holding(plan), driver.dump(plan.artifacts[0]) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        await finish_dump(source, data)


async def failure_of(driver: MeilisearchDriver) -> RunFailed:
    with pytest.raises(RunFailed) as caught:
        await hold(driver)
    return caught.value


async def test_the_dump_is_removed_when_it_is_in_the_bucket(with_movies: MeilisearchUnderTest) -> None:
    backup = await back_up(with_movies.driver())
    assert backup.warnings == []
    assert backup.plan.inventory["counts"] == {"movies": 50}
    assert backup.plan.artifacts[0].attributes == {"server_version": "1.50.0"}
    assert await with_movies.leftovers() == []


async def test_a_dump_waits_for_what_is_being_processed(with_movies: MeilisearchUnderTest) -> None:
    control = with_movies.server.control
    control.set(HOLD_WRITES)
    await with_movies.ask(lambda client: client.index("movies").add_documents([{"id": "late"}]))
    backing_up = asyncio.create_task(back_up(with_movies.driver()))
    await eventually(lambda: waits_in_the_queue(with_movies))
    control.clear(HOLD_WRITES)
    backup = await backing_up
    (warning,) = backup.warnings
    assert "index 'movies': 51 documents in the dump, 50 counted" in warning
    assert backup.plan.inventory["counts"] == {"movies": 51}


async def waits_in_the_queue(meilisearch: MeilisearchUnderTest) -> bool:
    enqueued = {"types": ["dumpCreation"], "statuses": ["enqueued"]}
    return (await meilisearch.ask(lambda client: client.get_tasks(enqueued))).total == 1


async def test_what_is_accepted_while_the_dump_is_made_is_in_it_as_something_to_do(
    with_movies: MeilisearchUnderTest,
) -> None:
    """The count is exact all the same: Meilisearch does nothing else while it makes a dump."""
    control = with_movies.server.control
    control.set(HOLD_DUMPS)
    driver = with_movies.driver()
    plan = await driver.plan_backup()
    async with AsyncExitStack() as stack:
        entering = asyncio.create_task(stack.enter_async_context(driver.holding(plan)))
        await eventually(with_movies.makes_a_dump)
        await with_movies.ask(lambda client: client.index("movies").add_documents([{"id": "late"}]))
        control.clear(HOLD_DUMPS)
        await entering
        assert driver._made is not None
        assert driver._made.exact == {"movies": 50}
        async with driver.dump(plan.artifacts[0]) as source:
            await finish_dump(source, await asyncio.to_thread(read_all, source.fd))
        assert driver._made.contents is not None
        assert driver._made.contents.documents == {"movies": 50}
        assert driver._made.contents.pending_updates == 1
        assert await driver.finish_backup(plan) == []


async def test_documents_that_got_lost_on_the_way_into_the_dump_fail_the_run(with_movies: MeilisearchUnderTest) -> None:
    with_movies.server.control.set(LOSE_DOCUMENTS)
    failure = await failure_of(with_movies.driver())
    assert failure.code == "dump.incomplete"
    assert await with_movies.leftovers() == []


async def test_documents_that_got_lost_at_a_line_s_end_fail_the_run(with_movies: MeilisearchUnderTest) -> None:
    """Every line is whole, so only the count tells: the file is cut to three quarters of 8 equal lines."""
    await with_movies.do(lambda client: client.index("movies").delete_all_documents())
    await with_movies.do(lambda client: client.index("movies").add_documents([{"id": n} for n in range(8)]))
    with_movies.server.control.set(LOSE_DOCUMENTS)
    failure = await failure_of(with_movies.driver())
    assert failure.code == "dump.incomplete"
    assert "index 'movies': 6 documents in the dump, 8 counted" in failure.message
    assert "TMPDIR" in failure.message


async def test_a_full_file_system_is_told_and_the_part_of_a_dump_goes(with_movies: MeilisearchUnderTest) -> None:
    with_movies.server.control.set(FAIL_DUMPS)
    failure = await failure_of(with_movies.driver())
    assert failure.code == "dump.failed"
    assert "No space left on device" in failure.message
    assert "TMPDIR" in failure.message
    assert await with_movies.leftovers() == []


async def test_dumps_of_others_stay(with_movies: MeilisearchUnderTest) -> None:
    server = with_movies.server
    theirs = await asyncio.to_thread(make_dump, server.client(), server.dump_dir)
    (server.dump_dir / "notes.txt").touch()
    server.control.set(FAIL_DUMPS)
    await failure_of(with_movies.driver())
    server.control.clear(FAIL_DUMPS)
    await back_up(with_movies.driver())
    assert sorted(server.dump_dir.iterdir()) == [theirs, server.dump_dir / "notes.txt"]


async def test_a_dump_that_somebody_cancels_fails_the_run(with_movies: MeilisearchUnderTest) -> None:
    with_movies.server.control.set(HOLD_DUMPS)
    failing = asyncio.create_task(failure_of(with_movies.driver()))
    await eventually(with_movies.makes_a_dump)
    await with_movies.ask(lambda client: client.cancel_tasks({"types": ["dumpCreation"]}))
    failure = await failing
    assert failure.code == "dump.failed"
    assert "somebody cancelled dump task" in failure.message
    assert await with_movies.leftovers() == []


async def test_a_run_that_is_cancelled_takes_its_task_out_of_the_queue(with_movies: MeilisearchUnderTest) -> None:
    with_movies.server.control.set(HOLD_DUMPS)
    running = asyncio.create_task(hold(with_movies.driver()))
    await eventually(with_movies.makes_a_dump)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await with_movies.leftovers() == []


async def test_a_run_waits_no_longer_than_it_may_and_says_for_what(
    with_movies: MeilisearchUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its task is cancelled when its turn comes, and the next run forgets it."""
    monkeypatch.setattr(leftovers, "CANCEL_S", 0.1)
    with_movies.server.control.set(HOLD_WRITES)
    await with_movies.ask(lambda client: client.index("movies").delete_all_documents())
    failure = await failure_of(with_movies.driver(HASTY))
    assert failure.code == "dump.failed"
    assert "has not made the dump within 0.5 s" in failure.message
    assert "documentDeletion" in failure.message
    assert "timeout_s" in failure.message
    with_movies.server.control.clear(HOLD_WRITES)
    await asyncio.to_thread(wait_until_idle, with_movies.server.client())
    assert list(with_movies.server.dump_dir.iterdir()) == []
    await back_up(with_movies.driver())
    assert await with_movies.leftovers() == []


async def test_without_the_right_to_cancel_the_next_run_removes_what_the_last_one_left(
    with_movies: MeilisearchUnderTest,
) -> None:
    server, driver = with_movies.server, with_movies.driver_with("dumps.create", "tasks.get", "stats.get", "version")
    server.control.set(HOLD_DUMPS)
    running = asyncio.create_task(hold(driver))
    await eventually(with_movies.makes_a_dump)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    server.control.clear(HOLD_DUMPS)
    await asyncio.to_thread(wait_until_idle, server.client())
    assert len(list(server.dump_dir.iterdir())) == 1
    backup = await back_up(driver)
    assert any("tasks.cancel" in warning for warning in backup.warnings)
    assert await with_movies.leftovers() == []


async def test_what_an_agent_that_was_killed_has_left_is_removed_by_the_next_run(with_movies: MeilisearchUnderTest) -> None:
    server = with_movies.server
    dump = await asyncio.to_thread(make_dump, server.client(), server.dump_dir)
    (task,) = (await with_movies.ask(lambda client: client.http.get("tasks?types=dumpCreation")))["results"]
    journal = Journal(with_movies.work_dir, with_movies.connection())
    entry = AskedFor(task_uid=task["uid"], enqueued_at=task["enqueuedAt"])
    journal.put(entry)
    journal.leave(entry)  # as a new process would find it
    await back_up(with_movies.driver())
    assert not dump.exists()
    assert await with_movies.leftovers() == []


async def test_a_task_of_the_same_number_in_another_database_is_not_taken_for_ours(
    with_movies: MeilisearchUnderTest,
) -> None:
    server = with_movies.server
    dump = await asyncio.to_thread(make_dump, server.client(), server.dump_dir)
    (task,) = (await with_movies.ask(lambda client: client.http.get("tasks?types=dumpCreation")))["results"]
    journal = Journal(with_movies.work_dir, with_movies.connection())
    entry = AskedFor(task_uid=task["uid"], enqueued_at="2026-01-01T00:00:00Z")
    journal.put(entry)
    journal.leave(entry)
    await back_up(with_movies.driver())
    assert list(server.dump_dir.iterdir()) == [dump]
    assert list(with_movies.work_dir.iterdir()) == []


async def test_a_journal_that_is_damaged_stops_no_backup(with_movies: MeilisearchUnderTest) -> None:
    journal = Journal(with_movies.work_dir, with_movies.connection())
    journal._path.write_text("{broken")
    await back_up(with_movies.driver())
    assert await with_movies.leftovers() == []


async def test_a_journal_that_cannot_be_written_fails_the_run_and_nothing_is_left(
    with_movies: MeilisearchUnderTest,
) -> None:
    driver = with_movies.driver()
    with_movies.work_dir.rmdir()
    failure = await failure_of(driver)
    assert failure.code == "dump.failed"
    assert str(with_movies.work_dir) in failure.message
    with_movies.work_dir.mkdir()
    assert await with_movies.leftovers() == []


async def test_an_instance_that_restarts_meanwhile_goes_on_with_our_dump(with_movies: MeilisearchUnderTest) -> None:
    with_movies.server.control.set(HOLD_DUMPS)
    backing_up = asyncio.create_task(back_up(with_movies.driver()))
    await eventually(with_movies.makes_a_dump)
    await with_movies.kill()
    with_movies.server.control.clear(HOLD_DUMPS)
    await with_movies.revive()
    assert (await backing_up).warnings == []
    assert await with_movies.leftovers() == []


async def test_another_dump_directory_than_the_instance_s_is_told(with_movies: MeilisearchUnderTest) -> None:
    elsewhere = with_movies.directory / "elsewhere"
    elsewhere.mkdir()
    failure = await failure_of(with_movies.driver(dump_dir=str(elsewhere)))
    assert failure.code == "dump.failed"
    assert str(elsewhere) in failure.message
    assert "--dump-dir" in failure.message
    assert next(with_movies.server.dump_dir.iterdir()).name in failure.message


async def test_a_dump_directory_that_does_not_exist_is_told_before_anything_is_made(
    with_movies: MeilisearchUnderTest,
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await with_movies.driver(dump_dir=str(with_movies.directory / "nowhere")).plan_backup()
    assert caught.value.field == "connection.dump_dir"
    assert not await waits_in_the_queue(with_movies)


async def test_a_dump_directory_that_may_not_be_written_is_told_before_anything_is_made(
    with_movies: MeilisearchUnderTest,
) -> None:
    closed = with_movies.directory / "closed"
    closed.mkdir(mode=0o500)
    driver = with_movies.driver(dump_dir=str(closed))
    with pytest.raises(RunFailed) as caught:
        await as_nobody(driver, with_movies.directory)
    assert caught.value.code == "engine.permission"
    assert str(closed) in caught.value.message
    assert "setfacl" in caught.value.message


async def as_nobody(driver: MeilisearchDriver, directory: Path) -> None:
    """Plans with the rights of a user who is not root."""
    if os.geteuid() != 0:
        await driver.plan_backup()
        return
    directory.chmod(0o755)
    for key in directory.glob("key-*"):
        key.chmod(0o644)
    os.seteuid(65534)
    try:
        await driver.plan_backup()
    finally:
        os.seteuid(0)


async def test_a_link_in_place_of_the_dump_is_not_followed(with_movies: MeilisearchUnderTest) -> None:
    """Whoever may write into the directory must not get other files of the host into a backup."""
    secret = with_movies.directory / "secret"
    secret.write_text("of root")
    driver = with_movies.driver()
    plan = await driver.plan_backup()
    async with driver.holding(plan):
        (dump,) = with_movies.server.dump_dir.iterdir()
        dump.unlink()
        dump.symlink_to(secret)
        async with driver.dump(plan.artifacts[0]) as source:
            data = await asyncio.to_thread(read_all, source.fd)
            assert data == b""
            with pytest.raises(RunFailed) as caught:
                await finish_dump(source, data)
    assert caught.value.code == "dump.failed"
    assert secret.exists()


async def test_a_store_that_takes_nothing_holds_the_dump_up(meilisearch: MeilisearchUnderTest) -> None:
    await meilisearch.fill()
    driver = meilisearch.driver()
    plan = await driver.plan_backup()
    async with driver.holding(plan), driver.dump(plan.artifacts[0]) as source:
        (dump,) = meilisearch.server.dump_dir.iterdir()
        position = await eventually(lambda: settled_position(dump, at_least=1_000_000))
        assert position < dump.stat().st_size // 2  # a pipe full, and what waits to be written into it
        data = await asyncio.to_thread(read_all, source.fd)
        assert len(data) == dump.stat().st_size
        assert await finish_dump(source, data) == []


def settled_position(path: Path, *, at_least: int) -> int | None:
    """How far this process has read the file."""
    for link in Path("/proc/self/fd").iterdir():
        try:
            if link.readlink() != path:
                continue
            fields = Path(f"/proc/self/fdinfo/{link.name}").read_text().split()
        except OSError:
            continue
        position = int(fields[1])
        return position if position >= at_least else None
    return None


async def test_two_services_of_one_instance_do_not_disturb_each_other(with_movies: MeilisearchUnderTest) -> None:
    first, second = with_movies.driver(), with_movies.driver()
    backups = await asyncio.gather(back_up(first), back_up(second))
    assert [backup.warnings for backup in backups] == [[], []]
    assert await with_movies.leftovers() == []


async def test_an_unprotected_instance_needs_no_key(directory: Path) -> None:
    server = MeilisearchServer(directory / "open", master_key="")
    server.start()
    try:
        (directory / "work").mkdir()
        driver = MeilisearchDriver(unprotected(server), runtime_dir=directory / "work", work_dir=directory / "work")
        assert (await driver.health()).error is None
        assert (await back_up(driver)).warnings == []
    finally:
        server.kill()


def unprotected(server: MeilisearchServer) -> MeilisearchConnection:
    return MeilisearchConnection(url=server.url, dump_dir=str(server.dump_dir))
