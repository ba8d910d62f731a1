"""Fixtures for the driver's tests: a host whose settings point at the session's cluster, and a database with everything."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.agents.drivers.postgresql.support import Host, database_names, quoted, run_sql
from tests.servers.directories import server_directory
from tests.servers.postgres import PostgresCluster
from tests.servers.tools import pg_bin

_RICH = Path(__file__).with_name("rich.sql")

_INVOLVED = """
SELECT d.datname FROM pg_database d WHERE d.datname = 'postgres' OR d.oid IN (
  SELECT s.dbid FROM pg_shdepend s JOIN pg_roles r ON r.oid = s.refobjid WHERE r.rolname = %s)
"""

Factory = Callable[..., str]


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory: databases are hundreds of small files, and so are scratch servers."""
    with server_directory("pg", in_memory=True) as directory:
        yield directory


@pytest.fixture
def host(postgres: PostgresCluster, tmp_path: Path) -> Host:
    return Host(postgres, tmp_path)


@pytest.fixture
def fresh_name(postgres: PostgresCluster) -> Iterator[Factory]:
    """`fresh_name("x")`: a name for a database that does not exist yet and goes after the test, like all that begin so."""
    prefixes: list[str] = []

    def make(label: str = "db") -> str:
        prefix = f"{label}_{secrets.token_hex(3)}"
        prefixes.append(prefix)
        return prefix

    yield make
    for name in database_names(postgres):
        if any(name.startswith(prefix[:20]) for prefix in prefixes):
            postgres.query(f"ALTER DATABASE {quoted(name)} IS_TEMPLATE false")
            postgres.query(f"DROP DATABASE {quoted(name)} WITH (FORCE)")


@pytest.fixture
def new_database(postgres: PostgresCluster, fresh_name: Factory) -> Factory:
    """`new_database("x", "CREATE TABLE …")`: the name of a database with that in it, gone after the test."""

    def make(label: str = "db", script: str = "", options: str = "") -> str:
        name = fresh_name(label)
        postgres.query(f"CREATE DATABASE {quoted(name)} {options}")
        if script:
            run_sql(postgres, name, script)
        return name

    return make


@pytest.fixture
def new_role(postgres: PostgresCluster) -> Iterator[Callable[..., tuple[str, str]]]:
    """`new_role("x", "CREATEDB")`: (name, password) of a login role that is gone after the test with all it owns."""
    names: list[str] = []

    def make(label: str = "role", attributes: str = "") -> tuple[str, str]:
        name, password = postgres.create_role(f"{label}_{secrets.token_hex(3)}", attributes)
        names.append(name)
        return name, password

    yield make
    for name in names:
        for (database,) in postgres.query(_INVOLVED, [name]):
            run_sql(postgres, database, f"DROP OWNED BY {quoted(name)}")
        for (database,) in postgres.query("SELECT datname FROM pg_database WHERE pg_get_userbyid(datdba) = %s", [name]):
            postgres.query(f"DROP DATABASE {quoted(database)} WITH (FORCE)")
        postgres.query(f"DROP ROLE {quoted(name)}")


@pytest.fixture
def rich_database(new_database: Factory) -> str:
    """A database with one of everything that a dump may hold."""
    return new_database("rich", _RICH.read_text())


@pytest.fixture
def real_bin() -> Path:
    """Where the real programs are."""
    return Path(pg_bin("pg_dump")).parent
