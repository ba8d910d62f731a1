"""Restoring databases: under other names, into their place as a whole, and undone when something goes wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from agents.drivers.mariadb import placing
from agents.drivers.mariadb.databases import REPLACED, UNFINISHED
from agents.drivers.mariadb.placing import Placing
from agents.drivers.pipes import PipedRestore
from contracts.errors import Conflict, Corrupt, InvalidInput, RunFailed
from contracts.records import ArtifactRecord, RestoreTarget
from tests.agents.drivers.mariadb.engine import LogicalUnderTest
from tests.agents.drivers.playing import Backup, back_up, feed, restore
from tests.servers.directories import server_directory
from tests.servers.mariadb import MariaDBServer


def renaming(**names: str) -> RestoreTarget:
    return RestoreTarget(project="acme", service="orders", node="db-1", rename=names)


async def test_a_database_comes_back_under_another_name_beside_the_original(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    before = await logical.content()
    (outcome,) = await restore(logical.restoring_driver(), backup, renaming(shop="sh`op copy"), only=["shop"])
    assert outcome == {"database": "sh`op copy", "replaced": False, "warnings": []}
    after = await logical.content()
    copy = after["databases"].pop("sh`op copy")
    assert after == before
    definition = copy["tables"]["numbered"][0]
    assert "nextval(`sh``op copy`.`order numbers`)" in definition
    assert renamed(copy, "sh``op copy", "shop") == before["databases"]["shop"]
    assert await logical.leftovers() == []


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ({"nope": "x"}, "no database 'nope'"),
        ({"shop": "mysql"}, "the server's own"),
        ({"shop": ""}, "cannot be the name"),
        ({"shop": "x" * 65}, "longer than the 64"),
        ({"shop": "large"}, "would both be restored as 'large'"),
        ({"users_": "x"}, "no database 'users_'"),
    ],
)
async def test_names_that_cannot_be_are_refused(logical: LogicalUnderTest, names: dict[str, str], words: str) -> None:
    backup = await back_up(logical.driver())
    with pytest.raises(InvalidInput, match=words) as caught:
        await logical.restoring_driver().check_restore(backup.records, renaming(**names))
    assert caught.value.field == "rename"


async def test_a_dump_with_an_error_in_its_routines_changes_nothing(logical: LogicalUnderTest) -> None:
    """Only seen when the tables have changed places already: everything goes back, triggers and views too."""
    backup = await back_up(logical.driver())
    await logical.change()
    before = await logical.content()
    record, data = artifact(backup, "shop")
    broken = data.replace(b"PROCEDURE `place order`", b"PROCEDUR `place order`")
    assert broken != data
    with pytest.raises(RunFailed, match="does not understand the dump") as caught:
        await restore_alone(logical, record, broken)
    assert caught.value.code == "restore.failed"
    assert await logical.content() == without_broken_views(before)
    assert await logical.leftovers() == []


async def test_a_server_that_crashes_while_a_database_takes_its_place_has_the_old_one_afterwards(
    logical: LogicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("CREATE TABLE shop.newer (id int)")
    before = await logical.content()

    async def crash(*_: Any) -> None:
        await logical.kill()
        logical.server.start()  # in this thread, with which it would end
        raise RunFailed("engine.unreachable", "it crashed")

    monkeypatch.setattr(Placing, "_make_views", crash)
    with pytest.raises(RunFailed, match="it crashed"):
        await restore_alone(logical, *artifact(backup, "shop"))
    assert await logical.content() == before
    assert await logical.leftovers() == []


async def test_events_do_not_run_before_the_database_is_in_its_place(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("DROP DATABASE shop")
    seen: list[Any] = []

    async def look() -> None:
        seen.extend(logical.server.query("SELECT event_schema, event_name FROM information_schema.events"))
        seen.extend(logical.server.query("SELECT schema_name FROM information_schema.schemata WHERE schema_name = 'shop'"))

    await restore_alone(logical, *artifact(backup, "shop"), confirm=look)
    assert seen == []
    assert len(logical.server.query("SHOW EVENTS FROM shop")) == 2


async def test_a_target_that_somebody_fills_meanwhile_is_left_alone(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("DROP DATABASE shop")

    async def fill() -> None:
        logical.server.query("CREATE DATABASE shop COMMENT 'theirs'")
        logical.server.query("CREATE TABLE shop.theirs (id int)")

    with pytest.raises(Conflict) as caught:
        await restore_alone(logical, *artifact(backup, "shop"), replace=False, confirm=fill)
    assert caught.value.code == "restore.target_not_empty"
    assert logical.server.query("SHOW TABLES FROM shop") == [("theirs",)]
    assert await logical.leftovers() == []


async def test_an_empty_database_needs_no_replace(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    before = await logical.content()
    logical.server.query("DROP DATABASE shop")
    logical.server.query("CREATE DATABASE shop CHARACTER SET latin1")
    await restore(logical.restoring_driver(), backup, logical.target(), only=["shop"])
    assert await logical.content() == before


async def test_tables_that_are_in_use_are_not_replaced(logical: LogicalUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placing, "LOCK_WAIT_S", 1.0)
    backup = await back_up(logical.driver())
    before = await logical.content()
    with logical.server.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM orders")
        with pytest.raises(RunFailed, match=r"sessions go on using tables of database 'shop'.*end their transactions"):
            await restore_alone(logical, *artifact(backup, "shop"))
    assert await logical.content() == before
    assert await logical.leftovers() == []


async def test_foreign_keys_of_other_databases_keep_a_database_from_being_replaced(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.server.query("CREATE TABLE large.child (id int, FOREIGN KEY (id) REFERENCES shop.customers (id))")
    target = logical.target(replace=True)
    with pytest.raises(RunFailed, match=r"have foreign keys into it \(large.child\)") as caught:
        await logical.restoring_driver().check_restore(backup.records, target)
    assert caught.value.code == "restore.failed"


async def test_a_view_that_refers_to_what_is_not_there_is_left_out_with_a_warning(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    logical.empty()
    (outcome,) = await restore(logical.restoring_driver(), backup, logical.target(), only=["Shop"])
    what = "view 'across' of database 'Shop' could not be made"
    assert outcome["warnings"] == [f"{what}: it refers to a table, function or database that does not exist here"]
    assert logical.server.query("SHOW TABLES FROM Shop") == [("Orders.2026",)]


async def test_a_broken_view_is_not_in_the_backup_and_named(logical: LogicalUnderTest) -> None:
    logical.server.query("DROP VIEW shop.taxed")
    backup = await back_up(logical.driver())
    assert (
        "view 'a view of a later view' of 'shop' is not in the backup: it refers to what does not exist any more"
        in backup.warnings
    )
    assert b"CREATE TABLE `customers`" in artifact(backup, "shop")[1]


async def test_what_killed_attempts_left_is_dropped_by_the_next_one(logical: LogicalUnderTest) -> None:
    backup = await back_up(logical.driver())
    for name, comment in (
        ("shop__restoring_20261121t000000zaaaa", UNFINISHED),
        ("shop__replaced_20261121t000000zaaaa", REPLACED),
        ("shop__restoring_theirs", "not ours"),
    ):
        logical.server.query(f"CREATE DATABASE `{name}` COMMENT %s", (f"{comment}20261121T000000Z-aaaa",))
    await restore(logical.restoring_driver(), backup, logical.target(replace=True), only=["shop"])
    assert await logical.leftovers() == ["shop__restoring_theirs"]


@pytest.mark.parametrize("end", ["tables", "mark"])
async def test_a_dump_that_ends_between_two_statements_is_damaged(logical: LogicalUnderTest, end: str) -> None:
    """The client itself would be content with it."""
    backup = await back_up(logical.driver())
    before = await logical.content()
    record, data = artifact(backup, "shop")
    cut = data.index(b"\n--\n-- Dumping events for") if end == "tables" else data.index(b"-- Dump completed")
    with pytest.raises(Corrupt, match="is not whole"):
        await restore_alone(logical, record, data[:cut])
    assert await logical.content() == before


async def test_a_dump_of_a_newer_server_is_refused_beforehand(logical: LogicalUnderTest) -> None:
    record = ArtifactRecord(
        name="x", kind="database", format="sql", object_key="k", stored_bytes=1, plain_bytes=1, sha256="0",
        attributes={"server_version": "99.1.2-MariaDB"},
    )  # fmt: skip
    with pytest.raises(RunFailed, match=r"is of MariaDB 99.1.2-MariaDB and the target has .*restore into 99.1 or newer"):
        await logical.restoring_driver().check_restore([record], logical.target())


async def test_line_ends_of_windows_stay_in_routines(logical: LogicalUnderTest) -> None:
    """Where they are part of texts, too."""
    for statement in (
        "CREATE DATABASE crlf",
        "CREATE TABLE crlf.t (id int, x text DEFAULT 'a\r\nb' COMMENT 'c\r\nd')",
        "CREATE FUNCTION crlf.f() RETURNS text DETERMINISTIC\r\nRETURN 'a\r\nb'",
        "CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW\r\nSET @x = 'a\r\nb'",
        "CREATE VIEW crlf.v AS SELECT 'a\r\nb' AS x",
        "CREATE EVENT crlf.e ON SCHEDULE EVERY 1 DAY DO\r\nSET @x = 'a\r\nb'",
    ):
        logical.server.query(statement, database=None if "DATABASE" in statement else "crlf")
    before = await logical.content()
    backup = await back_up(logical.driver())
    await restore(logical.restoring_driver(), backup, logical.target(replace=True), only=["crlf"])
    assert await logical.content() == before


async def test_triggers_that_name_their_database_come_back_without_it_and_under_another_name(
    logical: LogicalUnderTest,
) -> None:
    """They are dumped in their authors' words, but must not be made at the target before the tables are there."""
    for statement in (
        "CREATE DATABASE `od.d`",
        "CREATE TABLE `od.d`.t (id int)",
        "CREATE TABLE `od.d`.log (id int)",
        "CREATE TRIGGER `od.d`.`a.``b` AFTER INSERT ON `od.d` . t FOR EACH ROW INSERT INTO log VALUES (NEW.id)",
        "CREATE TRIGGER\n`od.d`.second\nbefore delete\non\n`od.d`.`t`\nfor each row set @x = 1",
    ):
        logical.server.query(statement)
    backup = await back_up(logical.driver())
    before = await logical.content()
    await restore(logical.restoring_driver(), backup, renaming(**{"od.d": "copy"}), only=["od.d"])
    after = await logical.content()
    assert len(after["databases"].pop("copy")["triggers"]) == 2
    assert after == before
    logical.server.query("INSERT INTO copy.t VALUES (7)")
    assert logical.server.query("SELECT * FROM copy.log") == [(7,)]
    logical.server.query("DROP DATABASE `od.d`")
    await restore(logical.restoring_driver(), backup, logical.target(), only=["od.d"])
    assert len(logical.server.query("SHOW TRIGGERS FROM `od.d`")) == 2


