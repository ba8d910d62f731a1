"""Names and texts inside SQL.  Pure.

Literals rely on the SQL mode that `client` sets, in which a backslash escapes.
"""

from __future__ import annotations

from typing import Final

MAX_NAME_CHARS: Final = 64


def quote_identifier(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"


def quote_literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''").replace("\0", "\\0") + "'"


def qualified(database: str, name: str) -> str:
    return f"{quote_identifier(database)}.{quote_identifier(name)}"


def quote_account(account: str) -> str:
    """`'app'@'10.%'` of what CURRENT_USER() gives, such as `app@10.%`; a role is its name alone."""
    user, at, host = account.rpartition("@")
    return f"{quote_literal(user)}@{quote_literal(host)}" if at else quote_literal(account)


def same_name(column: str, name: str) -> str:
    """The condition that a column of information_schema is exactly that name.

    Its collation takes `orders` and `Orders`, and even `o` and `ö`, for the same; servers mostly do not.
    """
    return f"{column} = {quote_literal(name)} AND BINARY {column} = {quote_literal(name)}"
