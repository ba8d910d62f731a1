"""What an answer's head says: its status, where the thing that was made is, and where the list goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import quote, urlencode

from contracts.control import BACKUP_CREATE, PROJECT_CREATE, RESTORE_CREATE, SERVICE_ADD, Nothing, Verb
from daemon.http.operations import API_PREFIX

_BEGINS: Final = frozenset({BACKUP_CREATE.name, RESTORE_CREATE.name})
"""What is done when the answer comes is only that it was asked for."""
_LOCATIONS: Final = {
    PROJECT_CREATE.name: "/projects/{name}",
    SERVICE_ADD.name: "/projects/{project}/services/{name}",
    BACKUP_CREATE.name: "/projects/{project}/services/{service}/backups/{id}",
    RESTORE_CREATE.name: "/projects/{project}/services/{service}/restores/{id}",
}


def is_creation(verb: Verb[Any, Any]) -> bool:
    """Whether doing it twice makes two of it: those take an idempotency key."""
    return verb.method == "POST" and verb.name.endswith((".create", ".add"))


def status_of_success(verb: Verb[Any, Any]) -> int:
    if verb.name in _BEGINS:
        return 202
    if is_creation(verb):
        return 201
    return 204 if verb.answer is Nothing else 200


def location_of(verb: Verb[Any, Any], answer: Any) -> str:
    """The path of what was made; empty where it has none."""
    template = _LOCATIONS.get(verb.name, "")
    path = "/".join(quote(str(getattr(answer, part[1:-1]))) if part[:1] == "{" else part for part in template.split("/"))
    return f"{API_PREFIX}{path}" if path else ""


def has_location(verb: Verb[Any, Any]) -> bool:
    return bool(_LOCATIONS.get(verb.name))


def next_link(path: str, query: Sequence[tuple[str, str]], cursor: str) -> str:
    """The value of `Link` for a list that goes on.  Source: RFC 8288."""
    pairs = [*((name, text) for name, text in query if name != "cursor"), ("cursor", cursor)]
    return f'<{quote(path)}?{urlencode(pairs)}>; rel="next"'
