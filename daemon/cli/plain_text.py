"""Text from elsewhere, made safe to show: names and messages may hold anything, a terminal obeys some of it."""

from __future__ import annotations

import json


def visible(text: str, *, one_line: bool = True) -> str:
    """The text with all that does not print written out, as `\\x1b`: nothing in it moves the cursor or turns it around."""
    if text.isprintable():
        return text
    kept = "" if one_line else "\n"
    return "".join(c if c in kept or c.isprintable() else _spelled(c) for c in text.expandtabs(4))


def escaped(document: str) -> str:
    """The same JSON, with all that does not print as `\\u009b`."""
    if document.isprintable():
        return document
    # What does not print can only be inside of strings; between them there is nothing but line breaks.
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in document)


def _spelled(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
