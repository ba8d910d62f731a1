"""Names and values reach SQL, conninfo and pgpass unchanged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict

from agents.drivers.postgresql.quoting import (
    database_conninfo,
    escape_passfile_field,
    quote_identifier,
    quote_literal,
    sql,
)

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def test_identifiers_and_literals_double_their_own_quotes() -> None:
    assert quote_identifier('odd "name') == '"odd ""name"'
    assert quote_literal("it's \\") == "'it''s \\'"


@pytest.mark.parametrize("quote", [quote_identifier, quote_literal, database_conninfo, escape_passfile_field])
def test_a_nul_is_refused_everywhere(quote: object) -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")  # type: ignore[operator]


@given(texts)
def test_conninfo_gives_any_name_back(name: str) -> None:
    assert conninfo_to_dict(database_conninfo(name)) == {"dbname": name}


@given(texts, texts)
def test_a_pgpass_line_gives_any_field_back(user: str, password: str) -> None:
    if any(character in user + password for character in "\r\n"):
        with pytest.raises(ValueError, match="line break"):
            [escape_passfile_field(user), escape_passfile_field(password)]
        return
    fields = split_as_libpq_does(f"*:*:*:{escape_passfile_field(user)}:{escape_passfile_field(password)}")
    assert fields == ["*", "*", "*", user, password]


def split_as_libpq_does(line: str) -> list[str]:
    fields, position = [""], 0
    while position < len(line):
        if line[position] == "\\" and position + 1 < len(line):
            position += 1
            fields[-1] += line[position]
        elif line[position] == ":":
            fields.append("")
        else:
            fields[-1] += line[position]
        position += 1
    return fields


def test_sql_writes_each_kind_of_value_in_its_way() -> None:
    template = "SELECT {a}, {b}, {c} FROM {d:name} {e:sql} '{{}}'"
    assert sql(template, a="x'y", b=5, c=True, d='t"', e="LIMIT 1") == "SELECT 'x''y', 5, true FROM \"t\"\"\" LIMIT 1 '{}'"


def test_sql_refuses_what_it_cannot_write_safely() -> None:
    with pytest.raises(TypeError):
        sql("{a:name}", a=5)
    with pytest.raises(TypeError):
        sql("{a:r}", a="x")
