"""Values that a browser keeps for the coordinator, and can neither read nor change."""

from __future__ import annotations

import base64
import binascii
import hashlib
from typing import Generic, TypeVar

import msgspec
from nacl.exceptions import CryptoError
from nacl.secret import SecretBox

T = TypeVar("T")


class Seal(Generic[T]):
    """Seals values of one type for one purpose: what was sealed for another does not open.

    A sealed value is as long as its content, 40 bytes more, in base64; a cookie has room for 4 KiB.
    """

    def __init__(self, session_key: bytes, purpose: str, type_: type[T]) -> None:
        self._box = SecretBox(hashlib.blake2b(purpose.encode(), key=session_key, digest_size=SecretBox.KEY_SIZE).digest())
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(type_)

    def close(self, value: T) -> str:
        """The value as text that may stand in a cookie or a URL."""
        return base64.urlsafe_b64encode(self._box.encrypt(msgspec.msgpack.encode(value))).decode().rstrip("=")

    def open(self, sealed: str) -> T | None:
        """The value; None for what was not sealed here for this purpose, or is damaged."""
        try:
            raw = base64.b64decode(sealed + "=" * (-len(sealed) % 4), altchars=b"-_", validate=True)
            return self._decoder.decode(self._box.decrypt(raw))
        except (ValueError, binascii.Error, CryptoError, msgspec.DecodeError):
            return None
