"""All services at a glance: from what runs leave behind, in pages, problems first."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from contracts import control
from contracts.errors import ErrorInfo, InvalidInput, NotFound
from contracts.policy.schedule import Daily
from contracts.records import RunState
from contracts.standing import CauseCode, Level
from daemon.settings import CoordinatorSettings
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer

FULL = ErrorInfo(code="dump.failed", message="the disk is full")


@pytest.fixture
async def acme(settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[Scene]:
    async with scene(settings, nats_server, start=at("2026-03-01 12:00")) as made:
        yield made


async def view(acme: Scene, name: str = "orders") -> control.ServiceView:
    return await acme.operator.call(control.SERVICE_SHOW, control.ServiceRef(project="acme", service=name))


async def page(acme: Scene, **fields: object) -> control.Services:
    return await acme.operator.call(control.SERVICE_LIST, control.ServiceList(**fields))  # type: ignore[arg-type]


def names(services: control.Services) -> list[str]:
    return [view.record.name for view in services.services]


async def test_a_service_tells_of_its_newest_backup_and_of_its_newest_run(acme: Scene) -> None:
    await acme.add_service()
    good = await acme.make()
    acme.clock.advance(hours=1)
    acme.robot.failure = lambda _: FULL
    failed = await acme.make()
    found = await view(acme)
    assert found.last_completed is not None
    assert (found.last_completed.id, found.last_completed.size_bytes) == (good.id, good.size_bytes)
    assert found.last_run is not None
    assert (found.last_run.id, found.last_run.state) == (failed.id, RunState.FAILED)
    assert found.last_run.error is not None
    assert found.last_run.error.message == "the disk is full"
    assert [cause.code for cause in found.standing.causes] == [CauseCode.FAILED]


async def test_a_service_never_names_a_backup_that_is_gone(acme: Scene) -> None:
    await acme.add_service()
    first = await acme.make()
    acme.clock.advance(hours=1)
    second = await acme.make()
    for backup, left in ((second, first.id), (first, None)):
        await acme.operator.call(control.BACKUP_DELETE, control.BackupDelete(project="acme", service="orders", id=backup.id))
        last = (await view(acme)).last_completed
        assert (last.id if last else None) == left


async def test_due_times_that_nobody_was_there_for_are_a_problem(acme: Scene) -> None:
    await acme.add_service(schedule=Daily(at="02:00"))
    await acme.passes(at("2026-03-02 02:00"))
    assert (await view(acme)).standing.level is Level.GOOD
    acme.robot.failure = lambda _: FULL
    await acme.passes(at("2026-03-05 02:00"))
    found = await view(acme)
    assert found.last_run is not None
    assert found.last_run.requested_at >= at("2026-03-05 02:00")  # not the two before, which were only missed


async def test_pages_of_services_follow_each_other_without_repeating_or_leaving_out(acme: Scene) -> None:
    for number in range(7):
        await acme.add_service(f"db-{number}")
    first = await page(acme, limit=3)
    assert (names(first), first.total) == (["db-0", "db-1", "db-2"], 7)
    await acme.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="db-2"))
    await acme.add_service("db-1-more")  # before the page that follows
    second = await page(acme, limit=3, cursor=first.next_cursor)
    third = await page(acme, limit=3, cursor=second.next_cursor)
    assert names(second) + names(third) == ["db-3", "db-4", "db-5", "db-6"]
    assert third.next_cursor == ""


async def test_services_are_found_by_words_and_by_level(acme: Scene) -> None:
    for name in ("orders", "invoices"):
        await acme.add_service(name)
    acme.robot.failure = lambda request: FULL if request.service == "invoices" else None
    await acme.make("orders")
    await acme.make("invoices")
    assert names(await page(acme, search="POSTGRESQL order")) == ["orders"]
    assert names(await page(acme, search="mariadb")) == []
    assert names(await page(acme, level=Level.PROBLEM)) == ["invoices"]
    assert names(await page(acme, worst_first=True)) == ["invoices", "orders"]


async def test_a_cursor_that_no_page_gave_is_refused_by_its_name(acme: Scene) -> None:
    for cursor in ("x", "0.acme", "a.b.c"):
        with pytest.raises(InvalidInput) as told:
            await page(acme, cursor=cursor)
        assert told.value.field == "cursor"


async def test_the_overview_says_first_what_is_not_safe(acme: Scene) -> None:
    for name in ("orders", "invoices"):
        await acme.add_service(name, schedule=Daily(at="02:00"))
    await acme.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="aaa"))
    await acme.operator.call(control.NODE_ADD, control.NodeRef(node="silent"))
    acme.robot.failure = lambda request: FULL if request.service == "invoices" else None
    good = await acme.make("orders")
    await acme.make("invoices")
    found = await acme.operator.call(control.OVERVIEW, control.OverviewOf())
    assert found.level is Level.PROBLEM
    assert [(each.project, each.level) for each in found.projects] == [("acme", Level.PROBLEM), ("aaa", Level.GOOD)]
    assert found.projects[0].stored_bytes == good.size_bytes
    assert [each.record.name for each in found.attention] == ["invoices"]
    assert found.levels == {Level.PROBLEM: 1, Level.WARNING: 0, Level.GOOD: 1, Level.OFF: 0}
    assert [(each.service, each.at) for each in found.next] == [
        ("invoices", at("2026-03-02 02:00")),
        ("orders", at("2026-03-02 02:00")),
    ]
    assert found.oldest is not None
    assert found.oldest.service == "orders"
    assert (found.nodes, found.silent_nodes) == (2, ["silent"])


async def test_the_overview_of_a_project_tells_of_nothing_else(acme: Scene) -> None:
    await acme.add_service()
    await acme.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="aaa"))
    await acme.operator.call(control.NODE_ADD, control.NodeRef(node="silent"))
    found = await acme.operator.call(control.OVERVIEW, control.OverviewOf(project="aaa"))
    assert [each.project for each in found.projects] == ["aaa"]
    assert (found.services, found.nodes, found.silent_nodes) == (0, 0, [])
    with pytest.raises(NotFound):
        await acme.operator.call(control.OVERVIEW, control.OverviewOf(project="nowhere"))


async def test_pages_of_backups_follow_each_other(acme: Scene) -> None:
    await acme.add_service()
    made: list[str] = []
    for _ in range(5):
        made.append((await acme.make(tags=["before"] if len(made) < 2 else [])).id)
        acme.clock.advance(minutes=1)
    cursor, found = "", list[str]()
    while True:
        of = control.BackupList(project="acme", service="orders", limit=2, cursor=cursor)
        answer = await acme.operator.call(control.BACKUP_LIST, of)
        found += [backup.id for backup in answer.backups]
        assert answer.total == 5
        cursor = answer.next_cursor
        if not cursor:
            break
    assert found == list(reversed(made))
    tagged = control.BackupList(project="acme", service="orders", tag="before", states=[RunState.COMPLETED])
    assert {backup.id for backup in (await acme.operator.call(control.BACKUP_LIST, tagged)).backups} == set(made[:2])
