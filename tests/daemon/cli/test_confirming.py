"""What deletes or replaces is only done when somebody types that it should be, or says so beforehand."""

from __future__ import annotations

from tests.daemon.cli.calling import Strongroom
from tests.integration.platform import Platform
from tests.servers.postgres import Database, PostgresCluster


def test_only_the_whole_word_agrees(strongroom: Strongroom, project: str) -> None:
    for typed in ("\n", "y\n", "yess\n", "no\n"):
        declined = strongroom.on_terminal("project", "delete", project, types=typed).failed(1)
        assert "Nothing was changed." in declined.out
    assert "Deleted project" in strongroom.on_terminal("project", "delete", project, types="YES\n").ok().words


def test_an_answer_is_not_waited_for_after_an_interruption(strongroom: Strongroom, project: str) -> None:
    ended = strongroom.interrupted_on_terminal("project", "delete", project, when="Type yes to go on")
    assert ended.status == 130
    assert "Traceback" not in ended.out
    assert strongroom.json("project", "show", project).get("deletion") is None


def test_where_nobody_can_be_asked_it_says_what_would_go_and_how_to_agree(strongroom: Strongroom, project: str) -> None:
    ended = strongroom("project", "delete", project).failed(2, "input.invalid")
    assert "--yes" in ended.err
    assert f"Project {project} has 0 services and 0 backups" in ended.err
    assert strongroom("project", "delete", project, "--json").failed(2).error["field"] == "yes"


def test_removing_a_node_asks(strongroom: Strongroom) -> None:
    name = f"n-{strongroom.home.name[-8:].strip('_').lower().replace('_', '-')}"
    strongroom("node", "add", name).ok()
    strongroom("node", "remove", name).failed(2, "--yes")
    declined = strongroom.on_terminal("node", "remove", name, types="no\n").failed(1)
    assert f"Node {name} is silent." in declined.words
    strongroom("node", "remove", "nowhere", "--json").failed(3, "node.not_found")
    assert strongroom.on_terminal("node", "remove", name, types="yes\n").ok().words.endswith(f"Removed node {name}\n")


def test_a_restore_that_replaces_says_first_what_is_lost(
    strongroom: Strongroom, serving: Platform, service: str, orders: Database, postgres: PostgresCluster
) -> None:
    record = strongroom.json("backup", "create", service)
    orders.query("DELETE FROM orders")
    replacing = ("restore", f"{service}/latest", "--only", orders.name, "--replace")
    refused = strongroom(*replacing).failed(2, "input.invalid")
    assert repr(orders.name) in refused.err
    declined = strongroom.on_terminal(*replacing, types="y\n").failed(1)
    assert f"What {service} has there under these names is replaced: {orders.name!r}." in declined.words
    assert "is lost, unless a newer backup has it" in declined.words
    assert f"Restore {service}/{record['id']} in place of that?" in declined.words
    assert orders.query("SELECT count(*) FROM orders") == [(0,)]
    strongroom(*replacing, "--yes").ok()
    assert orders.query("SELECT count(*) FROM orders") == [(30000,)]