async def test_a_server_that_keeps_names_in_lower_case_gets_all_tables(logical: LogicalUnderTest, tmp_path: Path) -> None:
    """And no placeholder stays of a view that cannot be made."""
    logical.server.run_script("CREATE VIEW Shop.Fine AS SELECT id AS One FROM Shop.`Orders.2026`")
    logical.server.query("INSERT INTO Shop.`Orders.2026` VALUES (1)")
    backup = await back_up(logical.driver())
    host = tmp_path / "other"
    host.mkdir()
    with server_directory("mariadb", in_memory=True) as directory:
        server = MariaDBServer(directory, {"lower-case-table-names": "1"})
        try:
            server.start()
            other = LogicalUnderTest(server, host, logical.options)
            other.make_accounts()
            (outcome,) = await restore(other.restoring_driver(), backup, other.target(), only=["Shop"])
            assert outcome["database"] == "shop"
            why = "it refers to a table, function or database that does not exist here"
            assert outcome["warnings"] == [f"view 'across' of database 'shop' could not be made: {why}"]
            assert server.query("SHOW FULL TABLES FROM shop") == [("fine", "VIEW"), ("orders.2026", "BASE TABLE")]
            assert server.query("SELECT * FROM shop.fine") == [(1,)]
            assert await other.leftovers() == []
            with pytest.raises(InvalidInput, match="would both be restored as 'shop'"):
                await other.restoring_driver().check_restore(backup.records, other.target())
        finally:
            server.kill()


