"""SQL scripts are cut where statements end, and nowhere else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.drivers.postgresql.quoting import quote_identifier, quote_literal
from agents.drivers.postgresql.statements import find_keywords, render, split_statements, starts_with


def rendered(script: str) -> list[str]:
    return [render(statement) for statement in split_statements(script)]


def test_quotes_comments_and_meta_commands_do_not_mislead() -> None:
    script = (
        "-- a comment; with 'quotes\n\\restrict abc\n\nSET x = 'a;b';\n"
        'CREATE ROLE "odd; ""name";;\nCOMMENT ON ROLE a IS E\'it\\\'s; -- no comment\';\n'
        "ALTER ROLE a\n  WITH PASSWORD 'x\n;y''z'; -- end\n\\unrestrict abc\n"
    )
    assert rendered(script) == [
        "SET x = 'a;b'",
        'CREATE ROLE "odd; ""name"',
        "COMMENT ON ROLE a IS E'it\\'s; -- no comment'",
        "ALTER ROLE a WITH PASSWORD 'x\n;y''z'",
    ]


@pytest.mark.parametrize(
    "script",
    [
        "CREATE ROLE a",
        "CREATE ROLE 'a;",
        'CREATE ROLE "a;',
        "CREATE ROLE a \\! touch /tmp/x\n;",
        "CREATE ROLE :name;",
        "DO $$ BEGIN END $$;",
        "SELECT 1 /* ; */;;\0",
    ],
)
def test_what_is_not_expected_is_refused(script: str) -> None:
    with pytest.raises(ValueError, match=r"unexpected|middle"):
        rendered(script)


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1), st.text())
def test_any_name_and_value_is_one_token(name: str, value: str) -> None:
    value = value.replace("\0", "")
    (statement,) = split_statements(f"COMMENT ON ROLE {quote_identifier(name)} IS {quote_literal(value)};")
    assert len(statement) == 6
    assert statement[3].name == name
    assert statement[5].text == quote_literal(value)


def test_unquoted_names_are_folded() -> None:
    (statement,) = split_statements("create role Größe;")
    assert starts_with(statement, "CREATE", "ROLE")
    assert statement[2].name == "größe"


def test_keywords_are_found_outside_of_quotes_only() -> None:
    (statement,) = split_statements("GRANT \"TO\" TO 'TO';")
    assert find_keywords(statement, "TO") == 2
    assert find_keywords(statement, "GRANTED", "BY") == -1
