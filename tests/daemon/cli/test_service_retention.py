"""What a policy keeps of real backups: shown on request, and before a change deletes."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from contracts.policy.retention_policy import RetentionPolicy
from contracts.wire import encode
from tests.daemon.cli.calling import Strongroom
from tests.servers.postgres import Database

DEFAULT = json.loads(encode(RetentionPolicy()))


@pytest.fixture
def idle(strongroom: Strongroom, project: str, node: str) -> str:
    """A service without backups."""
    name = f"{project}/orders"
    strongroom("service", "add", name, "--kind", "postgresql", "--node", node).ok()
    return name


@pytest.fixture
def three(strongroom: Strongroom, service: str) -> list[str]:
    """The ids of three backups that somebody asked for, oldest first."""
    return [strongroom.json("backup", "create", service)["id"] for _ in range(3)]


def policy_of(strongroom: Strongroom, service: str) -> object:
    return strongroom.json("service", "show", service)["record"]["retention"]


def backups_of(strongroom: Strongroom, service: str) -> list[str]:
    """Oldest first."""
    return [each["id"] for each in reversed(strongroom.json("backup", "list", service)["backups"])]


def test_a_service_is_added_with_a_policy(strongroom: Strongroom, project: str, node: str, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text('total_count = "null"\n[minimums]\ndaily = 14\n')
    adding = ("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node)
    strongroom(*adding, "--policy", str(tmp_path / "policy.toml")).ok()
    assert policy_of(strongroom, f"{project}/orders") == {
        **DEFAULT,
        "total_count": None,
        "minimums": {"daily": 14, "weekly": 4, "monthly": 3},
    }
    (tmp_path / "wrong.toml").write_text("total_cuont = 3\n")
    error = strongroom(*adding, "--policy", str(tmp_path / "wrong.toml"), "--json").failed(2, "input.invalid").error
    assert error["field"] == "policy.total_cuont"


def test_what_deletes_nothing_is_changed_without_a_question(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("service", "set-retention", idle, "--keep-count", "none", "--keep-size", "20GB").ok()
    assert ended.out == f"Changed the retention of {idle}; nothing was deleted\n"
    assert "It deletes none of 0 backups." in ended.err
    strongroom("service", "set-retention", idle, "--min-daily", "2", "--per", "day", "--suspicious-size", "0.3").ok()
    assert policy_of(strongroom, idle) == {
        **DEFAULT,
        "total_count": None,
        "total_size_bytes": 20 * 10**9,
        "minimums": {"daily": 2, "weekly": 4, "monthly": 3},
        "per": "day",
        "suspicious_size_factor": 0.3,
    }
    shown = strongroom("service", "show", idle).ok().out
    assert "at most 20 GB" in shown
    assert "daily counts days" in shown


def test_a_file_is_the_whole_policy(strongroom: Strongroom, idle: str, tmp_path: Path) -> None:
    strongroom("service", "set-retention", idle, "--min-daily", "30").ok()
    (tmp_path / "policy.json").write_text('{"total_count": 9}')
    strongroom("service", "set-retention", idle, "--policy", str(tmp_path / "policy.json"), "--max-daily", "8").ok()
    assert policy_of(strongroom, idle) == {
        **DEFAULT,
        "total_count": 9,
        "maximums": {"daily": 8, "weekly": 0, "monthly": 0},
    }


def test_a_dry_run_shows_what_would_go_and_changes_nothing(strongroom: Strongroom, service: str, three: list[str]) -> None:
    argv = ("service", "set-retention", service, "--keep-count", "1", "--dry-run")
    out = strongroom(*argv).ok().out
    assert f"Retention of {service} would be:\n  at most 1 backup\n" in out
    going = [line for line in out.splitlines() if "beyond the total count: 1" in line]
    assert [line.split()[2] for line in going] == three[:2]
    assert three[2] not in out
    assert re.search(r"^It deletes 2 backups, [0-9.]+ [KM]iB, and keeps 1\.$", out, re.MULTILINE)
    view = strongroom.json(*argv)
    assert view["applied"] is False
    assert {each["id"]: each["decision"] for each in view["verdicts"]} == {
        three[0]: "expire",
        three[1]: "expire",
        three[2]: "keep",
    }
    assert policy_of(strongroom, service) == DEFAULT
    assert backups_of(strongroom, service) == three


def test_what_deletes_is_shown_and_asked_first(strongroom: Strongroom, service: str, three: list[str]) -> None:
    argv = ("service", "set-retention", service, "--keep-count", "2")
    refused = strongroom(*argv).failed(2, "input.invalid")
    assert "say so with --yes" in refused.err
    assert three[0] in refused.err
    assert strongroom(*argv, "--json").failed(2).error["field"] == "yes"
    declined = strongroom.on_terminal(*argv, types="n\n", columns=160).failed(1)
    assert f"Change the retention of {service}, and delete 1 backup, " in declined.words
    assert backups_of(strongroom, service) == three
    assert policy_of(strongroom, service) == DEFAULT
    agreed = strongroom.on_terminal(*argv, types="yes\n", columns=160).ok()
    assert three[0] in agreed.out
    assert f"Changed the retention of {service}; deleted 1 backup, " in agreed.words
    assert backups_of(strongroom, service) == three[1:]


def test_in_a_script_yes_deletes_without_a_question(strongroom: Strongroom, service: str, three: list[str]) -> None:
    view = strongroom.json("service", "set-retention", service, "--keep-count", "1", "--yes")
    assert view["applied"] is True
    assert view["policy"]["total_count"] == 1
    assert backups_of(strongroom, service) == three[2:]
    reasons = strongroom("events", service, "--type", "backup.deleted").ok().out
    assert reasons.count("beyond the total count: 1") == 2


def test_while_retention_is_frozen_it_says_what_goes_afterwards(
    strongroom: Strongroom, service: str, three: list[str], orders: Database
) -> None:
    orders.query("TRUNCATE orders")
    small = strongroom.json("backup", "create", service)["id"]
    shown = strongroom("service", "show", service).ok().out
    assert "frozen, nothing is deleted: the newest backup, of " in shown
    assert "retention frozen" in strongroom("service", "list", service.partition("/")[0]).ok().out
    status = strongroom("status", "--project", service.partition("/")[0]).failed(2).out
    assert f"✗ {service}\n    the newest backup, of " in status
    assert "Frozen: nothing expires, because " in strongroom("retention", "plan", service).ok().out
    argv = ("service", "set-retention", service, "--keep-count", "2")
    refused = strongroom(*argv).failed(2, "input.invalid")
    assert "It deletes none now, and 2 backups once it is not frozen any more." in refused.err
    assert strongroom(*argv, "--yes").ok().out == f"Changed the retention of {service}; nothing was deleted\n"
    assert backups_of(strongroom, service) == [*three, small]


def test_a_plan_says_of_each_backup_why_it_is_kept(strongroom: Strongroom, service: str, three: list[str]) -> None:
    strongroom("backup", "protect", f"{service}/{three[0]}").ok()
    out = strongroom("retention", "plan", service).ok().out
    assert "it bears the protected tag 'protected'" in out
    assert "within all limits" in out
    assert out.splitlines()[-1].endswith(": 1 protected, 2 none; 0 expired.")
    view = strongroom.json("retention", "plan", service)
    assert [each["id"] for each in view["verdicts"]] == three[::-1]
    assert view["policy"] == DEFAULT


def test_a_plan_of_no_backups_says_so(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("retention", "plan", idle).ok()
    assert (ended.out, ended.err) == ("", "There are no backups yet.\n")
    assert strongroom.json("retention", "plan", idle)["verdicts"] == []


@pytest.mark.parametrize(
    ("argv", "field"),
    [
        (("retention", "plan"), "service"),
        (("retention", "plan", "acme"), "service"),
        (("retention", "plan", "acme/orders", "--history", "h.json"), "history"),
        (("retention", "plan", "acme/orders", "--policy", "p.toml"), "policy"),
        (("retention", "plan", "acme/orders", "--now", "2026-11-22"), "now"),
        (("service", "set-retention", "acme/orders"), "policy"),
        (("service", "set-retention", "acme/orders", "--dry-run", "--yes"), "policy"),
        (("service", "set-retention", "acme", "--keep-count", "3"), "service"),
        (("service", "set-retention", "acme/orders", "--keep-count", "0"), "retention.total_count"),
        (("service", "set-retention", "acme/orders", "--keep-count", "few"), "keep_count"),
        (("service", "set-retention", "acme/orders", "--keep-size", "big"), "keep_size"),
        (("service", "set-retention", "acme/orders", "--min-daily", "-1"), "min_daily"),
        (("service", "set-retention", "acme/orders", "--max-weekly", "x"), "max_weekly"),
        (("service", "set-retention", "acme/orders", "--per", "week"), "per"),
        (("service", "set-retention", "acme/orders", "--suspicious-size", "2"), "suspicious_size"),
        (("service", "set-retention", "acme/orders", "--protect-tag", "no tag"), "retention.protected_tags"),
        (("service", "set-retention", "acme/orders", "--policy", "nowhere.toml"), "policy"),
    ],
)
def test_what_is_wrong_on_the_line_is_named(strongroom: Strongroom, argv: tuple[str, ...], field: str) -> None:
    assert strongroom(*argv, "--json").failed(2, "input.invalid").error["field"] == field


def test_a_service_that_is_not_there_is_not_found(strongroom: Strongroom, project: str) -> None:
    strongroom("retention", "plan", f"{project}/orders").failed(3, "service.not_found")
    strongroom("service", "set-retention", f"{project}/orders", "--keep-count", "3").failed(3, "service.not_found")