async def test_a_scratch_database_that_somebody_drops_does_not_replace_a_full_one_by_an_empty_one(
    logical: LogicalUnderTest,
) -> None:
    backup = await back_up(logical.driver())
    before = await logical.content()

    async def drop() -> None:
        ((name,),) = logical.server.query("SHOW DATABASES LIKE 'shop\\_\\_restoring%%'")
        logical.server.query(f"DROP DATABASE `{name}`")

    with pytest.raises(RunFailed, match="somebody has dropped database 'shop__restoring") as caught:
        await restore_alone(logical, *artifact(backup, "shop"), confirm=drop)
    assert caught.value.code == "restore.failed"
    assert await logical.content() == before
    assert await logical.leftovers() == []


async def test_what_a_restore_that_was_cut_off_has_left_at_the_target_is_named_and_can_be_replaced(
    logical: LogicalUnderTest,
) -> None:
    backup = await back_up(logical.driver())
    before = await logical.content()
    logical.server.query("ALTER DATABASE shop COMMENT %s", (f"{UNFINISHED}20261121T000000Z-aaaa",))
    with pytest.raises(Conflict, match="which a restore that was cut off has left") as caught:
        await logical.restoring_driver().check_restore([artifact(backup, "shop")[0]], logical.target())
    assert caught.value.code == "restore.target_not_empty"
    await restore(logical.restoring_driver(), backup, logical.target(replace=True), only=["shop"])
    assert await logical.content() == before  # without that comment


