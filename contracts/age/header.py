"""The textual header: who can open the file, and the MAC that binds it to the file key.

A header is exchangeable.  The payload hangs on the file key and its own nonce alone, so

    make_header(unwrap_file_key(header, [holder]), [reader]) + original_file[header.size :]

is a valid age file of the same content for another reader.  That is how a reader gets a backup while the identity stays
where it is: only the header travels to its holder, and `original_file[header.size:]` (nonce and chunks) is served as it lies
in the bucket.

Source: "Header".
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from contracts.age.encoding import decode_base64, encode_base64
from contracts.age.errors import (
    BadRecipients,
    HeaderMacMismatch,
    Malformed,
    NoIdentityMatches,
    Oversized,
    UnsupportedVersion,
)
from contracts.age.file_key import FileKey
from contracts.age.keys import Identity, Recipient
from contracts.age.stanza import Stanza, parse_stanza
from contracts.age.stream import BytesLike, flat
from contracts.age.x25519 import X25519Stanza, wrap_file_key

MAX_HEADER_SIZE: Final = 64 * 1024
"""Bytes.  The format has no limit, a reader must have one: this is room for 668 X25519 recipients."""
VERSION_LINE: Final = b"age-encryption.org/v1\n"
MAC_MARK: Final = b"---"
_OTHER_VERSION: Final = re.compile(rb"age-encryption\.org/[!-~]+")
_MAC_LINE: Final = re.compile(rb"--- ([A-Za-z0-9+/]{43})")
_MAC_LINE_SIZE: Final = len(MAC_MARK) + 1 + 43 + 1
_X25519_STANZA_SIZE: Final = len("-> X25519 ") + 43 + 1 + 43 + 1


@dataclass(frozen=True, slots=True)
class ParsedHeader:
    """A header whose grammar is right.  It is authentic only once `verify` has passed."""

    stanzas: tuple[Stanza, ...]
    mac: bytes
    encoded: bytes
    """The header as it was read, up to and including the line feed after the MAC."""

    @property
    def size(self) -> int:
        """Bytes; the payload nonce begins at this offset of the file."""
        return len(self.encoded)

    def verify(self, file_key: FileKey) -> None:
        """Return if this header was made with `file_key`.  Raises: HeaderMacMismatch."""
        authenticated = self.encoded[: len(MAC_MARK) - _MAC_LINE_SIZE]
        if not hmac.compare_digest(file_key.header_mac(authenticated), self.mac):
            raise HeaderMacMismatch("the header's MAC does not fit the file key: the header is not the one that was written")


def parse_header(data: BytesLike) -> ParsedHeader | None:
    """The header at the start of `data`; None while more bytes are needed.  What follows the header is not looked at.

    Each call starts anew, so call it again with clearly more data, not with one byte more (`Decryptor` sees to that).
    Raises: Malformed, UnsupportedVersion, or Oversized beyond MAX_HEADER_SIZE, however large `data` is.
    """
    head = bytes(flat(data)[:MAX_HEADER_SIZE])
    header = _parse(head) if has_version_line(head) else None
    if header is None and len(head) == MAX_HEADER_SIZE:
        raise Oversized(f"the header does not end within {MAX_HEADER_SIZE} bytes")
    return header


def has_version_line(head: bytes | bytearray) -> bool:
    """Whether `head` begins with the whole version line; False while it may still become one.

    Raises: UnsupportedVersion or Malformed at the first byte that differs.
    """
    if head.startswith(VERSION_LINE):
        return True
    if VERSION_LINE.startswith(bytes(head[: len(VERSION_LINE)])):
        return False
    first_line = bytes(head[:128]).partition(b"\n")[0]
    if first_line.startswith(b"-----BEGIN AGE"):
        raise Malformed("this age file is ASCII-armored; remove the armor first")
    if _OTHER_VERSION.fullmatch(first_line):
        raise UnsupportedVersion("an age file of another version than v1")
    raise Malformed("not an age file: it does not begin with the version line")


def _parse(head: bytes) -> ParsedHeader | None:
    stanzas: list[Stanza] = []
    at = len(VERSION_LINE)
    while not head.startswith(MAC_MARK, at):
        parsed = parse_stanza(head, at)
        if parsed is None:
            return None
        stanza, at = parsed
        stanzas.append(stanza)
    end = head.find(b"\n", at)
    if end < 0:
        return None
    match = _MAC_LINE.fullmatch(head, at, end)
    if match is None:
        raise Malformed("the MAC line is not '---', a space and 43 characters of base64")
    if not stanzas:
        raise Malformed("the header has no stanza")
    if len(stanzas) > 1 and any(stanza.type == "scrypt" for stanza in stanzas):
        # Somebody who knows a passphrase must be able to trust that everyone who could write the file knew it too.
        raise Malformed("an scrypt stanza is not the only one")
    return ParsedHeader(tuple(stanzas), decode_base64(match[1]), head[: end + 1])


def unwrap_file_key(header: ParsedHeader, identities: Sequence[Identity]) -> FileKey:
    """The file key, from the first stanza that one of `identities` opens; the header's MAC has been checked with it.

    Stanzas of unknown types are skipped, malformed X25519 stanzas are errors whomever they are for.
    Raises: NoIdentityMatches, Malformed, LowOrderPoint, HeaderMacMismatch.
    """
    checked = [X25519Stanza.of(stanza) for stanza in header.stanzas]
    candidates = [stanza for stanza in checked if stanza is not None]
    for identity in identities:
        for stanza in candidates:
            file_key = stanza.open(identity)
            if file_key is not None:
                header.verify(file_key)
                return file_key
    raise NoIdentityMatches(
        f"none of {len(identities)} identities opens any of the {len(candidates)} X25519 stanzas of the header"
    )


def make_header(file_key: FileKey, recipients: Sequence[Recipient]) -> bytes:
    """A complete header of `header_size(len(recipients))` bytes; each call makes fresh shares.

    Raises: BadRecipients if there are none (nobody could open the file) or more than MAX_HEADER_SIZE has room for.
    """
    if not recipients:
        raise BadRecipients("a file needs at least one recipient")
    if header_size(len(recipients)) > MAX_HEADER_SIZE:
        raise BadRecipients(f"{len(recipients)} recipients need a header of more than {MAX_HEADER_SIZE} bytes")
    lines = [wrap_file_key(file_key, recipient).encode() for recipient in recipients]
    authenticated = b"".join([VERSION_LINE, *lines, MAC_MARK])
    return authenticated + b" " + encode_base64(file_key.header_mac(authenticated)) + b"\n"


def header_size(recipient_count: int) -> int:
    """Bytes of a header for that many X25519 recipients: 168 for one, 98 more for each further one."""
    return len(VERSION_LINE) + recipient_count * _X25519_STANZA_SIZE + _MAC_LINE_SIZE
