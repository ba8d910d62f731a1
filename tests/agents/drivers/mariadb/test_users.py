"""Restoring accounts: missing ones, existing ones, and nothing at all when it fails."""

from __future__ import annotations

from typing import Any

import pytest

from agents.drivers.mariadb.driver import MariaDBDriver
from contracts.errors import Corrupt, RunFailed
from contracts.records import ArtifactRecord
from tests.agents.drivers.mariadb.content import read_content
from tests.agents.drivers.mariadb.engine import LogicalUnderTest, PhysicalUnderTest
from tests.agents.drivers.playing import Backup, back_up, feed, restore

USERS = "users_"
"""The artifact's name: there is a database called `users`."""


async def test_the_artifact_of_accounts_never_has_the_name_of_a_database(logical: LogicalUnderTest) -> None:
    plan = await logical.driver().plan_backup()
    assert [artifact.kind for artifact in plan.artifacts if artifact.name in ("users", USERS)] == ["database", "users"]


async def test_accounts_that_exist_are_left_as_they_are(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("ALTER USER 'app'@'10.%' IDENTIFIED BY 'newer'")
    logical.server.query("DROP USER locked@localhost")
    changed = accounts(logical)
    (outcome,) = await restore(logical.restoring_driver(), backup, logical.target(), only=[USERS])
    assert outcome["accounts_created"] == ["locked@localhost"]
    assert outcome["accounts_replaced"] == []
    after = accounts(logical)
    assert after.pop(("locked", "localhost"))
    assert after == changed


async def test_rights_on_what_is_not_there_are_named_and_the_others_given(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.empty()
    (outcome,) = await restore(logical.restoring_driver(), backup, logical.target(), only=[USERS])
    assert outcome["warnings"] == [
        "app@10.% got no right on `shop`.`customers`, which does not exist here",
        "writer got no right on `shop`.`place order`, which does not exist here",
    ]
    grants = [row[0] for row in logical.server.query("SHOW GRANTS FOR 'app'@'10.%'")]
    assert any("GRANT SELECT, INSERT ON `shop`.*" in grant for grant in grants)


async def test_a_restoring_account_becomes_no_member_of_the_roles_it_makes(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.empty()
    await restore(logical.restoring_driver(), backup, logical.target())
    assert logical.server.query("SELECT role FROM mysql.roles_mapping WHERE user LIKE 'strongroom%'") == []


async def test_accounts_that_cannot_all_be_made_are_all_as_before(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("ALTER USER 'app'@'10.%' IDENTIFIED BY 'newer'")
    logical.server.query("DROP USER locked@localhost")
    before = accounts(logical)
    record, data = artifact(backup)
    broken = data.replace(b"GRANT SELECT, INSERT ON `shop`", b"GRANT SELECT, NONSENSE ON `shop`")
    assert broken != data
    with pytest.raises(RunFailed) as caught:
        await restore_alone(logical, record, broken)
    assert caught.value.code == "restore.failed"
    assert [secret for secret in logical.secrets if secret in f"{caught.value.message}{caught.value.detail}"] == []
    assert accounts(logical) == before


@pytest.mark.parametrize("keep", [0.3, 0.99])
async def test_a_script_that_ends_early_is_damaged(logical: LogicalUnderTest, keep: float) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("DROP USER locked@localhost")
    before = accounts(logical)
    record, data = artifact(backup)
    with pytest.raises(Corrupt, match="not a whole script of accounts"):
        await restore_alone(logical, record, data[: int(len(data) * keep)])
    assert accounts(logical) == before


async def test_the_restoring_account_needs_rights_that_the_error_names(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM strongroom_restore@localhost")
    logical.server.query("GRANT SELECT ON *.* TO strongroom_restore@localhost")
    with pytest.raises(RunFailed) as caught:
        await logical.restoring_driver().check_restore([artifact(backup)[0]], logical.target())
    assert caught.value.code == "engine.permission"
    assert "GRANT CREATE USER ON *.* TO 'strongroom_restore'@'localhost'" in caught.value.message


async def test_accounts_of_a_physical_backup_can_be_made_in_a_running_server(physical: PhysicalUnderTest) -> None:
    backup = await back_up(physical.driver())
    with physical.server.connect() as connection:
        before = read_content(connection)["accounts"]
    physical.server.query("DROP USER locked@localhost")
    target = LogicalUnderTest.target(physical)  # type: ignore[arg-type]  # without a directory
    (outcome,) = await restore(physical.restoring_driver(), backup, target, only=["users"])
    assert outcome["accounts_created"] == ["locked@localhost"]
    assert accounts(physical) == before


async def test_rights_of_public_are_a_warning(logical: LogicalUnderTest) -> None:
    words = "rights of PUBLIC are not in the backup of accounts"
    assert not any(words in warning for warning in (await logical.driver().plan_backup()).warnings)
    logical.server.query("GRANT SELECT ON shop.orders TO PUBLIC")
    try:
        backup = await back_up(logical.driver())
        assert b"PUBLIC" not in artifact(backup)[1]
        assert any(words in warning for warning in backup.warnings)
    finally:
        logical.server.query("REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC")


def accounts(engine: Any) -> dict[Any, Any]:
    with engine.server.connect() as connection:
        found: dict[Any, Any] = read_content(connection)["accounts"]
        return found


def artifact(backup: Backup) -> tuple[ArtifactRecord, bytes]:
    return next((record, data) for record, data in backup.artifacts if record.kind == "users")


async def restore_alone(logical: LogicalUnderTest, record: ArtifactRecord, data: bytes) -> None:
    driver = logical.restoring_driver()
    assert isinstance(driver, MariaDBDriver)
    async with driver.restore(record, logical.target(replace=True), "20261122T000512Z-cccc") as sink:
        await feed(sink, data)
        await sink.finish()
