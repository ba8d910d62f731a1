"""API keys: what they may do, and how their text follows from the master key (HMAC-SHA256 of the uid)."""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from tests.servers.meilisearch.errors import ApiError
from tests.servers.meilisearch.store import Store, now

ACTIONS: Final = frozenset(
    {
        "*",
        "*.get",
        "search",
        "documents.*",
        "documents.add",
        "documents.get",
        "documents.delete",
        "indexes.*",
        "indexes.create",
        "indexes.get",
        "indexes.update",
        "indexes.delete",
        "indexes.swap",
        "tasks.*",
        "tasks.cancel",
        "tasks.delete",
        "tasks.get",
        "settings.*",
        "settings.get",
        "settings.update",
        "stats.*",
        "stats.get",
        "metrics.*",
        "metrics.get",
        "dumps.*",
        "dumps.create",
        "snapshots.*",
        "snapshots.create",
        "version",
        "keys.create",
        "keys.get",
        "keys.update",
        "keys.delete",
        "experimental.get",
        "experimental.update",
        "export",
        "network.get",
        "network.update",
        "chatCompletions",
        "chats.*",
        "chats.get",
        "chats.delete",
        "chatsSettings.*",
        "chatsSettings.get",
        "chatsSettings.update",
    }
)
_GLOBAL: Final = frozenset({"dumps.create", "dumps.*", "snapshots.create", "snapshots.*", "version", "metrics.get"})
"""Actions that a key of certain indexes may not have."""
_FIELDS: Final = frozenset({"name", "description", "uid", "actions", "indexes", "expiresAt"})
_INVALID: Final = "The provided API key is invalid."


class Keys:
    """The keys of one server."""

    def __init__(self, store: Store, master_key: str) -> None:
        self._store = store
        self._master_key = master_key

    def make_defaults(self) -> None:
        """Those that a new database begins with, when there is a master key."""
        for name, actions in (("Default Search API Key", ["search"]), ("Default Admin API Key", ["*"])):
            self._store.put_key(_key(name=name, actions=actions, indexes=["*"], expires_at=None))

    def authorize(self, header: str | None, action: str) -> None:
        """Raises: ApiError when the request's `Authorization` does not allow the action."""
        if not self._master_key:
            if action.startswith("keys."):
                message = "Meilisearch is running without a master key. To access this API endpoint, you must have set a "
                raise ApiError("missing_master_key", message + "master key at launch.")
            return
        scheme, _, token = (header or "").partition(" ")
        if scheme != "Bearer":
            message = "The Authorization header is missing. It must use the bearer authorization method."
            raise ApiError("missing_authorization_header", message)
        if hmac.compare_digest(token, self._master_key):
            return
        for key in self._store.all_keys():
            if hmac.compare_digest(token, self.text(key["uid"])) and _is_alive(key) and _allows(key["actions"], action):
                return
        raise ApiError("invalid_api_key", _INVALID)

    def text(self, uid: str) -> str:
        return hmac.new(self._master_key.encode(), uid.encode(), hashlib.sha256).hexdigest()

    def view(self, key: dict[str, Any]) -> dict[str, Any]:
        return {"name": None, "description": None, **key, "key": self.text(key["uid"])}

    def find(self, uid_or_key: str) -> dict[str, Any]:
        for key in self._store.all_keys():
            if uid_or_key in {key["uid"], self.text(key["uid"])}:
                return key
        raise ApiError("api_key_not_found", f"API key `{uid_or_key}` not found.")

    def create(self, body: Any) -> dict[str, Any]:
        if not isinstance(body, dict):
            raise ApiError("bad_request", "Invalid value type: expected an object")
        for name, code in (("actions", "actions"), ("indexes", "indexes"), ("expiresAt", "expires_at")):
            if name not in body:
                raise ApiError(f"missing_api_key_{code}", f"Missing field `{name}`")
        if unknown := set(body) - _FIELDS:
            raise ApiError("bad_request", f"Unknown field `{min(unknown)}`")
        for number, action in enumerate(body["actions"]):
            if action not in ACTIONS:
                raise ApiError("invalid_api_key_actions", f"Unknown value `{action}` at `.actions[{number}]`")
        for number, pattern in enumerate(body["indexes"]):
            if not re.fullmatch(r"[a-zA-Z0-9_-]*\*?", pattern) or not pattern:
                raise ApiError("invalid_api_key_indexes", f"Invalid value at `.indexes[{number}]`: `{pattern}`")
        if "*" not in body["indexes"] and (wide := _GLOBAL & set(body["actions"])):
            raise ApiError("invalid_api_key_actions", f"The action `{min(wide)}` cannot be restricted to indexes")
        expires_at = body["expiresAt"]
        if expires_at is not None and _time(expires_at) <= datetime.now(UTC):
            message = f"Invalid value at `.expiresAt`: `{expires_at}` is not a valid date or is in the past."
            raise ApiError("invalid_api_key_expires_at", message)
        key = _key(
            name=body.get("name"),
            description=body.get("description"),
            uid=body.get("uid"),
            actions=body["actions"],
            indexes=body["indexes"],
            expires_at=expires_at,
        )
        self._store.put_key(key)
        return key

    def update(self, uid_or_key: str, body: dict[str, Any]) -> dict[str, Any]:
        if unknown := set(body) - {"name", "description"}:
            raise ApiError("bad_request", f"Immutable field `{min(unknown)}`: expected one of `description`, `name`")
        key = {**self.find(uid_or_key), **body, "updatedAt": now()}
        self._store.put_key(key)
        return key

    def delete(self, uid_or_key: str) -> None:
        self._store.delete_key(self.find(uid_or_key)["uid"])


def _key(
    *,
    name: str | None,
    actions: list[str],
    indexes: list[str],
    expires_at: str | None,
    description: str | None = None,
    uid: str | None = None,
) -> dict[str, Any]:
    made = now()
    return {
        **({"description": description} if description is not None else {}),
        **({"name": name} if name is not None else {}),
        "uid": uid or str(uuid.uuid4()),
        "actions": actions,
        "indexes": indexes,
        "expiresAt": expires_at,
        "createdAt": made,
        "updatedAt": made,
    }


def _allows(granted: list[str], action: str) -> bool:
    if action in granted or "*" in granted:
        return True
    family, _, verb = action.partition(".")
    return f"{family}.*" in granted or (verb == "get" and family != "keys" and "*.get" in granted)


def _is_alive(key: dict[str, Any]) -> bool:
    return key["expiresAt"] is None or _time(key["expiresAt"]) > datetime.now(UTC)


def _time(text: str) -> datetime:
    try:
        parsed = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        raise ApiError(
            "invalid_api_key_expires_at", f"Invalid value at `.expiresAt`: `{text}` is not a valid date"
        ) from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