async def test_a_table_with_triggers_that_is_in_use_keeps_all_as_it_was(
    logical: LogicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What cannot be replaced cannot be undone either: nothing has been done to it then."""
    monkeypatch.setattr(placing, "LOCK_WAIT_S", 1.0)
    monkeypatch.setattr(placing, "_UNDO_LOCK_WAIT_S", 1.0)
    backup = await back_up(logical.driver())
    logical.server.query("ALTER DATABASE shop CHARACTER SET latin1")
    before = await logical.content()
    with logical.server.connect("shop") as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("SELECT * FROM customers")
        with pytest.raises(RunFailed, match="end their transactions"):
            await restore_alone(logical, *artifact(backup, "shop"))
    assert await logical.content() == before
    assert await logical.leftovers() == []


async def test_a_session_that_holds_a_table_in_its_new_place_does_not_hold_up_the_restore_for_ever(
    logical: LogicalUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default a server waits for a day."""
    monkeypatch.setattr(placing, "LOCK_WAIT_S", 1.0)
    backup = await back_up(logical.driver())
    before = await logical.content()
    exchange = Placing._exchange
    with logical.server.connect() as connection, connection.cursor() as cursor:

        async def exchange_and_hold(self: Placing, *contents: Any) -> None:
            await exchange(self, *contents)
            cursor.execute("LOCK TABLES shop.customers WRITE")

        release = Placing.undo

        async def let_go_and_undo(self: Placing) -> None:
            cursor.execute("UNLOCK TABLES")
            await release(self)

        monkeypatch.setattr(Placing, "_exchange", exchange_and_hold)
        monkeypatch.setattr(Placing, "undo", let_go_and_undo)
        async with asyncio.timeout(30):
            with pytest.raises(RunFailed, match="loads 'shop' ended with status 1"):
                await restore_alone(logical, *artifact(backup, "shop"))
    assert await logical.content() == before
    assert await logical.leftovers() == []


def renamed(value: Any, old: str, new: str) -> Any:
    """The same with another name in all its texts."""
    if isinstance(value, dict):
        return {key: renamed(each, old, new) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(renamed(each, old, new) for each in value)
    return value.replace(old, new) if isinstance(value, str) else value


def artifact(backup: Backup, name: str) -> tuple[ArtifactRecord, bytes]:
    return next((record, data) for record, data in backup.artifacts if record.name == name)


def without_broken_views(content: Any) -> Any:
    """A view that was broken before cannot be made again."""
    del content["databases"]["shop"]["views"]["a view of a later view"]
    return content


async def restore_alone(
    logical: LogicalUnderTest, record: ArtifactRecord, data: bytes, *, replace: bool = True, confirm: Any = None
) -> None:
    driver, more = logical.restoring_driver(), {"confirm": confirm} if confirm else {}
    async with driver.restore(record, logical.target(replace=replace), "20261122T000512Z-cccc", **more) as sink:
        assert isinstance(sink, PipedRestore)
        await feed(sink, data)
        await sink.finish()
