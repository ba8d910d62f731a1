"""Which roles a restore makes, and how."""

from __future__ import annotations

import pytest

from agents.drivers.postgresql.globals import GlobalsPlan, plan_globals

SCRIPT = r"""
--
-- PostgreSQL database cluster dump
--

\restrict abcdef

SET default_transaction_read_only = off;

SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;

CREATE ROLE app;
ALTER ROLE app WITH NOSUPERUSER INHERIT NOCREATEROLE LOGIN NOREPLICATION NOBYPASSRLS PASSWORD 'SCRAM-SHA-256$4096:a;b$c:d';
COMMENT ON ROLE app IS 'it''s; the app';
CREATE ROLE "odd ""role";
ALTER ROLE "odd ""role" WITH SUPERUSER INHERIT CREATEROLE NOLOGIN REPLICATION BYPASSRLS CONNECTION LIMIT 3;
CREATE ROLE postgres;
ALTER ROLE postgres WITH SUPERUSER INHERIT CREATEROLE CREATEDB LOGIN REPLICATION BYPASSRLS PASSWORD 'md5aaa';

ALTER ROLE app SET search_path TO 'app', 'public';
ALTER ROLE postgres SET work_mem TO '1GB';
ALTER ROLE app IN DATABASE x SET work_mem TO '1GB';

GRANT app TO "odd ""role" WITH ADMIN OPTION GRANTED BY postgres;
GRANT app TO postgres GRANTED BY "odd ""role";
GRANT pg_monitor TO app GRANTED BY "odd ""role";
GRANT SET ON PARAMETER log_min_messages TO app;

CREATE TABLESPACE fast OWNER app LOCATION '/fast';
CREATE TABLESPACE slow OWNER app LOCATION '/slow';
GRANT ALL ON TABLESPACE fast TO app;

\unrestrict abcdef
-- PostgreSQL database cluster dump complete
"""

TABLESPACE_WARNING = (
    "the target lacks tablespaces, which a restore does not make: fast; "
    "what lay in them goes to the default one unless they are created before"
)


def plan(existing: set[str], *, superuser: bool = True, script: str = SCRIPT) -> GlobalsPlan:
    return plan_globals(script, existing_roles=existing, existing_tablespaces={"pg_default", "slow"}, superuser=superuser)


def test_missing_roles_come_with_everything_that_is_theirs_and_existing_ones_stay() -> None:
    found = plan({"postgres"})
    assert found.created == ["app", 'odd "role']
    assert found.kept == ["postgres"]
    assert found.statements == [
        "CREATE ROLE app",
        "ALTER ROLE app WITH INHERIT NOCREATEROLE LOGIN PASSWORD 'SCRAM-SHA-256$4096:a;b$c:d'",
        "COMMENT ON ROLE app IS 'it''s; the app'",
        'CREATE ROLE "odd ""role"',
        'ALTER ROLE "odd ""role" WITH SUPERUSER INHERIT CREATEROLE NOLOGIN REPLICATION BYPASSRLS CONNECTION LIMIT 3',
        "ALTER ROLE app SET search_path TO 'app' , 'public'",
        'GRANT app TO "odd ""role" WITH ADMIN OPTION',
        'GRANT pg_monitor TO app GRANTED BY "odd ""role"',
        "GRANT SET ON PARAMETER log_min_messages TO app",
    ]


def test_what_is_left_out_is_said() -> None:
    assert plan({"postgres"}).warnings == [
        "existing roles are not changed, so these memberships were left out: app to postgres",
        TABLESPACE_WARNING,
    ]


def test_nothing_is_done_when_all_roles_exist() -> None:
    found = plan({"postgres", "app", 'odd "role'})
    assert (found.statements, found.created) == ([], [])


def test_only_a_superuser_may_name_another_grantor() -> None:
    assert "GRANT pg_monitor TO app" in plan({"postgres"}, superuser=False).statements


@pytest.mark.parametrize("script", ["CREATE ROLE;", "CREATE ROLE 'a';", "ALTER ROLE", "GRANT a TO;"])
def test_a_damaged_script_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match=r"no name|middle"):
        plan(set(), script=script)
