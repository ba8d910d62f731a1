"""What a script of accounts says, and what a restore makes of it."""

from __future__ import annotations

import time

import pytest

from agents.drivers.mariadb.account_script import Account, parse_account, parse_accounts, plan_accounts, undo_accounts

SCRIPT = r"""/*M!999999\- enable the sandbox mode */
-- MariaDB dump; with a semicolon
/*!40101 SET NAMES utf8mb4 */;
CREATE USER IF NOT EXISTS `app`@`10.%` IDENTIFIED BY PASSWORD '*AB;CD';
CREATE USER IF NOT EXISTS `o'die```@`localhost` REQUIRE SSL;
SELECT COALESCE(CURRENT_ROLE(),'NONE') into @current_role;
CREATE ROLE IF NOT EXISTS mariadb_dump_import_role;
GRANT mariadb_dump_import_role TO CURRENT_USER();
SET ROLE mariadb_dump_import_role;
/*!80001 CREATE ROLE IF NOT EXISTS 'r' */;
/*M!100005 CREATE ROLE IF NOT EXISTS 'r' WITH ADMIN mariadb_dump_import_role */;
/*M!100005 CREATE ROLE IF NOT EXISTS 'r' WITH ADMIN mariadb_dump_import_role */;
/*M!100005 GRANT 'r' TO 'app'@'10.%' WITH ADMIN OPTION */;
GRANT SELECT ON `it's TO ``x```.* TO `app`@`10.%` WITH GRANT OPTION;
GRANT SELECT (`id`) ON `x`.`p` TO `r`;
GRANT PROXY ON ``@`%` TO `o'die```@`localhost`;
/*M!100005 SET DEFAULT ROLE 'r' FOR 'app'@'10.%' */;
/*!80001 ALTER USER 'app'@'10.%' DEFAULT ROLE 'r' */;
SET DEFAULT ROLE NONE FOR 'o\'die`'@'localhost';
SET ROLE NONE;
DROP ROLE mariadb_dump_import_role;
/*M!100203 EXECUTE IMMEDIATE CONCAT('SET ROLE ', @current_role) */;
-- Dump completed on 2026-11-22
"""
APP, ODD, ROLE, US = Account("app", "10.%"), Account("o'die`", "localhost"), Account("r", ""), Account("us", "localhost")


def test_every_statement_is_known_by_the_account_it_is_about() -> None:
    steps = parse_accounts(SCRIPT)
    assert [step.account for step in steps] == [APP, ODD, ROLE, APP, APP, ROLE, ODD, APP, ODD]
    assert [step.account for step in steps if step.creates] == [APP, ODD, ROLE]
    assert [step.on for step in steps if step.on] == ["`x`.`p`", "``@`%`"]
    assert [step.role for step in steps if step.role] == ["r"]


def test_accounts_that_are_missing_are_made_and_others_are_kept() -> None:
    plan = plan_accounts(parse_accounts(SCRIPT), [], existing={APP}, protected={US}, ourselves=US, replace=False)
    assert (plan.created, plan.replaced, plan.kept) == ([ODD, ROLE], [], [APP])
    assert plan.statements == [
        "CREATE USER IF NOT EXISTS 'o''die`'@'localhost' REQUIRE SSL",
        "CREATE ROLE IF NOT EXISTS 'r'",
        r"SET DEFAULT ROLE NONE FOR 'o\'die`'@'localhost'",
        "REVOKE 'r' FROM 'us'@'localhost'",
    ]
    assert [step.account for step in plan.grants] == [ROLE, ODD]


def test_a_role_that_is_replaced_is_given_again_to_those_who_keep_it() -> None:
    before = parse_accounts(
        "CREATE USER IF NOT EXISTS `kept`@`%`; CREATE ROLE IF NOT EXISTS 'r'; GRANT `r` TO `kept`@`%`;"
        "GRANT INSERT ON `y`.* TO `r`;"
    )
    kept = Account("kept", "%")
    plan = plan_accounts(
        parse_accounts(SCRIPT), before, existing={kept, ROLE, APP}, protected={US}, ourselves=US, replace=True
    )
    assert plan.replaced == [APP, ROLE]
    assert "CREATE OR REPLACE ROLE 'r'" in plan.statements
    assert "GRANT `r` TO `kept`@`%`" in plan.statements
    undo = undo_accounts(plan, before, US)
    assert undo.statements == [
        "DROP USER IF EXISTS 'o''die`'@'localhost'",
        "CREATE OR REPLACE ROLE 'r'",
        "GRANT INSERT ON `y`.* TO `r`",
        "GRANT `r` TO `kept`@`%`",
        "REVOKE 'r' FROM 'us'@'localhost'",
    ]


def test_administrators_and_the_restoring_account_are_never_replaced() -> None:
    script = "CREATE USER IF NOT EXISTS `root`@`%`; CREATE USER IF NOT EXISTS `us`@`localhost`;"
    root = Account("root", "%")
    plan = plan_accounts(parse_accounts(script), [], existing={root, US}, protected={US}, ourselves=US, replace=True)
    assert (plan.statements, plan.kept) == ([], [root, US])


@pytest.mark.parametrize(
    "statement", ["DROP DATABASE shop", "GRANT SELECT ON x.* 'nobody'", "CREATE USER `a`@`b`", "INSERT INTO t VALUES (1)"]
)
def test_a_statement_that_does_not_belong_there_is_refused(statement: str) -> None:
    with pytest.raises(ValueError, match="does not belong there"):
        parse_accounts(f"{SCRIPT}{statement};")


def test_an_account_is_read_from_its_right_end() -> None:
    assert parse_account("a@b@10.%") == Account("a@b", "10.%")


def test_many_accounts_take_no_time() -> None:
    """As a provider of web hosting has them; this took hours when each was compared with each."""
    count = 20_000
    script = "".join(
        f"CREATE USER IF NOT EXISTS `u{number}`@`%` IDENTIFIED BY PASSWORD '*X';\n"
        f"GRANT USAGE ON *.* TO `u{number}`@`%`;\nGRANT SELECT ON `d`.`t{number}` TO `u{number}`@`%`;\n"
        for number in range(count)
    )
    began = time.process_time()
    steps = parse_accounts(script)
    existing = [Account(f"u{number}", "%") for number in range(count // 2)]
    ourselves = Account("restore", "localhost")
    plan = plan_accounts(steps, [], existing=existing, protected=(), ourselves=ourselves, replace=True)
    assert (len(plan.created), len(plan.replaced), len(plan.grants)) == (count // 2, count // 2, count)
    assert time.process_time() - began < 20
