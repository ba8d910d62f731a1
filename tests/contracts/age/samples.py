"""What the tests of the age format share: an identity, whole files in one call, and ways to cut a file into its chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from contracts.age import NONCE_SIZE, SEALED_CHUNK_SIZE, Decryptor, Encryptor, Identity, ParsedHeader, parse_header

# The identity printed in the specification: every run of the tests uses the same, so failures can be repeated.
HOLDER: Final = Identity.parse("AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX")
READER: Final = Identity(bytes(range(32)))
STRANGER: Final = Identity(bytes(range(32, 64)))


def encrypted(plain: bytes, *holders: Identity) -> bytes:
    """A whole file that `holders` (by default HOLDER) can open."""
    encryptor = Encryptor([holder.recipient for holder in holders or (HOLDER,)])
    return encryptor.preamble + encryptor.update(plain) + encryptor.finish()


def decrypted(file: bytes, *holders: Identity) -> bytes:
    """The plaintext, once everything has been found authentic."""
    decryptor = Decryptor(holders or (HOLDER,))
    return decryptor.feed(file) + decryptor.finish()


def released(file: bytes, *holders: Identity, bite: int = 4099) -> tuple[bytes, Exception | None]:
    """All plaintext that comes out of a file fed in small pieces, and the error that ended it."""
    decryptor = Decryptor(holders or (HOLDER,))
    plain = bytearray()
    try:
        for piece in pieces(file, bite):
            plain += decryptor.feed(piece)
        plain += decryptor.finish()
    except Exception as exc:  # noqa: BLE001 - the caller says which error it expects
        return bytes(plain), exc
    return bytes(plain), None


def header_of(file: bytes) -> ParsedHeader:
    header = parse_header(file)
    assert header is not None
    return header


def sealed_chunks(file: bytes) -> tuple[bytes, list[bytes]]:
    """Header with nonce, and the chunks after it."""
    start = header_of(file).size + NONCE_SIZE
    return file[:start], list(pieces(file[start:], SEALED_CHUNK_SIZE))


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))
