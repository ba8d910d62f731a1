"""`strongroom service set-schedule` and `schedule`: when a service is due, and what became of it."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from contracts.wire import utc_now
from tests.daemon.cli.calling import Strongroom
from tests.servers.waiting import eventually_blocking


@pytest.fixture
def idle(strongroom: Strongroom, project: str, node: str) -> str:
    """A service whose agent is not running and that is due at a moment far from now."""
    name = f"{project}/orders"
    strongroom("service", "add", name, "--kind", "postgresql", "--node", node, "--schedule", "monthly 31 23:59:59").ok()
    return name


def test_a_service_is_added_with_a_schedule(strongroom: Strongroom, project: str, node: str) -> None:
    adding = ("service", "add", f"{project}/weekly", "--kind", "postgresql", "--node", node)
    ended = strongroom(*adding, "--schedule", "weekly sun 03:30").ok()
    assert "every Sunday at 03:30 UTC" in ended.err
    record = strongroom.json("service", "show", f"{project}/weekly")["record"]
    assert record["schedule"] == {"kind": "weekly", "day": "sunday", "at": "03:30"}


def test_a_change_says_when_it_is_due_next(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("service", "set-schedule", idle, "daily", "03:30").ok()
    assert ended.out.startswith(f"Schedule of {idle}: daily at 03:30 UTC\n")
    assert len(re.findall(r"20[0-9-]{8} 03:30:00 UTC, in ", ended.out)) == 3
    assert strongroom.json("service", "show", idle)["record"]["schedule"] == {"kind": "daily", "at": "03:30"}
    shown = strongroom("service", "show", idle).ok().out
    assert "daily at 03:30 UTC" in shown
    assert re.search(r"next due +20[0-9-]{8} 03:30:00 UTC, in ", shown)


def test_a_schedule_in_one_word_is_the_same(strongroom: Strongroom, idle: str) -> None:
    record = strongroom.json("service", "set-schedule", idle, "0 */6 * * *")
    assert record["schedule"] == {"kind": "cron", "expression": "0 */6 * * *"}


def test_switched_off_it_is_never_due(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("service", "set-schedule", idle, "off").ok()
    assert ended.out == f"Schedule of {idle}: off: only people start backups\n"
    assert strongroom.json("service", "schedule", idle)["next"] == []


def test_the_default_is_a_moment_of_its_own_after_midnight(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("service", "set-schedule", idle, "default").ok()
    assert re.search(r"daily at 00:[0-9]{2}:[0-9]{2} UTC \(the default: a moment of its own\)", ended.out)
    dues = strongroom.json("service", "schedule", idle)
    assert dues["is_default"] is True


def test_due_times_are_shown_as_many_as_are_wanted(strongroom: Strongroom, idle: str) -> None:
    dues = strongroom.json("service", "schedule", idle, "--next", "7")
    assert len(dues["next"]) == 7
    assert dues["next"] == sorted(dues["next"])
    assert dues["past"] == []
    assert dues["figures"]["due"] == 0
    out = strongroom("service", "schedule", idle).ok().out
    assert "on the last day of every month at 23:59:59 UTC" in out
    assert "nothing was due in the last 30 days" in out
    assert len(re.findall(r"23:59:59 UTC, in ", out)) == 5


def test_what_became_of_a_due_time_is_shown(strongroom: Strongroom, service: str) -> None:
    soon = utc_now() + timedelta(seconds=6)
    strongroom("service", "set-schedule", service, "daily", f"{soon:%H:%M:%S}").ok()

    def is_completed() -> bool:
        past = strongroom.json("service", "schedule", service)["past"]
        return bool(past) and past[0]["state"] == "completed"

    eventually_blocking(is_completed, 60)
    out = strongroom("service", "schedule", service).ok().out
    assert "1 of 1 due (100 %) in the last 30 days" in out
    entry = strongroom.json("service", "schedule", service)["past"][0]
    assert re.search(rf"{soon:%Y-%m-%d %H:%M:%S}  completed  {entry['run_id']}$", out, re.MULTILINE)
    assert strongroom.json("service", "schedule", service, "--past", "0")["past"] == []
    shown = strongroom("backup", "show", f"{service}/{entry['run_id']}").ok().out
    assert re.search(rf"due +{soon:%Y-%m-%d %H:%M:%S} UTC", shown)
    assert re.search(r"tags +daily, monthly, weekly", shown)


@pytest.mark.parametrize(
    ("words", "field"),
    [
        ("daily 25:00", "schedule.at"),
        ("weekly someday 03:30", "schedule.day"),
        ("monthly 32 03:30", "schedule.day"),
        ("daily", "schedule"),
        ("0 0 30 2 *", "schedule.expression"),
        ("@daily", "schedule.expression"),
        ("", "schedule"),
    ],
)
def test_what_is_wrong_in_a_schedule_is_named_and_changes_nothing(
    strongroom: Strongroom, project: str, words: str, field: str
) -> None:
    for argv in (
        ("service", "set-schedule", f"{project}/orders", words),
        ("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", "node-2", "--schedule", words),
    ):
        assert strongroom(*argv, "--json").failed(2, "input.invalid").error["field"] == field
    assert strongroom.json("service", "list", project)["services"] == []


def test_numbers_out_of_bounds_are_named(strongroom: Strongroom, project: str) -> None:
    for option in ("--next", "--past"):
        error = strongroom("service", "schedule", f"{project}/orders", option, "-1", "--json").failed(2).error
        assert error["field"] == option.removeprefix("--")


def test_a_service_that_is_not_there_is_not_found(strongroom: Strongroom, project: str) -> None:
    strongroom("service", "set-schedule", f"{project}/orders", "off").failed(3, "service.not_found")
    strongroom("service", "schedule", f"{project}/orders").failed(3, "service.not_found")
