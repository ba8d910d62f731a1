"""Recipient stanzas: the blocks of a header that each wrap the file key for somebody.

Source: "Recipient stanza" and the ABNF of the header.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from contracts.age.encoding import decode_base64, encode_base64
from contracts.age.errors import Malformed

COLUMNS: Final = 64
_ARGUMENT_LINE: Final = re.compile(rb"-> [!-~]+(?: [!-~]+)*")


@dataclass(frozen=True, slots=True)
class Stanza:
    """What one block says.  Nothing in it is secret, and nothing is authentic before the header's MAC is checked."""

    arguments: tuple[str, ...]
    """At least one; each of one or more visible ASCII characters.  The first is the type."""
    body: bytes

    @property
    def type(self) -> str:
        return self.arguments[0]

    def encode(self) -> bytes:
        """The lines of the stanza: the body is wrapped at 64 columns and ends with a shorter, perhaps empty, line."""
        text = encode_base64(self.body)
        lines = [text[at : at + COLUMNS] for at in range(0, len(text) + 1, COLUMNS)]
        return b"".join(line + b"\n" for line in (b"-> " + " ".join(self.arguments).encode("ascii"), *lines))


def parse_stanza(header: bytes, start: int) -> tuple[Stanza, int] | None:
    """The stanza that begins at `start`, and the offset after it; None if it goes on beyond the end of `header`.

    Raises: Malformed for anything else than the lines `Stanza.encode` would make.
    """
    end = header.find(b"\n", start)
    if end < 0:
        return None
    line = header[start:end]
    if _ARGUMENT_LINE.fullmatch(line) is None:
        raise Malformed(f"the line at byte {start} of the header opens neither a stanza nor the MAC")
    arguments = tuple(line.decode("ascii").split(" ")[1:])
    body = bytearray()
    while True:
        start = end + 1
        end = header.find(b"\n", start)
        if end < 0:
            return None
        if end - start > COLUMNS:
            raise Malformed(f"the line at byte {start} of the header is longer than {COLUMNS} columns")
        try:
            body += decode_base64(header[start:end])
        except Malformed as exc:
            raise Malformed(f"the line at byte {start} of the header is no stanza body: {exc}") from exc
        if end - start < COLUMNS:
            return Stanza(arguments, bytes(body)), end + 1
