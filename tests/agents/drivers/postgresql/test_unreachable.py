"""Servers that are down, refuse us, or are not what they should be: each with its code and a sentence."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contracts.errors import RunFailed, StrongroomError
from tests.agents.drivers.postgresql.conftest import Factory
from tests.agents.drivers.postgresql.support import Host, program_dir
from tests.servers.postgres import PostgresCluster


async def refusal(of: Host, **settings: Any) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        await of.driver(of.connection(**settings)).plan_backup()
    return caught.value


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def test_a_server_that_is_down_is_unreachable(host: Host) -> None:
    port = closed_port()
    found = await refusal(host, port=port)
    assert found.code == "engine.unreachable"
    assert f"PostgreSQL at 127.0.0.1:{port} does not answer" in found.message
    assert "Connection refused" in (found.detail or "")


async def test_a_host_name_that_nobody_knows_is_unreachable(host: Host) -> None:
    assert (await refusal(host, host="nobody.invalid")).code == "engine.unreachable"


async def test_a_socket_that_is_not_there_is_unreachable(host: Host, tmp_path: Path) -> None:
    found = await refusal(host, host=str(tmp_path))
    assert found.code == "engine.unreachable"
    assert f"socket {tmp_path}, port" in found.message


async def test_a_server_that_accepts_but_never_answers_is_unreachable(host: Host) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = await refusal(host, port=silent.getsockname()[1], connect_timeout_s=2)
    assert found.code == "engine.unreachable"


async def test_something_else_on_the_port_is_unreachable(host: Host) -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        found = await refusal(host, port=server.sockets[0].getsockname()[1])
    assert found.code == "engine.unreachable"


async def test_a_wrong_password_is_refused_without_telling_it(host: Host) -> None:
    found = await refusal(host, password="utterly-wrong")
    assert found.code == "engine.auth_failed"
    assert "refused the login of role 'postgres'" in found.message
    assert "utterly-wrong" not in f"{found} {found.detail}"


async def test_a_role_that_does_not_exist_is_refused(host: Host) -> None:
    assert (await refusal(host, user="nobody", password="x")).code == "engine.auth_failed"


async def test_no_password_at_all_is_refused(host: Host) -> None:
    connection = host.connection()
    bare = type(connection)(user="postgres", host=connection.host, port=connection.port, passfile="/dev/null")
    with pytest.raises(RunFailed) as caught:
        await host.driver(bare).plan_backup()
    assert caught.value.code == "engine.auth_failed"


async def test_a_missing_maintenance_database_is_named(host: Host) -> None:
    found = await refusal(host, database="no such one")
    assert found.code == "engine.database_not_found"
    assert "has no database 'no such one'" in found.message


async def test_a_demand_for_encryption_that_the_server_cannot_meet_is_an_error(host: Host) -> None:
    assert (await refusal(host, sslmode="require")).code == "engine.unreachable"


async def test_a_maintenance_database_without_the_right_to_connect_is_an_error_of_rights(
    host: Host, new_database: Factory, new_role: Callable[..., tuple[str, str]]
) -> None:
    user, name = new_role("out"), new_database("closed")
    host.cluster.query(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    assert (await refusal(host, user=user[0], password=user[1], database=name)).code == "engine.permission"


async def test_health_tells_version_and_role(host: Host) -> None:
    found = await host.driver().health()
    version = host.cluster.query("SHOW server_version")[0][0]
    assert (found.reachable, found.version, found.role, found.lag_s, found.error) == (True, version, "primary", None, None)


async def test_health_holds_the_error_of_a_server_that_is_down(host: Host) -> None:
    found = await host.driver(host.connection(port=closed_port())).health()
    assert not found.reachable
    assert found.error is not None
    assert found.error.code == "engine.unreachable"


async def test_health_does_not_wait_long_for_a_server_that_hangs(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.drivers.postgresql.health.HEALTH_TIMEOUT_S", 0.3)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        found = await host.driver(host.connection(port=silent.getsockname()[1], connect_timeout_s=60)).health()
    assert found.error is not None
    assert found.error.code == "engine.unreachable"
    assert "did not answer within 0.3 s" in found.error.message


async def test_a_server_that_dies_is_unreachable_and_comes_back(
    postgres_factory: Callable[[], PostgresCluster], tmp_path: Path
) -> None:
    cluster = postgres_factory()
    driver = Host(cluster, tmp_path).driver()
    assert (await driver.health()).reachable
    cluster.kill()
    assert not (await driver.health()).reachable
    await asyncio.to_thread(cluster.start)
    assert (await driver.health()).reachable


async def test_tools_that_are_missing_are_named(host: Host, tmp_path: Path) -> None:
    found = await refusal(host, bin_dir=str(tmp_path))
    assert found.code == "engine.tool_missing"
    assert f"psql is not installed in bin_dir {tmp_path}" in found.message


async def test_tools_that_are_older_than_the_server_are_named(host: Host, tmp_path: Path, real_bin: Path) -> None:
    script = "#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n"
    fake = program_dir(tmp_path / "bin", {"pg_dump": script}, real_bin)
    found = await refusal(host, bin_dir=str(fake))
    assert found.code == "engine.version_skew"
    assert f"only {fake}/pg_dump (9.6.24): install it with apt-get install postgresql-client-15" in found.message


async def test_a_newer_pg_dump_is_used_with_a_warning(
    host: Host, new_database: Factory, tmp_path: Path, real_bin: Path
) -> None:
    name = new_database("db")
    script = "#!/bin/sh\necho 'pg_dump (PostgreSQL) 99beta1'\n"
    fake = program_dir(tmp_path / "bin", {"pg_dump": script}, real_bin)
    plan = await host.driver(host.connection(bin_dir=str(fake))).plan_backup()
    assert plan.tools["pg_dump"] == "99beta1"
    assert any("pg_dump 99beta1 is newer than the server" in warning for warning in plan.warnings)
    assert name in {artifact.name for artifact in plan.artifacts}


async def test_a_tool_that_does_not_say_its_version_is_named(host: Host, tmp_path: Path, real_bin: Path) -> None:
    fake = program_dir(tmp_path / "bin", {"pg_dump": "#!/bin/sh\nexit 3\n"}, real_bin)
    found = await refusal(host, bin_dir=str(fake))
    assert found.code == "engine.tool_missing"
    assert "does not say which version it is" in found.message
