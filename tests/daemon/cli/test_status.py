"""`strongroom status` tells of what needs attention, a line for each kind."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from contracts.control import ServiceView, Status
from contracts.policy.freeze import Freeze, FreezeCause
from contracts.policy.schedule_text import parse_schedule
from contracts.records import BackupRecord, Deletion, ProjectRecord, RunState, ServiceRecord, Trigger
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.cli.status import draw_status
from tests.daemon.cli.drawing import drawn

NOW = utc_now()
DELETION = Deletion(at=NOW, purge_at=NOW + timedelta(days=6, hours=12))
FREEZE = Freeze(cause=FreezeCause.RUN_FAILED, run_id="20261122T000512Z-k7xq", reason="the newest due run, of …, failed")


def view(name: str, *, age: timedelta = timedelta(0), schedule: str = "* * * * *", **fields: Any) -> ServiceView:
    """A service that was added `age` ago, by default one that is due every minute."""
    project, service = name.split("/")
    record = ServiceRecord(
        project=project,
        name=service,
        created_at=NOW - age,
        options=PostgreSQLOptions(),
        nodes=["db1"],
        schedule=parse_schedule(schedule),
        deletion=fields.pop("deletion", None),
    )
    return ServiceView(record=record, kind="postgresql", **{"last_completed": None, **fields})


def backup(finished_at: datetime) -> BackupRecord:
    return BackupRecord(
        id="20261122T000512Z-k7xq",
        project="acme",
        service="orders",
        kind="postgresql",
        state=RunState.COMPLETED,
        trigger=Trigger.SCHEDULE,
        requested_at=finished_at - timedelta(hours=5),
        finished_at=finished_at,
        node="db1",
        placement="",
        options=PostgreSQLOptions(),
        recipients=[],
        key_id="",
    )


def project(name: str, deletion: Deletion | None = None) -> ProjectRecord:
    return ProjectRecord(name=name, created_at=NOW, key_id="", recipients=[], deletion=deletion)


def facts(services: list[ServiceView], projects: list[ProjectRecord]) -> dict[str, str]:
    status = Status(version="1", server={})
    lines = drawn(lambda console: draw_status(console, status, 0.01, [], services, projects, NOW), width=4000).splitlines()
    return {name: value.strip() for name, _, value in (line.partition("  ") for line in lines[1:])}


def test_where_all_is_well_nothing_is_listed() -> None:
    told = facts([view("acme/orders", last_completed=backup(NOW))], [project("acme")])
    assert told.keys().isdisjoint({"overdue", "frozen", "deleted"})


def test_frozen_overdue_and_deleted_services_have_a_line_each() -> None:
    told = facts(
        [
            view("acme/orders", freeze=FREEZE),
            view("acme/late", age=timedelta(hours=2, minutes=5)),
            view("acme/waiting", age=timedelta(minutes=3)),
            view("acme/old", deletion=DELETION),
            view("gone/orders", freeze=FREEZE, age=timedelta(hours=2)),
        ],
        [project("acme"), project("gone", DELETION)],
    )
    assert told["frozen"] == "acme/orders (the newest due run failed)"
    assert told["overdue"] == "acme/late (since 2 h)"
    assert told["deleted"] == "acme/old (gone in 6 d), project gone (gone in 6 d)"
    assert told["services"].startswith("3; never backed up: acme/orders, acme/late, acme/waiting")


def test_overdue_is_what_was_due_after_the_last_backup_ended() -> None:
    told = facts(
        [
            view("acme/late", age=timedelta(days=9), last_completed=backup(NOW - timedelta(hours=3, minutes=5))),
            view("acme/fresh", age=timedelta(days=9), last_completed=backup(NOW)),
            view("acme/busy", age=timedelta(days=9), active="20261122T000512Z-k7xq"),
            view("acme/manual", age=timedelta(days=9), schedule="off"),
        ],
        [project("acme")],
    )
    assert told["overdue"] == "acme/late (since 3 h)"


def test_a_long_list_is_cut() -> None:
    told = facts([view(f"acme/s{number:02}", freeze=FREEZE) for number in range(13)], [project("acme")])
    assert told["frozen"].endswith("acme/s09 (the newest due run failed) and 3 more")
