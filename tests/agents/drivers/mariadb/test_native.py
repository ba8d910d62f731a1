"""Without Strongroom: age, zstd and MariaDB's own programs bring everything back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from contracts.native_restore import native_restore_commands
from contracts.records import ArtifactRecord
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import Backup, back_up
from tests.servers.mariadb import server_program
from tests.servers.tools import tool


async def test_databases_and_accounts_come_back_by_the_commands_as_they_stand(
    logical: LogicalUnderTest, tmp_path: Path
) -> None:
    logical.server.query("CREATE PROCEDURE shop.crlf()\r\nSELECT 'a\r\nb'")
    before = await logical.content()
    backup = await back_up(logical.driver())
    logical.empty()
    my_cnf = tmp_path / "my.cnf"
    my_cnf.write_text(f"[client]\nuser=root\npassword={logical.server.password}\nsocket={logical.server.socket}\n")
    # As ~/.my.cnf does it, which the host's own people may have.
    wrapper = tmp_path / "bin" / "mariadb"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {tool("mariadb")} --defaults-file={my_cnf} "$@"\n')
    wrapper.chmod(0o755)
    for record in logical.restoring_driver().restore_order(backup.records):
        run_shell(stored(tmp_path, record, backup), tmp_path, path=str(wrapper.parent))
    assert await logical.content() == before


async def test_a_data_directory_comes_back_by_the_commands_as_they_stand(
    physical: PhysicalUnderTest, tmp_path: Path
) -> None:
    before = await physical.content()
    backup = await back_up(physical.driver())
    place = Path(physical.restore_dir)
    run_shell(stored(tmp_path, backup.records[0], backup), place)
    subprocess.run(["chown", "-R", f"--reference={place}", str(physical.target_dir)], check=True)
    assert await physical.content_of_target() == before


def test_an_old_record_that_says_nothing_of_character_sets_has_commands_too() -> None:
    record = ArtifactRecord(
        name="o'x`", kind="database", format="sql", object_key="a/b.sql.zst.age", stored_bytes=1, plain_bytes=1, sha256="0"
    )
    assert native_restore_commands(record)[0] == (
        """mariadb --default-character-set=utf8mb4 -e 'CREATE DATABASE `o'"'"'x```'"""
    )


def stored(directory: Path, record: ArtifactRecord, backup: Backup) -> list[str]:
    """The commands for the artifact as the store would have it, in that directory."""
    identity, file = directory / "my key.txt", directory / "a dump.age"
    identity.unlink(missing_ok=True)
    subprocess.run([tool("age-keygen"), "-o", identity], check=True, capture_output=True)
    recipient = identity.read_text().partition("public key: ")[2].split()[0]
    packed = subprocess.run([tool("zstd"), "-c"], input=backup.data_of(record), check=True, capture_output=True).stdout
    subprocess.run([tool("age"), "-r", recipient, "-o", file], input=packed, check=True)
    named = msgspec.structs.replace(record, object_key=f"acme/{file}")
    return native_restore_commands(named, file=str(file), key_file=str(identity))


def run_shell(commands: list[str], directory: Path, *, path: str = "/nowhere") -> None:
    env = {"PATH": f"{path}:{os.environ['PATH']}:{Path(server_program('mariadbd')).parent}"}
    for command in commands:
        finished = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], env=env, cwd=directory, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, (command, finished.stderr)
