"""The coordinator's master key: seals what is kept in the keys bucket, and is itself kept elsewhere.

Sealing is XChaCha20-Poly1305 with a random 24-byte nonce in front of the ciphertext; the context (project and key id) is
authenticated with it, so a sealed identity that was moved to another project's record does not open.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import os
from pathlib import Path
from typing import Final, Self

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
    crypto_aead_xchacha20poly1305_ietf_NPUBBYTES,
)
from nacl.exceptions import CryptoError

from contracts.errors import Denied, InvalidInput

_PREFIX: Final = "strongroom-master-1:"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES


class MasterKey:
    """32 secret bytes that never leave this object except into the file they came from."""

    def __init__(self, secret: bytes) -> None:
        assert len(secret) == _KEY_BYTES
        self._secret = secret

    def __repr__(self) -> str:
        return "MasterKey(…)"

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises: InvalidInput `key.invalid` naming the file; its content is not repeated."""
        try:
            text = path.read_text(encoding="ascii").strip()
            secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except OSError as exc:
            raise InvalidInput("key.invalid", f"{path}: cannot be read: {exc.strerror}", field="master_key_file") from exc
        except (ValueError, binascii.Error):
            secret = b""
            text = ""
        if not text.startswith(_PREFIX) or len(secret) != _KEY_BYTES:
            raise InvalidInput("key.invalid", f"{path}: is not a Strongroom master key", field="master_key_file")
        return cls(secret)

    def reveal(self) -> str:
        """The text of a master key file."""
        return _PREFIX + base64.b64encode(self._secret).decode()

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for another purpose, from which the master key cannot be found."""
        return hmac.digest(self._secret, purpose.encode(), "sha256")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, self._secret)

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises: Denied `key.unavailable` when this master key did not seal it for this context."""
        nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(body, context, nonce, self._secret)
        except (CryptoError, ValueError) as exc:
            raise Denied(
                "key.unavailable", "the master key does not open this project's key; was it replaced without rotation?"
            ) from exc
