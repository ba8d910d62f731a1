"""NATS JWTs, version 2: `header.claims.signature` in unpadded base64url, signed by an nkey.

Source: github.com/nats-io/jwt, v2/claims.go and v2/header.go.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from datetime import UTC, datetime
from typing import Any, Final

from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from contracts.errors import Corrupt
from daemon.trust.keys import KeyPair

VERSION: Final = 2
_HEADER: Final = {"typ": "JWT", "alg": "ed25519-nkey"}


def encode(
    signer: KeyPair,
    *,
    type_: str,
    subject: str,
    name: str,
    claims: dict[str, Any],
    issued_at: datetime,
    expires_at: datetime | None = None,
) -> str:
    """The signed text.  Times are cut to whole seconds; equal arguments give equal text."""
    payload: dict[str, Any] = {
        "iat": int(issued_at.timestamp()),
        "iss": signer.public,
        "name": name,
        "sub": subject,
        "nats": {**claims, "type": type_, "version": VERSION},
    }
    if expires_at is not None:
        payload["exp"] = int(expires_at.timestamp())
    digest = hashlib.new("sha512_256", _json(payload)).digest()
    payload["jti"] = base64.b32encode(digest).decode().rstrip("=")
    signed = f"{_base64(_json(_HEADER))}.{_base64(_json(payload))}"
    return f"{signed}.{_base64(signer.sign(signed.encode()))}"


def decode(text: str) -> dict[str, Any]:
    """The claims, whose signature is by the issuer that they name; whether that one is trusted is the caller's to decide.

    Raises: Corrupt `key.invalid`.
    """
    try:
        header, payload, signature = text.strip().split(".")
        claims = json.loads(_unbase64(payload))
        issuer = base64.b32decode(claims["iss"])[1:33]
        VerifyKey(issuer).verify(f"{header}.{payload}".encode(), _unbase64(signature))
        return {**claims, "sub": str(claims["sub"]), "nats": dict(claims["nats"])}
    except (ValueError, KeyError, TypeError, binascii.Error, BadSignatureError) as exc:
        raise Corrupt("key.invalid", f"not a NATS JWT ({type(exc).__name__})") from None


def expiry(text: str) -> datetime | None:
    """When it ends; None: never.  Raises: Corrupt `key.invalid`."""
    seconds = decode(text).get("exp")
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC)


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), sort_keys=True).encode()


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _unbase64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
