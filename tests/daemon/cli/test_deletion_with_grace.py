"""Services and projects are deleted with a way back, which the command names before and after."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.daemon.cli.calling import Strongroom
from tests.integration.platform import Platform


@pytest.fixture
def idle(strongroom: Strongroom, project: str, node: str) -> str:
    """A service without backups, whose agent is not running."""
    name = f"{project}/orders"
    strongroom("service", "add", name, "--kind", "postgresql", "--node", node).ok()
    return name


def deletion_of(strongroom: Strongroom, noun: str, name: str) -> Any:
    shown = strongroom.json(noun, "show", name)
    return shown.get("record", shown).get("deletion")


def test_deleting_a_service_says_how_long_it_can_be_had_back(strongroom: Strongroom, idle: str) -> None:
    ended = strongroom("service", "delete", idle, "--yes").ok()
    assert ended.out.startswith(f"Deleted service {idle}; gone for good 20")
    assert f"`strongroom service undelete {idle}` brings it back" in ended.err
    shown = strongroom("service", "show", idle).ok().out
    assert "gone for good 20" in shown
    assert f"until then `strongroom service undelete {idle}` brings it back" in " ".join(shown.split())
    assert "deleted, gone in 6 d" in strongroom("service", "list", idle.partition("/")[0]).ok().out


def test_the_documents_are_the_records_with_their_deletion(strongroom: Strongroom, idle: str, project: str) -> None:
    deletion = strongroom.json("service", "delete", idle, "--yes")["deletion"]
    lasts = datetime.fromisoformat(deletion["purge_at"]) - datetime.fromisoformat(deletion["at"])
    assert lasts == timedelta(days=7)
    assert "@" in deletion["actor"]
    back = strongroom.json("service", "undelete", idle)
    assert back["name"] == "orders"
    assert back.get("deletion") is None
    assert strongroom.json("project", "delete", project, "--yes")["deletion"]["purge_at"]
    assert strongroom.json("project", "undelete", project).get("deletion") is None


def test_deleting_asks_and_declining_changes_nothing(strongroom: Strongroom, idle: str, project: str) -> None:
    for noun, name in (("service", idle), ("project", project)):
        declined = strongroom.on_terminal(noun, "delete", name, types="n\n").failed(1)
        assert f"Delete {noun} {name}?" in declined.out
        assert "0 backups" in declined.out
        assert f"`strongroom {noun} undelete {name}` brings it back" in declined.out
        assert "Nothing was changed." in declined.out
        assert deletion_of(strongroom, noun, name) is None
        agreed = strongroom.on_terminal(noun, "delete", name, types="yes\n").ok()
        assert f"Deleted {noun} {name}; gone for good 20" in agreed.words
        strongroom(noun, "undelete", name).ok()


def test_where_nobody_can_be_asked_yes_is_needed(strongroom: Strongroom, idle: str, project: str) -> None:
    for noun, name in (("service", idle), ("project", project)):
        error = strongroom(noun, "delete", name, "--json").failed(2, "input.invalid").error
        assert error["field"] == "yes"
        assert deletion_of(strongroom, noun, name) is None


def test_what_is_not_there_is_not_found_before_anybody_is_asked(strongroom: Strongroom, project: str) -> None:
    strongroom("service", "delete", f"{project}/nothing").failed(3, "service.not_found")
    strongroom("project", "delete", "nowhere").failed(3, "project.not_found")
    strongroom("service", "undelete", f"{project}/nothing").failed(3, "service.not_found")


def test_what_was_not_deleted_cannot_be_had_back(strongroom: Strongroom, idle: str, project: str) -> None:
    strongroom("service", "undelete", idle).failed(4, "service.not_deleted")
    strongroom("project", "undelete", project).failed(4, "project.not_deleted")


def test_a_deleted_service_keeps_its_backups_and_makes_no_new_ones(
    strongroom: Strongroom, service: str, serving: Platform
) -> None:
    record = strongroom.json("backup", "create", service)
    strongroom("service", "delete", service, "--yes").ok()
    ended = strongroom("backup", "create", service).failed(4, "service.deleted")
    assert f"strongroom service undelete {service}" in ended.err
    assert record["id"] in strongroom("backup", "show", f"{service}/latest").ok().out
    strongroom("backup", "download", f"{service}/latest", "--output", str(strongroom.home / "files")).ok()
    back = strongroom("service", "undelete", service).ok()
    assert back.out.startswith(f"Service {service} is back, daily at 00:")
    strongroom("backup", "create", service).ok()


def test_a_deleted_project_makes_nothing_new_until_it_is_had_back(
    strongroom: Strongroom, idle: str, project: str, node: str
) -> None:
    strongroom("project", "delete", project, "--yes").ok()
    assert "gone for good 20" in strongroom("project", "show", project).ok().out
    listed = [line for line in strongroom("project", "list").ok().out.splitlines() if line.startswith(project)]
    assert "deleted, gone in 6 d" in listed[0]
    adding = ("service", "add", f"{project}/more", "--kind", "postgresql", "--node", node)
    ended = strongroom(*adding).failed(4, "project.deleted")
    assert f"strongroom project undelete {project}" in ended.err
    assert strongroom("project", "undelete", project).ok().out == f"Project {project} is back\n"
    strongroom(*adding).ok()


def test_the_audit_log_names_who_deleted_and_who_had_it_back(strongroom: Strongroom, idle: str, project: str) -> None:
    strongroom("service", "delete", idle, "--yes").ok()
    strongroom("service", "undelete", idle).ok()
    lines = strongroom("events", idle).ok().out.splitlines()
    deleted, undeleted = lines[-2:]
    assert "service.deleted" in deleted
    assert "by " in deleted
    assert "service.undeleted" in undeleted
    assert "by " in undeleted
