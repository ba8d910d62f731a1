"""Signing keys: nkey pairs of operators, accounts and users, with a seed that shows nowhere.

SO… / O…   the operator, and its signing keys
SA… / A…   an account, and its signing keys
SU… / U…   a user: one that connects
"""

from __future__ import annotations

import base64
import binascii
import os
from enum import Enum
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

from contracts.errors import InvalidInput
from daemon.embedded.private_files import write_private


class KeyKind(Enum):
    """What a key may stand for; the first letter of its public half says it."""

    OPERATOR = nkeys.PREFIX_BYTE_OPERATOR
    ACCOUNT = nkeys.PREFIX_BYTE_ACCOUNT
    USER = nkeys.PREFIX_BYTE_USER

    @property
    def letter(self) -> str:
        return {"OPERATOR": "O", "ACCOUNT": "A", "USER": "U"}[self.name]


class KeyPair:
    """A seed, its public key, and signatures by it."""

    def __init__(self, seed: str, kind: KeyKind) -> None:
        """Raises: InvalidInput `key.invalid` for a mistyped seed or one of another kind; the text never holds the seed."""
        encoded = seed.strip().encode()
        try:
            prefix, raw = nkeys.decode_seed(encoded)
            # The package does not look at the checksum: a mistyped seed would silently be another identity.
            genuine = prefix == kind.value and nkeys.encode_seed(bytes(raw), prefix) == encoded
            self._pair = nkeys.from_seed(bytearray(encoded)) if genuine else None
        except Exception as exc:  # noqa: BLE001 - the package raises a dozen unrelated types for malformed seeds
            raise InvalidInput("key.invalid", f"not an nkey seed ({type(exc).__name__})") from None
        if self._pair is None:
            hint = f"one that begins with S{kind.letter}"
            raise InvalidInput("key.invalid", f"not an nkey seed of this kind ({hint}), or mistyped")
        self._seed = encoded.decode()
        self.public = bytes(self._pair.public_key).decode()

    @classmethod
    def generate(cls, kind: KeyKind) -> KeyPair:
        return cls(bytes(nkeys.encode_seed(os.urandom(32), kind.value)).decode(), kind)

    @classmethod
    def read(cls, path: Path, kind: KeyKind) -> KeyPair:
        """Raises: InvalidInput `config.invalid` naming the file."""
        try:
            return cls(path.read_text(encoding="ascii"), kind)
        except OSError as exc:
            raise InvalidInput("config.invalid", f"{path}: cannot be read: {exc.strerror}", field=str(path)) from None
        except UnicodeDecodeError:
            raise InvalidInput("config.invalid", f"{path}: holds no nkey seed", field=str(path)) from None
        except InvalidInput as exc:
            raise InvalidInput("config.invalid", f"{path}: {exc.message}", field=str(path)) from None

    @classmethod
    def ensure(cls, path: Path, kind: KeyKind) -> KeyPair:
        """The pair in the file, which is made when absent (mode 0600) and never replaced."""
        if not path.exists():
            write_private(path, cls.generate(kind).reveal() + "\n")
        return cls.read(path, kind)

    def sign(self, data: bytes) -> bytes:
        """64 bytes of Ed25519."""
        assert self._pair is not None
        return bytes(self._pair.sign(data))

    def reveal(self) -> str:
        return self._seed

    def __repr__(self) -> str:
        return f"KeyPair({self.public})"


def check_public_key(key: str, kind: KeyKind, field: str = "public_key") -> str:
    """The key.  Raises: InvalidInput `key.invalid` for anything but the public half of a pair of that kind."""
    if not is_public_key(key, kind):
        raise InvalidInput(
            "key.invalid", f"not a public nkey that begins with {kind.letter} and has 56 characters", field=field
        )
    return key


def is_public_key(key: str, kind: KeyKind) -> bool:
    """Whether it is well formed, its checksum included."""
    if len(key) != 56 or not key.startswith(kind.letter):
        return False
    try:
        raw = base64.b32decode(key.encode("ascii"))
    except (binascii.Error, UnicodeEncodeError):
        return False
    return raw[0] == kind.value and int.from_bytes(raw[33:], "little") == int(nkeys.crc16(bytearray(raw[:33])))
