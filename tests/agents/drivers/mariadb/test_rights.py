"""Rights: what is missing is told before anything is dumped, with the statement that grants it."""

from __future__ import annotations

import pytest

from agents.drivers.mariadb.rights import DUMP_RIGHTS, parse_grants
from contracts.errors import RunFailed
from contracts.services import MariaDBOptions
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import back_up, restore

BACKUP = "strongroom_backup@localhost"


@pytest.mark.parametrize("right", ["RELOAD", "PROCESS", "BINLOG MONITOR"])
async def test_a_right_that_mariadb_backup_would_miss_is_named(restoring: PhysicalUnderTest, right: str) -> None:
    """It misses BINLOG MONITOR only when all data were sent."""
    restoring.server.query(f"REVOKE {right} ON *.* FROM {BACKUP}")
    with pytest.raises(RunFailed) as caught:
        await restoring.driver().plan_backup()
    assert caught.value.code == "engine.permission"
    assert f"GRANT {right} ON *.* TO 'strongroom_backup'@'localhost'" in caught.value.message
    assert "a physical backup needs" in caught.value.message


@pytest.mark.parametrize("right", ["SHOW VIEW", "TRIGGER", "EVENT", "RELOAD", "BINLOG MONITOR"])
async def test_a_right_that_mariadb_dump_would_miss_is_named(logical: LogicalUnderTest, right: str) -> None:
    """It leaves triggers out without a word if it may not see them."""
    logical.server.query(f"REVOKE {right} ON *.* FROM {BACKUP}")
    with pytest.raises(RunFailed) as caught:
        await logical.driver().plan_backup()
    assert caught.value.code == "engine.permission"
    assert f"GRANT {right} ON *.* TO 'strongroom_backup'@'localhost'" in caught.value.message


async def test_a_view_that_calls_a_function_needs_execute(logical: LogicalUnderTest) -> None:
    logical.server.query(f"REVOKE EXECUTE ON *.* FROM {BACKUP}")
    with pytest.raises(RunFailed, match=r"view 'a view of a later view' of .* GRANT EXECUTE ON \*\.\* TO 'strong") as caught:
        await back_up(logical.driver())
    assert caught.value.code == "engine.permission"


async def test_rights_on_one_database_suffice_for_a_backup_of_that_one(logical: LogicalUnderTest) -> None:
    logical.server.query(f"REVOKE SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON *.* FROM {BACKUP}")
    logical.server.query(f"GRANT SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON shop.* TO {BACKUP}")
    logical.server.query(f"GRANT SELECT ON mysql.proc TO {BACKUP}")
    one = logical.driver_of(logical.connection("backup"), MariaDBOptions(method="logical", include=["shop"], users=False))
    backup = await back_up(one)
    assert [record.name for record in backup.records] == ["shop"]
    everything = logical.driver_of(logical.connection("backup"), MariaDBOptions(method="logical", users=False))
    with pytest.raises(RunFailed, match="lacks SELECT, which a backup of all databases needs"):
        await everything.plan_backup()
    with_users = logical.driver_of(logical.connection("backup"), MariaDBOptions(method="logical", include=["shop"]))
    with pytest.raises(RunFailed, match=r"GRANT SELECT ON `mysql`.\* TO 'strongroom_backup'@'localhost'"):
        await with_users.plan_backup()


async def test_the_rights_in_deploy_restore_databases(logical: LogicalUnderTest) -> None:
    """Without those that only restores of accounts need."""
    before = (await logical.content())["databases"]
    backup = await back_up(logical.driver())
    logical.server.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM strongroom_restore@localhost")
    logical.apply_recipe("restore-account.sql")
    databases = [record.name for record in backup.records if record.kind == "database"]
    await logical.change()
    await restore(logical.restoring_driver(), backup, logical.target(replace=True), only=databases)
    assert (await logical.content())["databases"] == before


async def test_rights_that_a_restore_lacks_are_named(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM strongroom_restore@localhost")
    logical.apply_recipe("restore-account.sql")
    logical.server.query("REVOKE SET USER, TRIGGER ON *.* FROM strongroom_restore@localhost")
    with pytest.raises(RunFailed) as caught:
        await logical.restoring_driver().check_restore(backup.records[:1], logical.target(replace=True))
    assert "GRANT TRIGGER, SET USER ON *.* TO 'strongroom_restore'@'localhost'" in caught.value.message


def test_grants_on_databases_are_patterns() -> None:
    grants = parse_grants(
        [
            "GRANT RELOAD, PROCESS ON *.* TO `a`@`b` IDENTIFIED BY PASSWORD '*X'",
            r"GRANT SELECT, TRIGGER ON `sh\_p%`.* TO `a`@`b`",
            "GRANT SELECT ON `x``y`.* TO `a`@`b`",
            "GRANT SELECT (`id`), INSERT ON `shop`.`t` TO `a`@`b`",
            "GRANT `r` TO `a`@`b`",
            "SET DEFAULT ROLE `r` FOR `a`@`b`",
        ]
    )
    assert grants.everywhere == {"RELOAD", "PROCESS"}
    assert grants.has("SELECT", "sh_p2")
    assert grants.has("SELECT", "x`y")
    assert not grants.has("SELECT", "shop")
    assert not grants.has("SELECT")
    assert grants.missing(DUMP_RIGHTS, "sh_p") == ["SHOW VIEW", "EVENT"]
    assert parse_grants(["GRANT ALL PRIVILEGES ON *.* TO `a`@`b` WITH GRANT OPTION"]).missing(DUMP_RIGHTS, "x") == []
