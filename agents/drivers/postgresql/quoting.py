"""Names and values as the tools and the server read them.  Nothing reaches SQL or a command line unquoted."""

from __future__ import annotations

from string import Formatter
from typing import Any, Final

MAX_NAME_BYTES: Final = 63
"""NAMEDATALEN - 1: the server cuts longer names off without an error."""


class _SqlFormatter(Formatter):
    def format_field(self, value: Any, format_spec: str) -> str:
        match format_spec, value:
            case "name", str():
                return quote_identifier(value)
            case "sql", str():
                return value
            case "", bool():
                return str(value).lower()
            case "", int():
                return str(value)
            case "", str():
                return quote_literal(value)
            case _:
                raise TypeError(f"cannot write {value!r} as {format_spec or 'value'!r} into SQL")


_FORMATTER: Final = _SqlFormatter()


def sql(template: str, **values: str | int | bool) -> str:
    """The template with values put in: `{x}` as a literal, `{x:name}` as an identifier, `{x:sql}` as SQL of our own."""
    return _FORMATTER.format(template, **values)


def quote_identifier(name: str) -> str:
    """`"odd ""name"`.  Raises: ValueError for a NUL, which no name can hold."""
    _refuse_nul(name)
    return '"' + name.replace('"', '""') + '"'


def quote_literal(value: str) -> str:
    """`'it''s'`, for sessions with `standard_conforming_strings = on`.  Raises: ValueError for a NUL."""
    _refuse_nul(value)
    return "'" + value.replace("'", "''") + "'"


def database_conninfo(name: str) -> str:
    """`dbname='…'`: the only form in which an option takes any name, since one with `=` in it is read as conninfo.

    Source: libpq, "Keyword/Value Connection Strings".
    """
    _refuse_nul(name)
    escaped = name.replace("\\", "\\\\").replace("'", "\\'")
    return f"dbname='{escaped}'"


def escape_passfile_field(value: str) -> str:
    """A field of a pgpass line: `:` and `\\` escaped.  Raises: ValueError for what a line of text cannot hold."""
    _refuse_nul(value)
    if "\n" in value or "\r" in value:
        raise ValueError("a line break cannot stand in a pgpass file")
    return value.replace("\\", "\\\\").replace(":", "\\:")


def _refuse_nul(value: str) -> None:
    if "\0" in value:
        raise ValueError("a NUL character cannot stand in a name or value")
