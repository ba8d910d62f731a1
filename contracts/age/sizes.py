"""How plaintext and file sizes belong together: pure arithmetic, no keys.

    file = header | nonce (16) | sealed chunk 0 | … | final sealed chunk

A sealed chunk is its plaintext plus a tag of 16 bytes.  All chunks but the final one hold 64 KiB; the final one holds
1 byte to 64 KiB, or nothing if the whole plaintext is empty.

Source: "Payload".
"""

from __future__ import annotations

from typing import Final

from contracts.age.errors import PayloadCorrupt, Truncated
from contracts.age.file_key import NONCE_SIZE

CHUNK_SIZE: Final = 64 * 1024
TAG_SIZE: Final = 16
SEALED_CHUNK_SIZE: Final = CHUNK_SIZE + TAG_SIZE


def chunk_count(plain_size: int) -> int:
    """Chunks that `plain_size` bytes are cut into: at least one.  Raises: ValueError if negative."""
    if plain_size < 0:
        raise ValueError("a size is not negative")
    return max(1, -(-plain_size // CHUNK_SIZE))


def ciphertext_size(plain_size: int, header_size: int) -> int:
    """Bytes of the whole file, from the first byte of the header to the last tag.  Raises: ValueError if negative."""
    return header_size + NONCE_SIZE + plain_size + chunk_count(plain_size) * TAG_SIZE


def plaintext_size(file_size: int, header_size: int) -> int:
    """Bytes of plaintext in a file of `file_size` bytes: the inverse of `ciphertext_size`.

    It is a claim, not a proof: only an authentic final chunk shows that a file has its right length.
    Raises: Truncated if there is no room for a nonce and a chunk; PayloadCorrupt if no plaintext gives this size.
    """
    payload_size = file_size - header_size - NONCE_SIZE
    if payload_size < TAG_SIZE:
        raise Truncated(f"a file of {file_size} bytes has no room for a payload after its header of {header_size} bytes")
    count = -(-payload_size // SEALED_CHUNK_SIZE)
    final_size = payload_size - (count - 1) * SEALED_CHUNK_SIZE
    if final_size < TAG_SIZE:
        raise Truncated(f"the file ends inside the tag of chunk {count - 1}")
    if final_size == TAG_SIZE and count > 1:
        raise PayloadCorrupt("the final chunk is empty", chunk_index=count - 1)
    return payload_size - count * TAG_SIZE
