"""Backups and restores by the command line, with the real agent and a real PostgreSQL."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from contracts.age import Identity
from tests.daemon.cli.calling import Strongroom
from tests.faults.tools import PgTools
from tests.integration.platform import Platform
from tests.servers.postgres import Database, PostgresCluster
from tests.servers.waiting import eventually_blocking

RUN_NAME = re.compile(r"[a-z0-9-]+/orders/[0-9]{8}T[0-9]{6}Z-[a-z2-7]{4}")


def completed(strongroom: Strongroom, service: str) -> str:
    """The name of a fresh backup."""
    record = strongroom.json("backup", "create", service)
    assert record["state"] == "completed"
    return f"{service}/{record['id']}"


def test_a_backup_is_waited_for_and_told_in_lines(strongroom: Strongroom, service: str) -> None:
    ended = strongroom("backup", "create", service, "--tag", "before-migration").ok()
    (line,) = ended.out.splitlines()
    assert line.startswith("✓ ")
    assert RUN_NAME.search(line)
    assert "2 artifacts" in line
    steps = ended.err.splitlines()
    assert f"Backing up {service} on node-1" in steps[0]
    assert all(re.match(r"[0-9]{2}:[0-9]{2}:[0-9]{2}Z ", step) for step in steps)
    (record,) = strongroom.json("backup", "list", service)["backups"]
    assert record["tags"] == ["before-migration"]
    assert "@" in record["actor"]
    assert "before-migration" in strongroom("backup", "list", service).ok().out


def test_a_backup_is_shown_with_its_inventory_and_the_stock_commands_that_restore_it(
    strongroom: Strongroom, service: str, orders: Database
) -> None:
    name = completed(strongroom, service)
    out = strongroom("backup", "show", name).ok().out
    for wanted in (
        name,
        orders.name,
        "30,000",
        "pg_dump",
        "Without Strongroom",
        "age -d -i key.txt",
        "| psql -X -d postgres",
    ):
        assert wanted in out, wanted
    detail = strongroom.json("backup", "show", f"{service}/latest")
    assert f"{service}/{detail['record']['id']}" == name
    assert detail["inventory"]["databases"][0]["name"] == orders.name


def test_the_stock_commands_work(
    strongroom: Strongroom, serving: Platform, tools: PgTools, orders: Database, tmp_path: Path
) -> None:
    identity = Identity.generate()
    strongroom("project", "create", "stock", "--recovery-recipient", str(identity.recipient)).ok()
    strongroom("service", "add", "stock/orders", "--kind", "postgresql", "--node", "node-1", "--include", orders.name).ok()
    serving.write_service("stock/orders")
    eventually_blocking(lambda: "stock/orders" in strongroom("node", "list", "--json").out, 20)
    name = completed(strongroom, "stock/orders")
    strongroom("backup", "download", name, "--encrypted", "--output", str(tmp_path)).ok()
    (tmp_path / "key.txt").write_text(identity.reveal())
    lines = strongroom("backup", "show", name).ok().out.splitlines()
    (command,) = [line.strip() for line in lines if "age -d" in line and "pg_restore" in line]
    listing = command.partition("| pg_restore")[0] + "| pg_restore --list"
    listed = subprocess.run(["sh", "-c", listing], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "TABLE DATA public orders" in listed.stdout


def test_a_failed_backup_ends_with_status_5_and_the_tools_own_words(
    strongroom: Strongroom, service: str, tools: PgTools
) -> None:
    tools.fail_half_way()
    ended = strongroom("backup", "create", service).failed(5, "dump.failed")
    assert ended.out == ""
    assert "the disk has a scratch" in ended.err
    assert "✗" in ended.err
    ended = strongroom("backup", "create", service, "--json").failed(5, "dump.failed")
    assert ended.document["state"] == "failed"
    assert ended.document["error"] == ended.error
    assert "dump.failed" in strongroom("backup", "list", service).ok().out
    assert "the disk has a scratch" in strongroom("backup", "show", f"{service}/{ended.document['id']}").ok().out


def test_without_waiting_the_name_alone_is_printed_and_can_be_followed(
    strongroom: Strongroom, service: str, tools: PgTools
) -> None:
    tools.halt_half_way()
    ended = strongroom("backup", "create", service, "--no-wait").ok()
    name = ended.out.strip()
    assert RUN_NAME.fullmatch(name)
    assert ended.err == ""
    with strongroom.started("backup", "follow", f"{service}/latest") as following:
        eventually_blocking(tools.reached.exists, 20)
        tools.go.touch()
        assert name in following.wait().ok().out
    assert name in strongroom("backup", "follow", name).ok().out


def test_interrupted_waiting_leaves_the_run_alone_and_says_how_to_go_on(
    strongroom: Strongroom, service: str, tools: PgTools
) -> None:
    tools.halt_half_way()
    with strongroom.started("backup", "create", service) as waiting:
        eventually_blocking(tools.reached.exists, 20)
        waiting.interrupt()
        ended = waiting.wait().failed(130)
    (record,) = strongroom.json("backup", "list", service)["backups"]
    assert record["state"] == "running"
    assert f"strongroom backup follow {service}/{record['id']}" in ended.err
    assert f"strongroom backup cancel {service}/{record['id']}" in ended.err
    tools.go.touch()
    strongroom("backup", "follow", f"{service}/{record['id']}").ok()


def test_a_run_that_somebody_cancels_ends_the_waiting_with_status_5(
    strongroom: Strongroom, service: str, tools: PgTools
) -> None:
    tools.halt_half_way()
    name = strongroom("backup", "create", service, "--no-wait").ok().out.strip()
    ended = strongroom("backup", "create", service).failed(4, "run.overlap")
    assert "strongroom backup follow" in ended.err
    strongroom("backup", "delete", name, "--yes").failed(4, "run.not_current")
    assert strongroom("backup", "cancel", f"{service}/latest").ok().out == f"Cancelled {name}\n"
    strongroom("backup", "follow", name).failed(5, "run.cancelled")
    strongroom("backup", "cancel", name).failed(4, "run.not_current")


def test_a_restore_is_waited_for_listed_and_shown(
    strongroom: Strongroom, service: str, orders: Database, postgres: PostgresCluster
) -> None:
    name = completed(strongroom, service)
    copy = f"{orders.name}_copy"
    argv = ("restore", name, "--only", orders.name, "--rename", f"{orders.name}={copy}")
    try:
        out = strongroom(*argv).ok().out
        assert copy in out
        assert postgres.query("SELECT count(*) FROM orders", database=copy) == [(30000,)]
        strongroom(*argv).failed(5, "restore.target_not_empty")
        ended = strongroom(*argv, "--replace", "--yes", "--json").ok()
        assert ended.document["restored"]["in_place"] == [copy]
    finally:
        postgres.drop_database(copy)
    listed = strongroom("restores", "list", service).ok().out
    assert listed.count("completed") == 2
    assert "restore.target_not_empty" in listed
    shown = strongroom("restores", "show", f"{service}/latest").ok().out
    assert f"{orders.name} to {copy}" in shown
    strongroom("restores", "cancel", f"{service}/latest").failed(4, "run.not_current")
    strongroom("restores", "follow", f"{service}/latest").ok()


def test_a_restore_of_what_is_not_there_or_elsewhere_is_refused(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service)
    strongroom("restore", name, "--only", "nothing").failed(3, "artifact.not_found")
    strongroom("restore", name, "--to", "nobody/orders").failed(3, "project.not_found")
    strongroom("restore", name, "--node", "node-9").failed(2, "input.invalid")


def test_deleting_asks_and_refuses_where_nobody_can_be_asked(strongroom: Strongroom, service: str) -> None:
    name = completed(strongroom, service)
    error = strongroom("backup", "delete", name, "--json").failed(2, "input.invalid").error
    assert error["field"] == "yes"
    declined = strongroom.on_terminal("backup", "delete", f"{service}/latest", types="n\n").failed(1)
    assert f"Delete {name} (completed" in declined.out
    assert "Nothing was changed." in declined.out
    assert name in strongroom("backup", "list", service).ok().out
    assert f"Deleted {name}" in strongroom.on_terminal("backup", "delete", name, types="yes\n").ok().out
    strongroom("backup", "show", name).failed(3, "backup.not_found")


def test_deleting_with_yes_asks_nobody_and_states_the_reason(strongroom: Strongroom, service: str, project: str) -> None:
    name = completed(strongroom, service)
    strongroom("backup", "delete", name, "--yes", "--reason", "wrong server").ok()
    assert "wrong server" in strongroom("events", project, "--type", "backup.deleted").ok().out


def test_events_are_lines_for_people_and_documents_for_programs(strongroom: Strongroom, service: str, project: str) -> None:
    name = completed(strongroom, service)
    lines = strongroom("events", project).ok().out.splitlines()
    assert [line.split()[2] for line in lines] == [
        "project.created",
        "service.added",
        "backup.requested",
        "backup.started",
        "backup.completed",
    ]
    assert name in lines[-1]
    documents = [
        json.loads(line) for line in strongroom("events", service, "--type", "backup", "--json").ok().out.splitlines()
    ]
    assert [each["type"] for each in documents] == ["backup.requested", "backup.started", "backup.completed"]
    nothing = strongroom("events", project, "--since", "2000-01-01", "--type", "restore").ok()
    assert nothing.out == ""
    assert "Nothing happened" in nothing.err


def test_events_are_followed_as_they_happen(strongroom: Strongroom, project: str) -> None:
    with strongroom.started("events", project, "--follow", "--json") as following:
        eventually_blocking(lambda: "project.created" in following.out, 20)
        strongroom("project", "delete", project, "--yes").ok()
        eventually_blocking(lambda: "project.deleted" in following.out, 20)
        following.interrupt()
        ended = following.wait().failed(130)
    assert [json.loads(line)["type"] for line in ended.out.splitlines()] == ["project.created", "project.deleted"]
