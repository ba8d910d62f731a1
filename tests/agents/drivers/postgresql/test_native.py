"""Without Strongroom: age, zstd and PostgreSQL's own tools bring everything back."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec

from contracts.native_restore import native_restore_commands
from tests.agents.drivers.postgresql.support import Host, back_up, globals_record, look_into
from tests.servers.tools import tool


def test_commands_name_the_object_as_it_was_stored() -> None:
    assert native_restore_commands(globals_record()) == [
        "age -d -i key.txt globals.pgdump.zst.age | zstd -d | psql -X -d postgres"
    ]


async def test_the_commands_work_as_they_stand(host: Host, rich_database: str, tmp_path: Path, real_bin: Path) -> None:
    record, data = await back_up(host.backup_of(rich_database), rich_database)
    identity, stored = tmp_path / "my key.txt", tmp_path / "a dump.age"
    subprocess.run([tool("age-keygen"), "-o", identity], check=True, capture_output=True)
    recipient = identity.read_text().partition("public key: ")[2].split()[0]
    packed = subprocess.run([tool("zstd"), "-c"], input=data, check=True, capture_output=True).stdout
    subprocess.run([tool("age"), "-r", recipient, "-o", stored], input=packed, check=True)

    before = look_into(host.cluster, rich_database)
    host.cluster.query(f"DROP DATABASE {rich_database}")
    named = msgspec.structs.replace(record, object_key=f"acme/{stored}")
    (command,) = native_restore_commands(named, file=str(stored), key_file=str(identity))
    run_shell(host, real_bin, [command])
    assert look_into(host.cluster, rich_database) == before


def run_shell(host: Host, real_bin: Path, commands: list[str]) -> None:
    cluster = host.cluster
    env = {
        "PATH": f"{real_bin}:{os.environ['PATH']}",
        "PGHOST": cluster.host,
        "PGPORT": str(cluster.port),
        "PGUSER": cluster.superuser,
        "PGPASSWORD": cluster.password,
    }
    for command in commands:
        finished = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], env=env, capture_output=True, text=True, check=False
        )
        assert finished.returncode == 0, (command, finished.stderr)
