"""Events as a person reads them: one sentence each, and how much it matters."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.events import EVENT_TYPES, Event
from daemon.cli.figures import duration, size
from daemon.web import links

GROUPS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "": ("Everything", ()),
    "problems": (
        "Problems",
        (
            "backup.failed",
            "backup.missed",
            "backup.skipped",
            "restore.failed",
            "restore.missed",
            "node.silent",
            "retention.frozen",
            "access.refused",
            "notification.failed",
            "request.refused",
        ),
    ),
    "backups": ("Backups", ("backup", "retention")),
    "restores": ("Restores", ("restore",)),
    "fleet": ("Projects, services, nodes", ("project", "service", "node")),
    "access": ("Access", ("access", "token")),
}
"""Choices of the list: by name, what they are called and which types they have."""

_TONES: Final = {
    "failed": "problem",
    "missed": "problem",
    "silent": "problem",
    "refused": "problem",
    "frozen": "warning",
    "skipped": "warning",
    "retried": "warning",
    "completed": "good",
    "alive": "good",
    "resumed": "good",
    "requested": "busy",
    "started": "busy",
}

_WHAT: Final = {"access.called": "asked for", "access.refused": "not let in", "request.refused": "agent refused"}
_SAYINGS: Final = {
    "backup.started": "the agent has taken it up",
    "restore.started": "the agent has taken it up",
    "backup.missed": "nobody was there to make it",
    "restore.missed": "no agent took it up",
    "backup.cancelled": "somebody cancelled it",
    "restore.cancelled": "somebody cancelled it",
    "node.alive": "its agent is heard of",
    "node.silent": "its agent is not heard of any more",
}
"""Shorter than what the list of event types says, which explains the type and not the event."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event in words."""

    tone: str
    what: str
    """Such as `backup completed`."""
    text: str
    link: str = ""
    """To the run that it tells of."""


def tell(event: Event) -> Told:
    verb = event.type.rpartition(".")[2]
    text = _SENTENCES.get(event.type, _plain)(event)
    tone = _TONES.get(verb, "off")
    if event.type == "access.called" and _fact(event, "outcome") not in ("", "done"):
        tone = "warning"
    return Told(tone=tone, what=_WHAT.get(event.type, event.type.replace(".", " ")), text=text, link=_link(event))


def _link(event: Event) -> str:
    if not (event.project and event.service):
        return ""
    if event.restore_id:
        return links.restore(event.project, event.service, event.restore_id)
    return links.backup(event.project, event.service, event.backup_id) if event.backup_id else ""


def _plain(event: Event) -> str:
    return event.reason or _SAYINGS.get(event.type) or EVENT_TYPES.get(event.type, "")


def _requested(event: Event) -> str:
    return f"given to {event.node}" + (f": {event.reason}" if event.reason else "")


def _completed(event: Event) -> str:
    parts = [size(event.size_bytes)] if event.size_bytes else []
    if event.elapsed_s is not None:
        parts.append(f"in {duration(event.elapsed_s)}")
    warnings = len(event.warnings or ())
    words = " ".join(parts) or EVENT_TYPES[event.type]
    return f"{words}, with {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else words


def _failed(event: Event) -> str:
    return event.error.message if event.error else _plain(event)


def _called(event: Event) -> str:
    """Who asked for what, and what came of it."""
    verb, outcome = _fact(event, "verb"), _fact(event, "outcome")
    about = next((value for name in ("id", "node", "name") if (value := _fact(event, name))), "")
    asked = f"{verb} {about}".strip() or EVENT_TYPES[event.type]
    return asked if outcome in ("", "done") else f"{asked}: refused with {outcome}"


def _token(event: Event) -> str:
    return f"{_fact(event, 'name')}, {_fact(event, 'role')}, {_fact(event, 'id')}"


def _refused(event: Event) -> str:
    address, number = _fact(event, "address"), _fact(event, "refusals")
    times = f", {number} times" if number not in ("", "1") else ""
    where = f" from {address}" if address else ""
    return f"{event.reason or EVENT_TYPES[event.type]}{where}{times}"


def _fact(event: Event, name: str) -> str:
    value = (event.facts or {}).get(name)
    return "" if value is None else str(value)


_SENTENCES: Final = {
    "backup.requested": _requested,
    "restore.requested": _requested,
    "backup.completed": _completed,
    "restore.completed": _completed,
    "backup.failed": _failed,
    "restore.failed": _failed,
    "backup.retried": _failed,
    "access.called": _called,
    "access.refused": _refused,
    "token.created": _token,
    "token.revoked": _token,
}
