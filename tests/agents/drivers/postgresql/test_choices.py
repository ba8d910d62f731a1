"""Pure decisions: which databases, which tools, which names, which marks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.postgresql.discovery import CatalogRow, DatabaseFacts, select_databases
from agents.drivers.postgresql.dump import missing_mark
from agents.drivers.postgresql.naming import UNFINISHED_NAMES
from agents.drivers.postgresql.planning import globals_name
from agents.drivers.postgresql.tools import Tool, choose_tool, major_of
from agents.drivers.renaming import RESTORING
from contracts.errors import RunFailed
from contracts.ids import new_run_id
from contracts.wire import utc_now


def database(name: str, *, template: bool = False, closed: bool = False) -> DatabaseFacts:
    return DatabaseFacts(
        oid=1,
        name=name,
        owner="postgres",
        encoding="UTF8",
        lc_collate="C",
        lc_ctype="C",
        tablespace="pg_default",
        connection_limit=-1,
        is_template=template,
        allows_connections=not closed,
        connectable=True,
        size_bytes=1,
        row=CatalogRow(),
    )


CLUSTER = [
    database("postgres"),
    database("shop"),
    database("shop_test"),
    database("Shop"),
    database("we[i]rd"),
    database("template0", template=True, closed=True),
    database("template1", template=True),
    database("template_gis", template=True),
    database("closed", closed=True),
]


def chosen(include: list[str], exclude: list[str]) -> list[str]:
    return [found.name for found in select_databases(CLUSTER, include, exclude)[0]]


@pytest.mark.parametrize(
    ("include", "exclude", "expected"),
    [
        ([], [], ["Shop", "postgres", "shop", "shop_test", "we[i]rd"]),
        (["*"], ["*_test", "postgres"], ["Shop", "shop", "we[i]rd"]),
        (["shop*"], [], ["shop", "shop_test"]),
        (["shop", "shop"], [], ["shop"]),
        (["[Ss]hop"], [], ["Shop", "shop"]),
        (["we[i]rd"], [], ["we[i]rd"]),
        (["template_gis"], [], ["template_gis"]),
        (["template*", "shop"], [], ["shop"]),
        (["*"], ["we[i]rd", "p*", "?hop*"], None),
        (["shop"], ["shop"], None),
    ],
)
def test_patterns_choose_databases(include: list[str], exclude: list[str], expected: list[str] | None) -> None:
    if expected is not None:
        assert chosen(include, exclude) == expected
        return
    with pytest.raises(RunFailed, match="no database is left") as caught:
        chosen(include, exclude)
    assert caught.value.code == "engine.database_not_found"


def test_a_name_that_does_not_exist_is_an_error_that_shows_those_that_do() -> None:
    with pytest.raises(RunFailed, match=r"no database 'shpo' \(it has: Shop, postgres, shop") as caught:
        chosen(["shpo"], [])
    assert caught.value.code == "engine.database_not_found"


def test_a_pattern_that_matches_nothing_is_a_warning() -> None:
    assert select_databases(CLUSTER, ["shop", "crm_*"], [])[1] == ["include pattern 'crm_*' matches no database"]


def test_a_database_that_takes_no_connections_is_an_error_only_when_it_is_named() -> None:
    with pytest.raises(RunFailed, match="takes no connections"):
        chosen(["closed"], [])


@given(st.lists(st.text("ab*?[]", max_size=4)), st.lists(st.text("ab*?[]", max_size=4)))
def test_what_is_excluded_is_never_chosen(include: list[str], exclude: list[str]) -> None:
    cluster = [database(name) for name in ("a", "b", "ab", "ba", "a*", "[a]")]
    try:
        found = {one.name for one in select_databases(cluster, include, exclude)[0]}
    except RunFailed:
        return
    assert found
    assert not found & set(exclude)


def tool(version: str) -> Tool:
    return Tool(name="pg_dump", path=f"/{version}/pg_dump", version=version, major=major_of(version))


@pytest.mark.parametrize(
    ("versions", "server", "expected"),
    [
        (["13.2", "15.1", "17.0"], 15, "15.1"),
        (["13.2", "16.1", "17.0"], 15, "16.1"),
        (["18beta1"], 17, "18beta1"),
        (["13.2", "14.1"], 15, None),
        ([], 15, None),
    ],
)
def test_the_lowest_version_that_is_high_enough_is_taken(versions: list[str], server: int, expected: str | None) -> None:
    found = choose_tool([tool(version) for version in versions], server)
    assert (found.version if found else None) == expected


@given(
    st.text(min_size=1, max_size=63).filter(lambda name: "\0" not in name and 0 < len(name.encode("utf-8", "ignore")) <= 63)
)
def test_names_of_unfinished_databases_fit_and_tell_their_target(name: str) -> None:
    name = name.encode("utf-8", "ignore").decode()
    run_id = new_run_id(utc_now())
    scratch, replaced = UNFINISHED_NAMES.scratch(name, run_id), UNFINISHED_NAMES.replaced(name, run_id)
    assert len(scratch.encode()) <= 63
    assert len(replaced.encode()) <= 63
    assert scratch.startswith(UNFINISHED_NAMES.prefix(name, RESTORING))
    assert scratch.endswith(run_id.lower().replace("-", ""))
    assert scratch != replaced
    assert "__restoring_" in scratch
    assert "__replaced_" in replaced


def test_targets_that_begin_alike_have_different_unfinished_names() -> None:
    one, other = "x" * 62 + "1", "x" * 62 + "2"
    assert UNFINISHED_NAMES.scratch(one, "20261122T000512Z-k7xq") != UNFINISHED_NAMES.scratch(other, "20261122T000512Z-k7xq")
    assert not UNFINISHED_NAMES.scratch("orders2", "20261122T000512Z-k7xq").startswith(
        UNFINISHED_NAMES.prefix("orders", RESTORING)
    )


def test_the_globals_never_share_a_name_with_a_database() -> None:
    assert globals_name(["a"]) == "globals"
    assert globals_name(["globals"]) == "(globals)"
    assert globals_name(["globals", "(globals)"]) == "((globals))"


SQL_HEAD = b"--\n-- PostgreSQL database cluster dump\n--\n"
SQL_TAIL = b"--\n-- PostgreSQL database cluster dump complete\n--\n\n"


@pytest.mark.parametrize(
    ("kind", "size", "head", "tail", "why"),
    [
        ("database", 0, b"", b"", "wrote nothing"),
        ("database", 5000, b"PGDMP\x01", b"\0" * 5, ""),
        ("database", 5000, b"pg_dump: usage", b"", "does not begin as an archive"),
        ("database", 100, b"PGDMP\x01", b"", "only 100 bytes"),
        ("globals", 0, b"", b"", "wrote nothing"),
        ("globals", 500, SQL_HEAD, SQL_TAIL, ""),
        ("globals", 500, SQL_HEAD, b"CREATE ROLE x;\n", "completion mark"),
        ("globals", 500, b"oops\n", SQL_TAIL, "not pg_dumpall's"),
    ],
)
def test_a_dump_without_its_marks_is_not_whole(kind: str, size: int, head: bytes, tail: bytes, why: str) -> None:
    found = missing_mark(kind, size, head, tail)
    assert why in found
    assert bool(found) == bool(why)
