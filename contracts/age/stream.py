"""The cipher of the payload: chunks of 64 KiB, each authentic only at its own place in its own file.

The nonce of a chunk is its index and a last byte that marks the final chunk.  So a chunk that is changed, moved, repeated,
dropped or taken from elsewhere does not open, and neither does a file that was cut or extended.

Why OpenSSL (`cryptography`) and not libsodium, which does the header: 1.65 GB/s against 0.92 GB/s on one thread, 2.8
against 1.5 on two, measured on a machine of two cores with chunks of 64 KiB; both release the GIL.  `StreamEncryptor` keeps
95 % of it for inputs of 1 MiB, 90 % for 128 KiB; `StreamDecryptor` keeps 80 %, for it opens each chunk in a buffer of its
own and copies it.
Why it is imported late: it costs 7 MiB, and an agent that is idle must stay small.

Source: "Payload", a variant of STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance, 2015).
"""

from __future__ import annotations

from typing import Final, NamedTuple, TypeAlias

from contracts.age.errors import PayloadCorrupt
from contracts.age.file_key import FileKey
from contracts.age.sizes import SEALED_CHUNK_SIZE, TAG_SIZE

BytesLike: TypeAlias = bytes | bytearray | memoryview
_NOT_FINAL: Final = 0
_FINAL: Final = 1


class Progress(NamedTuple):
    """What one call did that reads from one buffer and writes to another."""

    consumed: int
    """Bytes of the input that were taken.  Fewer than given: the output is full, call again with the rest and new room."""
    produced: int
    """Bytes written to the start of the output."""


class ChunkCipher:
    """Seals and opens the chunks of one payload by index.  Holds no position; calls from several threads are fine.

    To seal two different plaintexts at one index breaks the encryption of both: only `StreamEncryptor` seals.
    """

    __slots__ = ("_aead", "_invalid_tag")

    def __init__(self, file_key: FileKey, nonce: bytes) -> None:
        """Raises: BadKey unless `nonce` is 16 bytes."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

        self._aead = ChaCha20Poly1305(file_key.payload_key(nonce))
        self._invalid_tag = InvalidTag

    def seal_into(self, index: int, plain: memoryview, out: memoryview, *, last: bool) -> int:
        """Write the sealed chunk to the start of `out`, which has room for it; its size."""
        size = len(plain) + TAG_SIZE
        return self._aead.encrypt_into(_chunk_nonce(index, last), plain, None, out[:size])

    def open_into(self, index: int, sealed: memoryview, out: memoryview, *, last: bool) -> int:
        """Write the plaintext of a chunk to the start of `out`, which has room for it; its size.

        When this raises, `out` holds plaintext that is NOT authentic (OpenSSL checks the tag last): never pass the buffer of
        a caller.  Raises: PayloadCorrupt if the chunk is not authentic at this place with this mark, if its size is
        impossible, or if it is final and empty but not the only one.
        """
        size = len(sealed) - TAG_SIZE
        if size < 0 or (len(sealed) != SEALED_CHUNK_SIZE if not last else len(sealed) > SEALED_CHUNK_SIZE):
            raise PayloadCorrupt(f"chunk {index} has an impossible size: {len(sealed)} bytes", chunk_index=index)
        if size == 0 and index > 0:
            raise PayloadCorrupt(f"the final chunk {index} is empty", chunk_index=index)
        try:
            return self._aead.decrypt_into(_chunk_nonce(index, last), sealed, None, out[:size])
        except self._invalid_tag:
            what = "the final chunk" if last else "chunk"
            raise PayloadCorrupt(f"{what} {index} is not authentic at its place", chunk_index=index) from None


def flat(data: BytesLike) -> memoryview:
    """`data` as single bytes, so that lengths and slices count bytes whatever the caller's view counted.

    Raises: TypeError for a view that is not contiguous.
    """
    view = memoryview(data)
    # An empty view cannot be cast and need not be; a view with gaps cannot be cast and must not pass.
    return view if view.format == "B" and view.ndim == 1 and view.contiguous else view.cast("B")


def flat_writable(out: bytearray | memoryview) -> memoryview:
    """The same for a buffer to write to.  Raises: ValueError if it is read-only."""
    view = flat(out)
    if view.readonly:
        raise ValueError("the output is read-only")
    return view


def _chunk_nonce(index: int, last: bool) -> bytes:
    """11 bytes of counter, big-endian, and one of flag."""
    return (index << 8 | (_FINAL if last else _NOT_FINAL)).to_bytes(12, "big")
