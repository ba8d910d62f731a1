"""How a service stands follows from what is known of it, and is said in a sentence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.errors import ErrorInfo
from contracts.policy.freeze import Freeze, FreezeCause
from contracts.policy.schedule import Daily, Off
from contracts.records import (
    Alive,
    Deletion,
    EngineHealth,
    ProjectRecord,
    RunState,
    RunSummary,
    ServiceRecord,
    ServiceState,
)
from contracts.services import PostgreSQLOptions
from contracts.standing import CauseCode, Level
from daemon.standing import Known, stand
from tests.daemon.scene import at

NOW = at("2026-03-10 12:00")
OWNER = ProjectRecord(name="acme", created_at=at("2026-01-01 00:00"), key_id="", recipients=[])
DELETION = Deletion(at=NOW, purge_at=NOW + timedelta(days=7))
REACHED = EngineHealth(reachable=True)


def run(when: str, state: RunState = RunState.COMPLETED, why: str = "") -> RunSummary:
    moment = at(when)
    error = ErrorInfo(code="dump.failed", message=why) if why else None
    id_ = f"{moment:%Y%m%dT%H%M%SZ}-aaaa"
    return RunSummary(id=id_, state=state, requested_at=moment, finished_at=moment + timedelta(minutes=5), error=error)


def alive(node: str, health: EngineHealth | None = REACHED) -> dict[str, Alive]:
    services = {} if health is None else {"acme/orders": health}
    return {node: Alive(node=node, seen_at=NOW, services=services)}


def known(**fields: Any) -> Known:
    """A service that is due at 02:00 each day, with all in order but for what is given."""
    last = fields.pop("last", run("2026-03-10 02:00"))
    good = fields.pop("good", last if last is not None and last.state is RunState.COMPLETED else None)
    record = ServiceRecord(
        project="acme",
        name="orders",
        created_at=fields.pop("created_at", at("2026-01-01 00:00")),
        options=PostgreSQLOptions(),
        nodes=["db1", "db2"],
        schedule=fields.pop("schedule", Daily(at="02:00")),
        deletion=fields.pop("deletion", None),
    )
    state = ServiceState(last_run=last, last_completed=good, freeze=fields.pop("freeze", None))
    values: dict[str, Any] = {"owner": OWNER, "active": "", "alive": alive("db1"), **fields}
    return Known(record=record, state=state, **values)


def test_a_service_whose_last_due_run_completed_is_good() -> None:
    assert stand(known(), NOW).level is Level.GOOD
    assert stand(known(), NOW).causes == []


FAILED = run("2026-03-10 02:00", RunState.FAILED, "the disk is full")
MISSED = run("2026-03-10 02:00", RunState.MISSED)
SMALL = Freeze(cause=FreezeCause.SUSPICIOUS_SIZE, run_id="20260310T020000Z-aaaa", reason="it has a tenth of the usual")
AWAY = EngineHealth(reachable=False, error=ErrorInfo(code="engine.unreachable", message="connection refused by 10.0.0.5"))


@pytest.mark.parametrize(
    ("fields", "level", "code", "words"),
    [
        (
            {"last": FAILED, "good": run("2026-03-09 02:00")},
            Level.PROBLEM,
            CauseCode.FAILED,
            "good one is of 2026-03-09 02:00",
        ),
        ({"last": FAILED}, Level.PROBLEM, CauseCode.FAILED, "the disk is full; there is no good one at all"),
        ({"last": MISSED}, Level.PROBLEM, CauseCode.MISSED, "nobody was there"),
        ({"last": run("2026-03-09 02:00")}, Level.PROBLEM, CauseCode.OVERDUE, "due at 2026-03-10 02:00 UTC"),
        ({"freeze": SMALL}, Level.PROBLEM, CauseCode.SUSPICIOUS, "a tenth of the usual"),
        ({"alive": {}}, Level.PROBLEM, CauseCode.NO_AGENT, "start strongroom-agent on db1 and db2"),
        ({"alive": alive("db3")}, Level.PROBLEM, CauseCode.NO_AGENT, "no agent of it is alive"),
        ({"alive": alive("db1", None)}, Level.PROBLEM, CauseCode.NOT_CONFIGURED, "service add"),
        ({"alive": alive("db1", AWAY)}, Level.PROBLEM, CauseCode.ENGINE, "connection refused"),
        ({"last": None, "created_at": NOW}, Level.WARNING, CauseCode.NO_BACKUP, "no backup of it yet"),
        ({"last": None, "active": "20260310T115900Z-aaaa"}, Level.WARNING, CauseCode.NO_BACKUP, "under way"),
        ({"last": None}, Level.PROBLEM, CauseCode.OVERDUE, "due at 2026-01-01 02:00"),
        ({"schedule": Off()}, Level.OFF, CauseCode.UNSCHEDULED, "only people start backups"),
        ({"deletion": DELETION, "alive": {}}, Level.OFF, CauseCode.DELETED, "the service was deleted"),
        ({"owner": None}, Level.OFF, CauseCode.DELETED, "the project was deleted"),
    ],
)
def test_what_is_wrong_is_named_and_explained(fields: dict[str, Any], level: Level, code: CauseCode, words: str) -> None:
    standing = stand(known(**fields), NOW)
    assert standing.level is level
    assert standing.causes[0].code is code
    assert words in standing.causes[0].message


def test_one_node_that_reaches_the_engine_is_enough() -> None:
    nodes = {**alive("db1", AWAY), **alive("db2")}
    assert stand(known(alive=nodes), NOW).level is Level.GOOD


def test_a_run_under_way_is_not_overdue() -> None:
    under_way = known(last=run("2026-03-09 02:00"), active="20260310T020000Z-aaaa")
    assert stand(under_way, NOW).level is Level.GOOD


def test_a_due_run_is_given_some_minutes_to_begin() -> None:
    waiting = known(last=run("2026-03-09 02:00"))
    assert stand(waiting, at("2026-03-10 02:09")).level is Level.GOOD
    assert stand(waiting, at("2026-03-10 02:11")).level is Level.PROBLEM


def test_a_service_without_a_schedule_that_failed_is_still_a_problem() -> None:
    assert stand(known(schedule=Off(), last=FAILED), NOW).level is Level.PROBLEM


@given(
    last=st.sampled_from([None, FAILED, MISSED, run("2026-03-10 02:00"), run("2026-03-01 02:00")]),
    freeze=st.sampled_from([None, SMALL]),
    nodes=st.sampled_from([{}, alive("db1"), alive("db2", AWAY), alive("db1", None)]),
    schedule=st.sampled_from([Off(), Daily(at="02:00"), None]),
    now=st.datetimes(min_value=datetime(2026, 3, 10, 3), max_value=datetime(2030, 1, 1)),  # noqa: DTZ001
)
def test_only_a_service_with_a_good_newest_backup_is_good(
    last: RunSummary | None, freeze: Freeze | None, nodes: dict[str, Alive], schedule: Any, now: datetime
) -> None:
    moment = now.replace(tzinfo=NOW.tzinfo)
    standing = stand(known(last=last, freeze=freeze, alive=nodes, schedule=schedule), moment)
    assert [cause.level.rank for cause in standing.causes[1:]] == sorted(cause.level.rank for cause in standing.causes[1:])
    if standing.level is Level.GOOD:
        assert standing.causes == []
        assert last is not None
        assert last.state is RunState.COMPLETED
        assert moment - last.requested_at < timedelta(days=1, hours=1)
        assert freeze is None
