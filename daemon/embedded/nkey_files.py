"""nkey seeds: who a program is on the bus.  One file each, mode 0600; the public key is derived from it."""

from __future__ import annotations

import os
from pathlib import Path

import nkeys  # type: ignore[import-untyped]

from contracts.errors import InvalidInput
from daemon.embedded.private_files import write_private


def new_user_seed() -> str:
    """The seed of a fresh user nkey, 58 characters that begin with `SU`."""
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()


def public_key_of(seed: str) -> str:
    """The public key, which begins with `U`.  Raises: InvalidInput `key.invalid`; the text never holds the seed."""
    encoded = seed.strip().encode()
    try:
        prefix, raw = nkeys.decode_seed(encoded)
        # The package does not look at the checksum: a mistyped seed would silently be another identity.
        genuine = prefix == nkeys.PREFIX_BYTE_USER and nkeys.encode_seed(bytes(raw), prefix) == encoded
        public = bytes(nkeys.from_seed(bytearray(encoded)).public_key).decode() if genuine else ""
    except Exception as exc:  # noqa: BLE001 - the package raises a dozen unrelated types for malformed seeds
        raise InvalidInput("key.invalid", f"not an nkey seed ({type(exc).__name__})") from None
    if not public:
        raise InvalidInput("key.invalid", "not an nkey seed of a user: mistyped, or of another kind")
    return public


def ensure_user_seed(path: Path) -> str:
    """The public key of the seed in the file, which is created when absent and never replaced.

    Raises: InvalidInput `key.invalid` naming the file when it holds no seed.
    """
    try:
        seed = path.read_text(encoding="ascii")
    except FileNotFoundError:
        seed = new_user_seed()
        write_private(path, seed + "\n")
    except UnicodeDecodeError:
        seed = ""
    try:
        return public_key_of(seed)
    except InvalidInput as exc:
        raise InvalidInput("key.invalid", f"{path}: {exc.message}", field=str(path)) from None
