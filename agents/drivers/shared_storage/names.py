"""File names, which are bytes, as text for JSON and terminals: in the notation of `tar --quoting-style=escape`.

A backslash is `\\\\`; control characters and what is no UTF-8 are `\\n`, `\\377` and the like.  Everything else stays.
"""

from __future__ import annotations

import os
import re
from typing import Final

_SHORT: Final = {
    ord("\a"): "\\a",
    ord("\b"): "\\b",
    ord("\f"): "\\f",
    ord("\n"): "\\n",
    ord("\r"): "\\r",
    ord("\t"): "\\t",
    ord("\v"): "\\v",
    ord("\\"): "\\\\",
}
_LONG: Final = {text[1]: code for code, text in _SHORT.items()}
_ESCAPED: Final = re.compile(rb"\\(?:([0-7]{3})|(.))", re.DOTALL)


def readable(name: str | bytes) -> str:
    """The name for people and JSON; `raw` turns it back."""
    text = os.fsencode(name).decode("utf-8", "surrogateescape")
    return "".join(map(_readable, text)) if not text.isprintable() or "\\" in text else text


def _readable(character: str) -> str:
    code = ord(character)
    if (short := _SHORT.get(code)) is not None:
        return short
    if character.isprintable():
        return character
    return "".join(f"\\{byte:03o}" for byte in character.encode("utf-8", "surrogateescape"))


def raw(text: str) -> bytes:
    """The name whose notation this is."""
    return _ESCAPED.sub(_raw, text.encode("utf-8", "surrogateescape"))


def from_tar(text: str) -> str:
    """A name that tar has printed, in our notation: tar, told to speak C, escapes everything beyond ASCII."""
    return readable(raw(text))


def _raw(match: re.Match[bytes]) -> bytes:
    if match[1] is not None:
        return bytes([int(match[1], 8) & 0xFF])
    code = _LONG.get(match[2].decode("latin-1"))
    return match[0] if code is None else bytes([code])
