"""API keys and tokens, and what each may do: global or per collection, as `storage/src/rbac` in Qdrant decides it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web

from tests.servers.qdrant.answers import Failure

OPEN_PATHS: Final = ("/", "/healthz", "/readyz", "/livez")


@dataclass(frozen=True)
class Keys:
    """As in the `service` section of the configuration; empty ones are not set."""

    api_key: str = ""
    read_only_api_key: str = ""
    jwt_rbac: bool = False

    @property
    def required(self) -> bool:
        return bool(self.api_key or self.read_only_api_key)


class Access:
    """`r` or `m` for everything, or `r` and `rw` by collection."""

    def __init__(self, mode: str | dict[str, str]) -> None:
        self._mode = mode

    def require_global(self, *, manage: bool = False) -> None:
        if isinstance(self._mode, dict):
            raise Failure(403, "Forbidden: Global access is required")
        if manage and self._mode != "m":
            raise Failure(403, "Forbidden: Global manage access is required")

    def require(self, collection: str, *, write: bool = False, extras: bool = False) -> None:
        if not isinstance(self._mode, dict):
            if write and self._mode != "m":
                raise Failure(403, "Forbidden: Global manage access is required")
            return
        mode = self._mode.get(collection)
        if mode is None:
            raise Failure(403, f"Forbidden: Access to collection {collection} is required")
        if extras and mode == "prw":
            raise Failure(403, f"Forbidden: Only points access is allowed for collection {collection}")
        if write and mode == "r":
            raise Failure(403, f"Forbidden: Write access to collection {collection} is required")

    def sees(self, collection: str) -> bool:
        return not isinstance(self._mode, dict) or collection in self._mode


ACCESS: Final = web.RequestKey("access", Access)
"""Where a request keeps it."""


def access_of(keys: Keys, headers: Mapping[str, str]) -> Access:
    """Raises: Failure 401 as plain text, as the server's middleware answers."""
    if not keys.required:
        return Access("m")
    key = headers.get("api-key") or headers.get("Authorization", "").removeprefix("Bearer ")
    if not key:
        raise Failure(401, "Must provide an API key or an Authorization bearer token", plain=True)
    if keys.api_key and hmac.compare_digest(key, keys.api_key):
        return Access("m")
    if keys.read_only_api_key and hmac.compare_digest(key, keys.read_only_api_key):
        return Access("r")
    if keys.jwt_rbac and (claims := _claims(key, keys.api_key)) is not None:
        access = claims.get("access", "m")
        if isinstance(access, list):
            return Access({each["collection"]: each["access"] for each in access})
        return Access(access)
    raise Failure(401, "Invalid API key or JWT", plain=True)


def make_token(api_key: str, claims: dict[str, Any]) -> str:
    """A token as an administrator makes it: HS256, signed with the API key."""
    head = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
    signed = f"{head}.{_encode(json.dumps(claims).encode())}"
    return f"{signed}.{_encode(_signature(signed, api_key))}"


def _claims(token: str, api_key: str) -> dict[str, Any] | None:
    signed, _, signature = token.rpartition(".")
    if signed.count(".") != 1 or not hmac.compare_digest(_encode(_signature(signed, api_key)), signature):
        return None
    claims: dict[str, Any] = json.loads(_decode(signed.partition(".")[2]))
    return claims if claims.get("exp", time.time() + 1) > time.time() else None


def _signature(signed: str, api_key: str) -> bytes:
    return hmac.new(api_key.encode(), signed.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
