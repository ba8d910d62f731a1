"""SQL as pg_dumpall and pg_restore write it, cut into statements and tokens; enough of the grammar never to be fooled by
what stands inside quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from agents.drivers.postgresql.quoting import quote_identifier

_TOKEN: Final = re.compile(
    r"""
      (?P<space>\s+ | --[^\n]* )
    | (?P<string>[eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' )
    | (?P<quoted>"(?:[^"]|"")+" )
    | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]* )
    | (?P<number>[0-9]+(?:\.[0-9]+)? )
    | (?P<end>;)
    | (?P<meta>\\[^\n]*)
    | (?P<other>[=,().*+/<>-])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """`kind` is `string`, `quoted`, `word`, `number` or `other`."""

    kind: str
    text: str

    @property
    def keyword(self) -> str:
        """Upper-case, for comparing; empty for what cannot be a keyword."""
        return self.text.upper() if self.kind in ("word", "other") else ""

    @property
    def name(self) -> str | None:
        """The name that an identifier stands for, or None."""
        if self.kind == "quoted":
            return self.text[1:-1].replace('""', '"')
        return self.text.lower() if self.kind == "word" else None


Statement = Sequence[Token]


def split_statements(text: str) -> Iterator[list[Token]]:
    """The statements of a script without their semicolons.  Lines with a psql command (`\\restrict`, `\\connect`) between
    statements are passed over; inside a statement nothing but SQL is accepted.

    Raises: ValueError for anything else, or a script that ends in the middle.
    """
    tokens: list[Token] = []
    position = 0
    while position < len(text):
        found = _TOKEN.match(text, position)
        if found is None or (found.lastgroup == "meta" and tokens):
            raise ValueError(f"unexpected {text[position : position + 20]!r} at character {position}")
        position = found.end()
        if found.lastgroup == "end":
            if tokens:
                yield tokens
            tokens = []
        elif found.lastgroup not in ("space", "meta"):
            tokens.append(Token(str(found.lastgroup), found[0]))
    if tokens:
        raise ValueError("the script ends in the middle of a statement")


def render(statement: Statement) -> str:
    """The statement as SQL, on one line unless a value has several."""
    return " ".join(token.text for token in statement)


def identifier(name: str) -> Token:
    return Token("quoted", quote_identifier(name))


def starts_with(statement: Statement, *keywords: str) -> bool:
    return len(statement) >= len(keywords) and all(
        token.keyword == keyword for token, keyword in zip(statement, keywords, strict=False)
    )


def find_keywords(statement: Statement, *keywords: str) -> int:
    """The index of the first of these keywords that follow each other outside of quotes, or -1."""
    for index in range(len(statement) - len(keywords) + 1):
        if starts_with(statement[index:], *keywords):
            return index
    return -1
