"""What to do about a service that does not stand well: one sentence for each cause, for somebody who may not know us yet."""

from __future__ import annotations

from typing import Final

import msgspec

from contracts.access import Role
from contracts.control import ServiceView
from contracts.standing import Cause, CauseCode, Level
from daemon.web import links
from daemon.web.service.places import Places


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """A cause, and what follows from it."""

    level: Level
    message: str
    to_do: str = ""
    """A sentence; empty where nothing has to be done."""
    command: str = ""
    """For a shell on the service's host."""
    link: str = ""
    link_words: str = ""


_HOW: Final[dict[CauseCode, str]] = {
    CauseCode.FAILED: "Look at the run: it has the tool's own words. When that is mended, back it up again.",
    CauseCode.MISSED: "Nobody was there to make it. See that the agent runs on its host, then back it up now.",
    CauseCode.OVERDUE: "See that its node is alive and a coordinator leads the schedule; a backup by hand does no harm.",
    CauseCode.SUSPICIOUS: (
        "Compare it with those before. Until the size is usual again, retention deletes nothing. If the data really "
        "shrank, the next backups make that usual."
    ),
    CauseCode.NO_AGENT: "Start the agent on its host; the first sign of life arrives within seconds.",
    CauseCode.NOT_CONFIGURED: "Tell the agent on its host how to reach it, and with which login.",
    CauseCode.ENGINE: "See on the host that the server runs, and that the login of its services file still works.",
    CauseCode.NO_BACKUP: "Make the first one now, rather than find out at the due time whether it works.",
    CauseCode.UNSCHEDULED: "Choose a schedule, if it should be backed up by itself.",
    CauseCode.DELETED: "",
}
_COMMANDS: Final = {
    CauseCode.NO_AGENT: "systemctl start strongroom-agent",
    CauseCode.NOT_CONFIGURED: "strongroom-agent service add {service}",
}


def advice_of(view: ServiceView, role: Role) -> list[Advice]:
    """The worst first; nothing for a service that stands well.  What only others may do is not offered."""
    places = Places(view.record.project, view.record.name)
    return [_advice(cause, view, places, role) for cause in view.standing.causes]


def _advice(cause: Cause, view: ServiceView, places: Places, role: Role) -> Advice:
    link, words = _link(cause, view, places, role)
    is_busy = cause.code is CauseCode.NO_BACKUP and bool(view.active)
    return Advice(
        level=cause.level,
        message=cause.message,
        to_do="" if is_busy else _HOW.get(cause.code, ""),
        command=_COMMANDS.get(cause.code, "").format(service=f"{view.record.project}/{view.record.name}"),
        link=link,
        link_words=words,
    )


def _link(cause: Cause, view: ServiceView, places: Places, role: Role) -> tuple[str, str]:
    match cause.code:
        case CauseCode.FAILED | CauseCode.MISSED if view.last_run is not None and view.last_run.id:
            return places.backup(view.last_run.id), "Look at the run"
        case CauseCode.SUSPICIOUS:
            return places.charts, "Look at the sizes"
        case CauseCode.NO_AGENT | CauseCode.NOT_CONFIGURED | CauseCode.ENGINE | CauseCode.OVERDUE:
            return links.NODES, "Look at the nodes"
        case CauseCode.UNSCHEDULED if role.covers(Role.ADMIN):
            return places.schedule, "Choose a schedule"
        case _:
            return "", ""
