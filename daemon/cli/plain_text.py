"""Text from elsewhere, made safe to show: names and messages may hold anything, a terminal obeys some of it."""

from __future__ import annotations

import unicodedata

_ALLOWED = frozenset({"\n"})


def visible(text: str, *, one_line: bool = True) -> str:
    """The text with control and direction-changing characters written out, as `\\x1b`; nothing in it moves the cursor."""
    if text.isprintable():
        return text
    allowed = frozenset() if one_line else _ALLOWED
    return "".join(c if c in allowed or not _acts(c) else _spelled(c) for c in text.expandtabs(4))


def _acts(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
