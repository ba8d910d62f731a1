"""Comparing two databases: equal copies are equal, and whatever is not equal is found and named."""

from __future__ import annotations

import msgspec
import pytest

from daemon.demo.compare import Difference, How, compare_snapshots
from daemon.demo.processes import run_program
from daemon.demo.programs import Programs
from daemon.demo.psql import Psql
from daemon.demo.snapshot import DatabaseSnapshot, TableContent, take_snapshot


async def test_a_copy_is_equal(copy: Psql, shop_snapshot: DatabaseSnapshot) -> None:
    comparison = compare_snapshots(shop_snapshot, await take_snapshot(copy))
    assert comparison.differences == []
    assert comparison.equal
    assert comparison.rows == sum(table.rows for table in shop_snapshot.tables.values()) > 20_000
    assert all(table.equal and table.rows == table.restored_rows for table in comparison.tables)


async def test_the_order_of_rows_does_not_matter(copy: Psql, shop_snapshot: DatabaseSnapshot) -> None:
    await copy.run(
        "CREATE TABLE kept AS TABLE analytics.twins; TRUNCATE analytics.twins;"
        "INSERT INTO analytics.twins SELECT * FROM kept ORDER BY random(); DROP TABLE kept"
    )
    assert compare_snapshots(shop_snapshot, await take_snapshot(copy)).equal


async def test_a_dump_restored_into_another_cluster_is_equal_in_everything(
    shop: Psql, other_server: Psql, programs: Programs
) -> None:
    """Database settings, grants and comment included, which belong to the database as a whole."""
    roles = 'CREATE ROLE shop_owner; CREATE ROLE shop_reader; CREATE ROLE "shop clerk"'
    await other_server.run(roles)
    dump = [programs.pg_dump, "-Fc", "-C"]
    ended, archive = await run_program(dump, environment=shop.cluster.environment(shop.database))
    assert ended.status == 0, ended.stderr_tail
    restore = [programs.pg_restore, "-C", "--exit-on-error", "-d", "postgres"]
    ended, _ = await run_program(restore, environment=other_server.cluster.environment("postgres"), given=archive)
    assert ended.status == 0, ended.stderr_tail
    restored = await take_snapshot(other_server.of(shop.database))
    comparison = compare_snapshots(await take_snapshot(shop), restored)
    assert comparison.differences == []


