"""The symmetric key of one file, and the keys derived from it."""

from __future__ import annotations

import secrets
from typing import Final, Self

from contracts.age.errors import BadKey
from contracts.age.primitives import hkdf_sha256, hmac_sha256
from contracts.age.secret import Secret

FILE_KEY_SIZE: Final = 16
NONCE_SIZE: Final = 16
"""Bytes of the payload nonce, which stands between the header and the first chunk."""


class FileKey(Secret):
    """16 random bytes that open one file: its header MAC and its payload hang on them.  Never used for two files."""

    __slots__ = ()

    def __init__(self, raw: bytes) -> None:
        """Raises: BadKey unless `raw` is 16 bytes."""
        if len(raw) != FILE_KEY_SIZE:
            raise BadKey(f"a file key has {FILE_KEY_SIZE} bytes, not {len(raw)}")
        super().__init__(raw)

    @classmethod
    def generate(cls) -> Self:
        """A fresh key from the system's random source."""
        return cls(secrets.token_bytes(FILE_KEY_SIZE))

    def reveal(self) -> bytes:
        """The 16 bytes themselves.  Whoever holds them can read the file: only seal them to somebody."""
        return self._raw

    def header_mac(self, authenticated: bytes) -> bytes:
        """The MAC over a header from its first byte up to and including `---`.  Source: "Header MAC"."""
        return hmac_sha256(hkdf_sha256(self._raw, info=b"header"), authenticated)

    def payload_key(self, nonce: bytes) -> bytes:
        """The 32-byte key of the chunks.  Source: "Payload".  Raises: BadKey unless `nonce` is 16 bytes."""
        if len(nonce) != NONCE_SIZE:
            raise BadKey(f"a payload nonce has {NONCE_SIZE} bytes, not {len(nonce)}")
        return hkdf_sha256(self._raw, salt=nonce, info=b"payload")
