"""Dumps: when one is whole and when not, programs that do not fit, options, and what nobody may see."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path

import pytest

from agents.drivers.mariadb.connection import MariaDBConnection
from agents.drivers.mariadb.dump import missing_backup_mark, missing_dump_mark
from agents.drivers.mariadb.errors import client_redactor
from agents.drivers.mariadb.option_file import option_file
from agents.drivers.secret_files import Secret
from contracts.errors import InvalidInput, RunFailed
from contracts.services import MariaDBOptions
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, MariaDBUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import finish_dump, read_all
from tests.servers.tools import tool
from tests.servers.waiting import eventually

MAGIC = "XBSTCK01"


def fake_bin(directory: Path, **scripts: str) -> str:
    """A `bin_dir` with the real programs, but for some."""
    directory.mkdir()
    for name in ("mariadb", "mariadb-dump", "mariadb-backup", "mbstream"):
        if name not in scripts:
            (directory / name).symlink_to(tool(name))
    for name, script in scripts.items():
        path = directory / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return str(directory)


def version(program: str) -> str:
    return f'if [ "$2" = --version ]; then exec {tool(program)} --no-defaults --version; fi'


async def failing_dump(engine: MariaDBUnderTest, bin_dir: str) -> RunFailed:
    driver = engine.driver_of(engine.connection("backup", bin_dir=bin_dir))
    plan = await driver.plan_backup()
    async with driver.dump(engine.large_artifact(plan.artifacts)) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed) as caught:
            await finish_dump(source, data)
    return caught.value


@pytest.mark.parametrize(
    ("script", "code", "words"),
    [
        (f"echo {MAGIC}", "dump.incomplete", "its last words are not 'completed OK!'"),
        ("echo 'completed OK!' >&2", "dump.incomplete", "it wrote nothing"),
        ("echo nonsense; echo 'completed OK!' >&2", "dump.incomplete", "it does not begin as an mbstream"),
        (f"echo {MAGIC}; echo 'completed OK!' >&2; exit 1", "dump.failed", "ended with status 1"),
        (
            f"echo {MAGIC}; echo 'Was only able to copy log from 1 to 2, not 3; try increasing …' >&2; exit 1",
            "dump.failed",
            "overwrote its redo log before it was read.*raise innodb_log_file_size",
        ),
        (f"echo {MAGIC}; echo 'Error: 13 Permission denied' >&2; exit 1", "engine.permission", "run the agent as root"),
        (f"echo {MAGIC}; kill -9 $$", "dump.failed", "was killed by SIGKILL"),
    ],
)
async def test_a_physical_backup_is_only_whole_with_status_and_mark(
    restoring: PhysicalUnderTest, tmp_path: Path, script: str, code: str, words: str
) -> None:
    bin_dir = fake_bin(tmp_path / "bin", **{"mariadb-backup": f"{version('mariadb-backup')}\n{script}"})
    failure = await failing_dump(restoring, bin_dir)
    assert failure.code == code
    assert re.search(words, failure.message)


async def test_a_logical_dump_without_its_mark_is_not_whole(logical: LogicalUnderTest, tmp_path: Path) -> None:
    bin_dir = fake_bin(tmp_path / "bin", **{"mariadb-dump": f"{version('mariadb-dump')}\necho '-- MariaDB dump'"})
    failure = await failing_dump(logical, bin_dir)
    assert failure.code == "dump.incomplete"
    assert "the completion mark at the end is missing" in failure.message


async def test_a_mariadb_backup_of_another_series_than_the_server_is_refused(
    restoring: PhysicalUnderTest, tmp_path: Path
) -> None:
    other = "echo 'mariadb-backup based on MariaDB server 11.4.2-MariaDB debian-linux-gnu (x86_64)' >&2"
    bin_dir = fake_bin(tmp_path / "bin", **{"mariadb-backup": other})
    with pytest.raises(RunFailed, match=r"is of version 11.4.2, but the server is .*install mariadb-backup 10.11") as caught:
        await restoring.driver_of(restoring.connection("backup", bin_dir=bin_dir)).plan_backup()
    assert caught.value.code == "engine.version_skew"


async def test_an_older_mariadb_dump_than_the_server_is_refused(logical: LogicalUnderTest, tmp_path: Path) -> None:
    old = "echo 'mysqldump  Ver 10.19 Distrib 10.3.39-MariaDB, for debian-linux-gnu (x86_64)'"
    bin_dir = fake_bin(tmp_path / "bin", **{"mariadb-dump": old})
    with pytest.raises(RunFailed, match=r"version 10.3.39, older than the server") as caught:
        await logical.driver_of(logical.connection("backup", bin_dir=bin_dir)).plan_backup()
    assert caught.value.code == "engine.version_skew"


async def test_a_missing_program_is_named_with_its_package(restoring: PhysicalUnderTest, tmp_path: Path) -> None:
    bin_dir = fake_bin(tmp_path / "bin")
    (tmp_path / "bin" / "mariadb-backup").unlink()
    with pytest.raises(
        RunFailed, match=r"mariadb-backup is not installed in bin_dir .*apt-get install mariadb-backup"
    ) as caught:
        await restoring.driver_of(restoring.connection("backup", bin_dir=bin_dir)).plan_backup()
    assert caught.value.code == "engine.tool_missing"


async def test_no_secret_is_on_a_command_line_or_in_an_environment(physical: PhysicalUnderTest) -> None:
    driver = physical.driver()
    plan = await driver.plan_backup()
    async with driver.dump(physical.large_artifact(plan.artifacts)) as source:
        await asyncio.to_thread(os.read, source.fd, 65536)
        pid = source.pid  # type: ignore[attr-defined]
        seen = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    assert physical.passwords["backup"].encode() not in seen
    assert b"--defaults-file=/proc/self/fd/" in seen


async def test_a_dump_that_is_left_ends_its_program_although_that_ignores_sigterm(physical: PhysicalUnderTest) -> None:
    driver = physical.driver()
    plan = await driver.plan_backup()
    began = asyncio.get_running_loop().time()
    async with driver.dump(physical.large_artifact(plan.artifacts)) as source:
        await asyncio.to_thread(os.read, source.fd, 65536)
    assert asyncio.get_running_loop().time() - began < 8  # less than the grace before SIGKILL
    assert await physical.leftovers() == []


async def test_a_dump_that_stands_still_for_too_long_is_told_from_others(logical: LogicalUnderTest) -> None:
    logical.server.query(
        "INSERT INTO large.random (data) SELECT REPEAT(data, 8) FROM large.random"
    )  # more than sockets hold
    driver = logical.driver()
    plan = await driver.plan_backup()
    logical.server.query("SET GLOBAL net_write_timeout = 1")
    try:
        async with driver.dump(logical.large_artifact(plan.artifacts)) as source:
            data = await asyncio.to_thread(os.read, source.fd, 65536)
            await eventually(lambda: not logical._sessions(), timeout_s=20)
            data += await asyncio.to_thread(read_all, source.fd)
            with pytest.raises(RunFailed, match="the upload stood still for longer than its net_write_timeout") as caught:
                await finish_dump(source, data)
        assert caught.value.code == "dump.failed"
    finally:
        logical.server.query("SET GLOBAL net_write_timeout = 60")


async def test_include_and_exclude_choose_databases(logical: LogicalUnderTest) -> None:
    options = MariaDBOptions(method="logical", include=["[sS]hop", "l*", "none*"], exclude=["large"], users=False)
    plan = await logical.driver_of(logical.connection("backup"), options).plan_backup()
    assert [artifact.name for artifact in plan.artifacts] == ["Shop", "shop"]
    assert "no database matches --include 'none*'" in plan.warnings
    assert [database["name"] for database in plan.inventory["databases"]] == ["Shop", "shop"]
    gone = MariaDBOptions(method="logical", include=["gone"])
    with pytest.raises(RunFailed) as caught:
        await logical.driver_of(logical.connection("backup"), gone).plan_backup()
    assert caught.value.code == "engine.database_not_found"


async def test_what_a_logical_backup_cannot_hold_is_a_warning(logical: LogicalUnderTest) -> None:
    logical.server.query("CREATE TABLE large.versioned (id int) WITH SYSTEM VERSIONING")
    warnings = (await logical.driver().plan_backup()).warnings
    assert "tables whose engine has no transactions are only consistent if nobody wrote to them: shop.old engine" in warnings
    assert any("not their history: large.versioned" in warning for warning in warnings)


async def test_databases_that_come_and_go_meanwhile_are_warnings(logical: LogicalUnderTest) -> None:
    driver = logical.driver()
    plan = await driver.plan_backup()
    logical.server.query("CREATE DATABASE newcomer")
    logical.server.query("DROP DATABASE large")
    assert await driver.finish_backup(plan) == [
        "database 'newcomer' was created during the backup and is not in it",
        "database 'large' was dropped after it was backed up",
    ]
    planned = next(artifact for artifact in plan.artifacts if artifact.name == "large")
    async with driver.dump(planned) as source:
        data = await asyncio.to_thread(read_all, source.fd)
        with pytest.raises(RunFailed, match="'large' has been dropped since the plan was made") as caught:
            await finish_dump(source, data)
    assert caught.value.code == "engine.database_not_found"


async def test_the_inventory_says_where_the_binary_log_is(logical: LogicalUnderTest) -> None:
    logical.server.query("DROP EVENT shop.`every second`")  # which writes
    plan = await logical.driver().plan_backup()
    (file, position, *_) = logical.server.query("SHOW MASTER STATUS")[0]
    (gtid,) = logical.server.query("SELECT @@gtid_current_pos")[0]
    assert plan.inventory["position"] == {
        "binlog_file": file, "binlog_position": str(position), "gtid_current_pos": gtid,
    }  # fmt: skip
    assert plan.parallel == 1


def test_a_mark_in_the_middle_is_no_end() -> None:
    assert missing_dump_mark(10, b"-- Dump completed on 2026-11-22\n") == ""
    assert missing_dump_mark(10, b"-- Dump completed on 2026\nINSERT\n") != ""
    assert missing_backup_mark(10, b"XBSTCK01", "completed OK!\n[00] failed") != ""


def test_a_client_s_words_hold_no_statements_and_no_rows() -> None:
    words = (
        "--------------\nINSERT INTO t VALUES ('secret row')\n--------------\n\n"
        "ERROR 1062 (23000) at line 7: Duplicate entry 'it's secret' for key 'email'"
    )
    shown = client_redactor(Secret("pw"))(words)
    assert shown == "ERROR 1062 (23000) at line 7: Duplicate entry '…' for key 'email'"
    account = "ERROR 1064 (42000) at line 3: You have an error near 'IDENTIFIED BY PASSWORD '*ABCDEF0123456789'' at line 1"
    assert "ABCDEF" not in client_redactor(None, hide_statements=True)(account)


def test_an_option_file_takes_any_password_but_a_line_break() -> None:
    connection = MariaDBConnection(user='u"x', password_file="p")
    text = option_file(connection, Secret("a\"b\\c#d'e ;"))
    assert 'password="a\\"b\\\\c#d\'e ;"' in text
    assert 'user="u\\"x"' in text
    with pytest.raises(InvalidInput, match=r"connection\.password_file: a line break"):
        option_file(connection, Secret("a\nb"))
    with pytest.raises(InvalidInput, match=r"connection\.tls_ca_file"):
        option_file(MariaDBConnection(user="u", tls="verify-ca"), None)