CHANGES = {
    "a cell": (
        "UPDATE shop.products SET weight_kg = weight_kg + 1e-9 WHERE sku = 'SKU-00007'",
        ("table", "shop.products", How.CHANGED),
    ),
    "a null instead of an empty string": (
        "UPDATE analytics.edge_cases SET what = NULL WHERE what = ''",
        ("table", "analytics.edge_cases", How.CHANGED),
    ),
    "the sign of a zero": (
        "UPDATE analytics.edge_cases SET float8 = 0 WHERE what = ''",
        ("table", "analytics.edge_cases", How.CHANGED),
    ),
    "another normal form of the same letters": (
        "UPDATE analytics.writing SET sample = normalize(sample, NFC) WHERE id = 5",
        ("table", "analytics.writing", How.CHANGED),
    ),
    "a missing row": (
        "DELETE FROM shop.order_lines WHERE (order_id, line_no) = (10001, 1)",
        ("table", "shop.order_lines", How.CHANGED),
    ),
    "a row twice": (
        "INSERT INTO analytics.twins SELECT * FROM analytics.twins LIMIT 1",
        ("table", "analytics.twins", How.CHANGED),
    ),
    "a missing row without columns": (
        "DELETE FROM analytics.without_columns WHERE ctid = '(0,1)'",
        ("table", "analytics.without_columns", How.CHANGED),
    ),
    "a cell of a partition": (
        "UPDATE analytics.page_views SET status = 418 WHERE id = 9",
        ("table", "analytics.page_views_", How.CHANGED),
    ),
    "a cell of a child table": (
        "UPDATE \"ware house\".cold_pallets SET kept_at_celsius = 4 WHERE label = 'cold 7'",
        ("table", '"ware house".cold_pallets', How.CHANGED),
    ),
    "a column named like an alias": (
        'UPDATE "ware house"."Größe & 価格" SET t = \'x\', "select" = 7 WHERE "select" = 3',
        ("table", '"ware house"."Größe & 価格"', How.CHANGED),
    ),
    "a missing table": ("DROP TABLE analytics.never_filled", ("table", "analytics.never_filled", How.MISSING)),
    "a table too many": ("CREATE TABLE public.extra (a int)", ("table", "public.extra", How.EXTRA)),
    "a materialised view of other rows": (
        "UPDATE shop.order_lines SET quantity = quantity + 1; REFRESH MATERIALIZED VIEW analytics.revenue_by_month",
        ("table", "analytics.revenue_by_month", How.CHANGED),
    ),
    "a materialised view that was filled": (
        "REFRESH MATERIALIZED VIEW analytics.not_yet",
        ("relation", "analytics.not_yet", How.CHANGED),
    ),
    "a missing index": ("DROP INDEX shop.orders_open", ("index", "shop.orders_open", How.MISSING)),
    "an index without its condition": (
        "DROP INDEX shop.orders_open; CREATE INDEX orders_open ON shop.orders (customer_id)",
        ("index", "shop.orders_open", How.CHANGED),
    ),
    "a sequence that went on": (
        "SELECT nextval('shop.invoice_number')",
        ("sequence value", "shop.invoice_number", How.CHANGED),
    ),
    "a sequence that was never called, called": (
        "SELECT nextval('shop.untouched')",
        ("sequence value", "shop.untouched", How.CHANGED),
    ),
    "an identity column that starts over": (
        "ALTER TABLE shop.orders ALTER COLUMN id RESTART",
        ("sequence value", "shop.orders_id_seq", How.CHANGED),
    ),
    "another increment": ("ALTER SEQUENCE shop.countdown INCREMENT -2", ("sequence", "shop.countdown", How.CHANGED)),
    "a byte of a large object": ("SELECT lo_put(700004, 3000, '\\x00')", ("large object", "700004", How.CHANGED)),
    "a missing large object": ("SELECT lo_unlink(700000)", ("large object", "700000", How.MISSING)),
    "the owner of a large object": (
        "ALTER LARGE OBJECT 700005 OWNER TO shop_owner",
        ("large object", "700005", How.CHANGED),
    ),
    "a dropped policy": (
        "DROP POLICY readers_see_all ON shop.customers",
        ("policy", "readers_see_all on shop.customers", How.MISSING),
    ),
    "a wider policy": (
        "ALTER POLICY clerks_see_debtors ON shop.customers USING (true)",
        ("policy", "clerks_see_debtors on shop.customers", How.CHANGED),
    ),
    "row security switched off": (
        "ALTER TABLE shop.customers DISABLE ROW LEVEL SECURITY",
        ("relation", "shop.customers", How.CHANGED),
    ),
    "a changed view": (
        "CREATE OR REPLACE VIEW shop.cheap_products AS SELECT sku, name, price FROM shop.products WHERE price < 60",
        ("view", "shop.cheap_products", How.CHANGED),
    ),
    "a view without its check option": (
        "ALTER VIEW shop.cheap_products RESET (check_option)",
        ("relation", "shop.cheap_products", How.CHANGED),
    ),
    "a changed function": (
        "CREATE OR REPLACE FUNCTION shop.normalised(name text) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS 'SELECT name'",
        ("function", "shop.normalised(text)", How.CHANGED),
    ),
    "a grant on a function": (
        "GRANT EXECUTE ON FUNCTION shop.touch() TO PUBLIC",
        ("function", "shop.touch()", How.CHANGED),
    ),
    "a trigger that was enabled": (
        "ALTER TABLE shop.orders ENABLE TRIGGER orders_counted",
        ("trigger", "orders_counted on shop.orders", How.CHANGED),
    ),
    "a missing trigger": (
        "DROP TRIGGER customers_touch ON shop.customers",
        ("trigger", "customers_touch on shop.customers", How.MISSING),
    ),
    "a missing rule": (
        "DROP RULE keep_employees ON shop.employees",
        ("rule", "keep_employees on shop.employees", How.MISSING),
    ),
    "a missing foreign key": (
        "ALTER TABLE shop.order_lines DROP CONSTRAINT known_product",
        ("constraint", "shop.known_product on shop.order_lines", How.MISSING),
    ),
    "a constraint that was validated": (
        "ALTER TABLE shop.orders VALIDATE CONSTRAINT placed_late_enough",
        ("constraint", "shop.placed_late_enough on shop.orders", How.CHANGED),
    ),
    "a label more": ("ALTER TYPE shop.order_status ADD VALUE 'lost'", ("type", "shop.order_status", How.CHANGED)),
    "a wider column": (
        "ALTER TABLE shop.orders ALTER COLUMN remark TYPE varchar(4000)",
        ("column", "shop.orders.remark", How.CHANGED),
    ),
    "another default": (
        "ALTER TABLE shop.orders ALTER COLUMN status SET DEFAULT 'paid'",
        ("column", "shop.orders.status", How.CHANGED),
    ),
    "a changed comment": (
        "COMMENT ON COLUMN shop.customers.balance IS 'In cents'",
        ("column", "shop.customers.balance", How.CHANGED),
    ),
    "a grant on a column": (
        'REVOKE UPDATE (name) ON shop.customers FROM "shop clerk"',
        ("column", "shop.customers.name", How.CHANGED),
    ),
    "a grant on a table": ("GRANT DELETE ON shop.orders TO shop_reader", ("relation", "shop.orders", How.CHANGED)),
    "another owner": ("ALTER TABLE analytics.twins OWNER TO shop_reader", ("relation", "analytics.twins", How.CHANGED)),
    "a default privilege": (
        "ALTER DEFAULT PRIVILEGES FOR ROLE shop_owner IN SCHEMA shop REVOKE SELECT ON TABLES FROM shop_reader",
        ("default privilege", "r of shop_owner in shop", How.MISSING),
    ),
    "a publication": ("ALTER PUBLICATION orders_out DROP TABLE shop.orders", ("publication", "orders_out", How.CHANGED)),
    "a statistics object": (
        "DROP STATISTICS shop.orders_correlate",
        ("statistics", "shop.orders_correlate", How.MISSING),
    ),
    "a missing cast": (
        "DROP CAST (shop.address AS text)",
        ("cast", "(shop.address AS pg_catalog.text)", How.MISSING),
    ),
    "a setting of the database": (
        "ALTER DATABASE :\"DBNAME\" SET work_mem = '9MB'",
        ("database setting", "-", How.EXTRA),
    ),
    "a comment on the database": ("COMMENT ON DATABASE :\"DBNAME\" IS 'mine'", ("database", "itself", How.CHANGED)),
}


