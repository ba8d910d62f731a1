"""Setting up: what commands change, what they print for people and programs, and how they refuse."""

from __future__ import annotations

import re

from contracts.age import Identity
from tests.daemon.cli.calling import Strongroom


def test_a_project_is_created_listed_and_shown(strongroom: Strongroom, project: str) -> None:
    assert project in strongroom("project", "list").ok().out
    shown = strongroom("project", "show", project).ok().out
    assert "age1" in shown
    assert "held by the coordinator" in shown
    assert "1 TiB, the plan custom" in shown


def test_creating_without_a_recovery_recipient_warns_and_with_one_does_not(strongroom: Strongroom) -> None:
    assert "recovery recipient" in strongroom("project", "create", "careless").ok().err
    recipient = str(Identity.generate().recipient)
    ended = strongroom("project", "create", "careful", "--recovery-recipient", recipient).ok()
    assert ended.err == ""
    assert recipient in ended.out


def test_the_documents_are_the_coordinators_answers(strongroom: Strongroom, project: str, node: str) -> None:
    assert strongroom.json("project", "show", project)["name"] == project
    assert project in [each["name"] for each in strongroom.json("project", "list")["projects"]]
    assert node in [each["record"]["name"] for each in strongroom.json("node", "list")["nodes"]]
    assert strongroom.json("service", "list", project) == {"services": [], "next_cursor": "", "total": 0}


def test_the_option_for_documents_may_stand_before_the_command(strongroom: Strongroom) -> None:
    assert strongroom("--json", "project", "list").ok().document["projects"]


def test_what_exists_already_is_a_conflict(strongroom: Strongroom, project: str, node: str) -> None:
    error = strongroom("project", "create", project, "--json").failed(4, "project.exists").error
    assert error["field"] == "name"
    strongroom("node", "add", node, "--json").failed(4, "node.exists")


def test_a_service_is_added_shown_and_listed(strongroom: Strongroom, project: str, node: str) -> None:
    service = f"{project}/orders"
    added = strongroom(
        *("service", "add", service, "--kind", "postgresql", "--node", node),
        *("--include", "orders*", "--exclude", "tmp_*", "--exclude", "x", "--no-globals", "--lock-timeout", "5"),
    ).ok()
    assert added.out == f"Added service {service}\n"
    assert "strongroom-agent service add" in added.err
    assert re.search(r"daily at 00:[0-9]{2}:[0-9]{2} UTC \(the default", added.err)
    view = strongroom.json("service", "show", service)
    assert view["record"]["options"] == {
        "kind": "postgresql",
        "include": ["orders*"],
        "exclude": ["tmp_*", "x"],
        "globals": False,
        "lock_timeout_s": 5,
        "method": "logical",
        "parallel": 1,
    }
    shown = strongroom("service", "show", service).ok().out
    assert "tmp_*, x" in shown
    assert "none completed yet" in shown
    assert "at least 7 daily, 4 weekly, 3 monthly" in shown
    listed = strongroom("service", "list", project).ok().out
    assert service in listed
    assert "NEXT DUE (UTC)" in listed


def test_a_change_keeps_what_it_does_not_name_and_empties_a_list_on_an_empty_text(
    strongroom: Strongroom, project: str, node: str
) -> None:
    service = f"{project}/orders"
    strongroom("service", "add", service, "--kind", "postgresql", "--node", node, "--exclude", "a", "--no-globals").ok()
    changed = strongroom.json("service", "change", service, "--include", "b", "--globals")
    assert changed["options"] == {
        "kind": "postgresql",
        "include": ["b"],
        "exclude": ["a"],
        "globals": True,
        "lock_timeout_s": 30,
        "method": "logical",
        "parallel": 1,
    }
    assert strongroom.json("service", "change", service, "--exclude", "")["options"]["exclude"] == []
    strongroom("service", "change", service, "--json").failed(2, "input.invalid")


def test_a_node_in_use_stays(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    strongroom("node", "remove", node, "--yes").failed(4, "node.in_use")


def test_wrong_input_names_the_field_and_changes_nothing(strongroom: Strongroom, project: str, node: str) -> None:
    for argv, field in (
        (("project", "create", "No Spaces"), "name"),
        (("project", "create", "fresh", "--recovery-recipient", "age1nonsense"), "recovery_recipients"),
        (("service", "add", "noslash", "--kind", "postgresql", "--node", node), "service"),
        (("service", "add", f"{project}/x", "--kind", "oracle", "--node", node), "kind"),
        (("service", "add", f"{project}/x", "--kind", "postgresql"), "node"),
        (("backup", "list", "a/b/c"), "service"),
        (("backup", "show", f"{project}/orders"), "backup"),
        (("backup", "show", f"{project}/orders/nonsense"), "backup"),
        (("restore", f"{project}/orders/latest", "--rename", "a"), "rename"),
        (("restore", f"{project}/orders/latest", "--rename", "a=b", "--rename", "a=c"), "rename"),
        (("events", "--since", "yesterday"), "since"),
        (("events", "--type", "backup.vanished"), "type"),
    ):
        error = strongroom(*argv, "--json").failed(2).error
        assert error["field"] == field, (argv, error)
    assert "fresh" not in strongroom("project", "list").ok().out


def test_a_service_on_an_unknown_node_or_in_an_unknown_project_is_not_found(
    strongroom: Strongroom, project: str, node: str
) -> None:
    strongroom("service", "add", f"{project}/x", "--kind", "postgresql", "--node", "nowhere").failed(3, "node.not_found")
    ended = strongroom("service", "add", "nobody/x", "--kind", "postgresql", "--node", node).failed(3, "project.not_found")
    assert "strongroom project create" in ended.err


def test_a_backup_whose_agent_is_away_says_where_to_start_it(strongroom: Strongroom, project: str, node: str) -> None:
    service = f"{project}/orders"
    strongroom("service", "add", service, "--kind", "postgresql", "--node", node).ok()
    ended = strongroom("backup", "create", service).failed(6, "node.unavailable")
    assert f"start strongroom-agent on {node}" in ended.err
    assert strongroom.json("backup", "list", service)["backups"] == []
    for latest in (("backup", "show"), ("restore",), ("backup", "download"), ("backup", "delete", "--yes")):
        strongroom(*latest, f"{service}/latest").failed(3, "backup.not_found")
    strongroom("backup", "cancel", f"{service}/latest").failed(3, "backup.not_found")
    strongroom("restores", "show", f"{service}/latest").failed(3, "restore.not_found")


def test_status_says_what_needs_attention(strongroom: Strongroom, project: str, node: str) -> None:
    strongroom("service", "add", f"{project}/orders", "--kind", "postgresql", "--node", node).ok()
    out = strongroom("status").failed(2).out
    assert f"node {node}" in out
    assert f"{project}/orders" in strongroom("status", "--project", project).failed(2).out
