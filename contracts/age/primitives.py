"""The cryptographic functions of the header, each under the name the specification gives it.

X25519 and the wrapping of file keys come from libsodium (PyNaCl); HKDF and HMAC from the standard library.  The payload
has its own cipher in `stream.py`.
"""

from __future__ import annotations

import hmac
from typing import Final

from nacl.bindings import (
    crypto_aead_chacha20poly1305_ietf_decrypt,
    crypto_aead_chacha20poly1305_ietf_encrypt,
    crypto_scalarmult,
    crypto_scalarmult_base,
)
from nacl.exceptions import CryptoError

from contracts.age.errors import LowOrderPoint

_ZERO_NONCE: Final = bytes(12)
_ZERO_SECRET: Final = bytes(32)
_EMPTY_SALT: Final = bytes(32)  # RFC 5869 section 2.2: a salt that is not given is one hash length of zeros


def hmac_sha256(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256 (RFC 2104): 32 bytes."""
    return hmac.digest(key, message, "sha256")


def hkdf_sha256(secret: bytes, *, salt: bytes = b"", info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869): 32 bytes, the only length that age asks for, so one round of expansion is all."""
    extracted = hmac_sha256(salt or _EMPTY_SALT, secret)
    return hmac_sha256(extracted, info + b"\x01")


def x25519(scalar: bytes, point: bytes) -> bytes:
    """The shared secret of RFC 7748 section 5: 32 bytes.

    Raises: LowOrderPoint where it would be all zeros, which age requires to be refused.
    """
    try:
        shared_secret = crypto_scalarmult(scalar, point)
    except CryptoError as exc:
        raise LowOrderPoint("an X25519 share is a point of low order") from exc
    # libsodium refuses these points itself; the specification demands the check, so it does not hang on the build of it.
    if hmac.compare_digest(shared_secret, _ZERO_SECRET):
        raise LowOrderPoint("an X25519 share is a point of low order")
    return shared_secret


def x25519_public(scalar: bytes) -> bytes:
    """The public half of `scalar`: 32 bytes, canonical and never of low order."""
    return crypto_scalarmult_base(scalar)


def wrap(wrap_key: bytes, file_key: bytes) -> bytes:
    """ChaCha20-Poly1305 under an all-zero nonce: `wrap_key` must come from a fresh share and is used this once."""
    return crypto_aead_chacha20poly1305_ietf_encrypt(file_key, None, _ZERO_NONCE, wrap_key)


def unwrap(wrap_key: bytes, body: bytes) -> bytes | None:
    """The wrapped file key, or None if `body` was not made with this key."""
    try:
        return crypto_aead_chacha20poly1305_ietf_decrypt(body, None, _ZERO_NONCE, wrap_key)
    except CryptoError:
        return None
