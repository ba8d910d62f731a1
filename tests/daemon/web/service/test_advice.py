"""What people are told to do about a service that does not stand well."""

from __future__ import annotations

import pytest

from contracts.access import Role
from contracts.control import ServiceView
from contracts.records import RunState, RunSummary, ServiceRecord
from contracts.services import PostgreSQLOptions
from contracts.standing import Cause, CauseCode, Level, Standing
from daemon.web import links
from daemon.web.service.advice import Advice, advice_of
from tests.daemon.web.service.records import AT

_RECORD = ServiceRecord(project="acme", name="orders", created_at=AT, options=PostgreSQLOptions(), nodes=["node-1"])
_HOME = "/projects/acme/services/orders"


def advice(code: CauseCode, role: Role = Role.ADMIN, *, active: str = "", last_run: RunSummary | None = None) -> Advice:
    cause = Cause(code=code, level=Level.PROBLEM, message="something is wrong")
    view = ServiceView(
        record=_RECORD,
        kind="postgresql",
        last_completed=None,
        last_run=last_run,
        active=active,
        standing=Standing(level=Level.PROBLEM, causes=[cause]),
    )
    (found,) = advice_of(view, role)
    return found


@pytest.mark.parametrize("code", [code for code in CauseCode if code is not CauseCode.DELETED])
def test_every_cause_has_a_sentence_of_what_to_do(code: CauseCode) -> None:
    assert advice(code).to_do.endswith(".")


def test_a_service_that_stands_well_needs_none() -> None:
    view = ServiceView(record=_RECORD, kind="postgresql", last_completed=None)
    assert advice_of(view, Role.ADMIN) == []


def test_a_failed_run_is_linked_where_there_is_a_record_of_it() -> None:
    run = RunSummary(id="20270310T023000Z-aaaa", state=RunState.FAILED, requested_at=AT)
    assert advice(CauseCode.FAILED, last_run=run).link == f"{_HOME}/backups/{run.id}"
    assert advice(CauseCode.FAILED).link == ""


def test_a_host_that_lacks_something_gets_the_command_for_it() -> None:
    assert advice(CauseCode.NO_AGENT).command == "systemctl start strongroom-agent"
    assert advice(CauseCode.NOT_CONFIGURED).command == "strongroom-agent service add acme/orders"
    assert advice(CauseCode.NO_AGENT).link == links.NODES


def test_what_only_an_admin_may_do_is_offered_to_admins_only() -> None:
    assert advice(CauseCode.UNSCHEDULED).link == f"{_HOME}/schedule"
    assert advice(CauseCode.UNSCHEDULED, Role.OPERATOR).link == ""


def test_nobody_is_told_to_make_a_first_backup_that_is_under_way() -> None:
    assert advice(CauseCode.NO_BACKUP, active="20270310T023000Z-aaaa").to_do == ""
