"""The coordinator's master key: seals what is kept in the buckets, and is itself kept elsewhere (`daemon.keys.sources`).

It is a ring of keys, one line each in its source.  The first is the current one and seals; the others only open what was
sealed before.  Sealing is XChaCha20-Poly1305 with a random 24-byte nonce; the context (such as project and key id) is
authenticated with it, so a sealed identity that was moved to another project's record does not open.

    sealed = "srmk" | 8 bytes: id of the key | 24 bytes: nonce | ciphertext      as it is written
           | 24 bytes: nonce | ciphertext                                        as it was, before keys had ids
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
_MAGIC: Final = b"srmk"
_ID_BYTES: Final = 8
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES
_MOST_KEYS: Final = 16
"""Nobody has more, and each of them is tried on what was sealed before keys had ids."""


class MasterKey:
    """Secret bytes that never leave this object except into the source they came from.

    Whoever holds it keeps holding it: a rotation changes the keys inside.
    """

    def __init__(self, *secrets: bytes) -> None:
        assert secrets
        assert all(len(secret) == _KEY_BYTES for secret in secrets)
        self._secrets = tuple(dict.fromkeys(secrets))

    def __repr__(self) -> str:
        return f"MasterKey({', '.join(self.key_ids)})"

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(_KEY_BYTES))

    @classmethod
    def parse(cls, text: str, *, where: str, field: str) -> Self:
        """One key a line; empty lines and those that begin with `#` are left out.

        Raises: InvalidInput `key.invalid` naming the place and the line; the content is not repeated.
        """
        secrets: list[bytes] = []
        for number, line in enumerate(text.splitlines(), start=1):
            if not (line := line.strip()) or line.startswith("#"):
                continue
            secret = _secret_of(line)
            if secret is None:
                raise InvalidInput("key.invalid", f"{where}: line {number} is not a Strongroom master key", field=field)
            secrets.append(secret)
        if not secrets or len(secrets) > _MOST_KEYS:
            raise InvalidInput("key.invalid", f"{where}: is not a Strongroom master key", field=field)
        return cls(*secrets)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises: InvalidInput `key.invalid` naming the file."""
        try:
            text = path.read_text(encoding="ascii")
        except OSError as exc:
            raise InvalidInput("key.invalid", f"{path}: cannot be read: {exc.strerror}", field="master_key_file") from exc
        except ValueError:
            text = ""
        return cls.parse(text, where=str(path), field="master_key_file")

    @property
    def key_id(self) -> str:
        """Of the current key: 16 hex digits from which the key cannot be found."""
        return _id_of(self._secrets[0]).hex()

    @property
    def key_ids(self) -> tuple[str, ...]:
        """Of all keys, the current one first."""
        return tuple(_id_of(secret).hex() for secret in self._secrets)

    def with_new(self) -> MasterKey:
        """A ring with a fresh current key in front of these."""
        return MasterKey(os.urandom(_KEY_BYTES), *self._secrets)

    def current_only(self) -> MasterKey:
        """A ring of the current key alone."""
        return MasterKey(self._secrets[0])

    def become(self, other: MasterKey) -> None:
        """Holds the other's keys from now on, and no more its own."""
        self._secrets = other._secrets

    def reveal(self) -> str:
        """The text of a master key file, without the last line's end."""
        return "\n".join(_PREFIX + base64.b64encode(secret).decode() for secret in self._secrets)

    def derive(self, purpose: str) -> bytes:
        """32 secret bytes for another purpose, from which the master key cannot be found; others after a rotation."""
        return hmac.digest(self._secrets[0], purpose.encode(), "sha256")

    def seal(self, plain: bytes, context: bytes) -> bytes:
        secret, nonce = self._secrets[0], os.urandom(_NONCE_BYTES)
        body = crypto_aead_xchacha20poly1305_ietf_encrypt(plain, context, nonce, secret)
        return _MAGIC + _id_of(secret) + nonce + body

    def is_current(self, sealed: bytes) -> bool:
        """Whether it names the current key as the one that sealed it."""
        return sealed.startswith(_MAGIC + _id_of(self._secrets[0]))

    def open(self, sealed: bytes, context: bytes) -> bytes:
        """Raises: Denied `key.unavailable` when none of these keys sealed it for this context."""
        head = len(_MAGIC) + _ID_BYTES
        if sealed.startswith(_MAGIC):
            named = [secret for secret in self._secrets if _id_of(secret) == sealed[len(_MAGIC) : head]]
            for secret in named:
                if (plain := _open(secret, sealed[head:], context)) is not None:
                    return plain
        # Of the former form, or one of it whose nonce happens to begin like ours.
        for secret in self._secrets:
            if (plain := _open(secret, sealed, context)) is not None:
                return plain
        raise Denied(
            "key.unavailable",
            "the master key does not open this: was its source replaced without a rotation, or this moved from its place?",
        )


def _secret_of(line: str) -> bytes | None:
    if not line.startswith(_PREFIX):
        return None
    try:
        secret = base64.b64decode(line.removeprefix(_PREFIX), validate=True)
    except (ValueError, binascii.Error):
        return None
    return secret if len(secret) == _KEY_BYTES else None


def _id_of(secret: bytes) -> bytes:
    return hmac.digest(secret, b"strongroom master key id", "sha256")[:_ID_BYTES]


def _open(secret: bytes, sealed: bytes, context: bytes) -> bytes | None:
    nonce, body = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
    try:
        return crypto_aead_xchacha20poly1305_ietf_decrypt(body, context, nonce, secret)
    except (CryptoError, ValueError):
        return None