@pytest.mark.parametrize("change", CHANGES)
async def test_a_difference_is_found_and_named(copy: Psql, shop_snapshot: DatabaseSnapshot, change: str) -> None:
    statement, (kind, name, how) = CHANGES[change]
    await copy.run(statement)
    comparison = compare_snapshots(shop_snapshot, await take_snapshot(copy))
    assert not comparison.equal
    found = [(one.kind, one.name, one.how) for one in comparison.differences]
    # A partition's number may vary with the server's hash function.
    assert any((kind, how) == (one[0], one[2]) and one[1].startswith(name) for one in found), found
    if kind == "table":
        assert [table.name for table in comparison.tables if not table.equal and table.name.startswith(name)]


def test_every_object_of_either_side_is_accounted_for() -> None:
    before = DatabaseSnapshot(
        tables={"a": TableContent(1, "11"), "b": TableContent(2, "22")}, objects={"index": {"i": "1", "j": "2"}}
    )
    after = DatabaseSnapshot(
        tables={"b": TableContent(2, "23"), "c": TableContent(0, "0")}, objects={"index": {"j": "2"}, "view": {"v": "x"}}
    )
    comparison = compare_snapshots(before, after)
    assert [(one.kind, one.name, one.how) for one in comparison.differences] == [
        ("table", "a", How.MISSING),
        ("table", "b", How.CHANGED),
        ("table", "c", How.EXTRA),
        ("index", "i", How.MISSING),
        ("view", "v", How.EXTRA),
    ]
    assert [(one.name, one.rows, one.restored_rows, one.equal) for one in comparison.tables] == [
        ("a", 1, None, False),
        ("b", 2, 2, False),
        ("c", None, 0, False),
    ]
    assert (comparison.rows, comparison.objects) == (3, {"index": 2, "view": 0})
    assert compare_snapshots(before, before).equal


def test_a_difference_tells_what_it_is() -> None:
    changed = Difference(kind="view", name="v", how=How.CHANGED, expected="SELECT\n  1", found="x" * 1000)
    assert str(changed).startswith("view v differs: SELECT 1 became xxx")
    assert len(str(changed)) < 500
    assert str(Difference(kind="index", name="i", how=How.MISSING, expected="…")) == "index i is missing"
    assert msgspec.json.decode(msgspec.json.encode(changed), type=Difference) == changed
