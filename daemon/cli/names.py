"""Names for command lines that are being typed: what could be meant by a word that has been begun."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from contracts import control
from contracts.events import EVENT_TYPES
from contracts.records import BackupRecord, RestoreRecord, RunState
from contracts.services import OPTIONS_BY_KIND
from contracts.wire import utc_now
from daemon.cli.figures import ago, size
from daemon.cli.references import LATEST

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_MOST: Final = 200
"""Names that a shell is given; more, nobody reads."""
_RUNS: Final = 30
_ANSWER_S: Final = 1.0

_WORDS: Final = {
    "KIND": tuple(OPTIONS_BY_KIND),
    "TYPE": tuple(sorted({*EVENT_TYPES, *(name.partition(".")[0] for name in EVENT_TYPES)})),
    "SCHEDULE": ("default", "daily", "weekly", "monthly", "off"),
}


class Candidate(NamedTuple):
    """A word, and what it is."""

    value: str
    about: str


def fixed_words(metavar: str) -> Iterable[str]:
    """Those of a parameter that takes one of a few, though its type does not say so: by its metavar, or listed in it."""
    if metavar in _WORDS:
        return _WORDS[metavar]
    return [word for word in metavar.split("|") if word.islower()] if "|" in metavar else ()


async def names_for(client: ControlClient, metavar: str, begun: str, *, is_new: bool = False) -> list[Candidate]:
    """What could stand where a parameter of that metavar has been begun; of a name in parts, the next part.

    `is_new`: the last part does not exist yet.  Raises: StrongroomError.
    """
    whole = _WHOLE.get(metavar)
    if whole is not None and not is_new:
        return await whole(client, begun)
    parts = begun.count("/")
    match metavar:
        case "SERVICE" if is_new:
            return await _projects(client, begun, "/") if parts == 0 else []
        case "SERVICE" | "BACKUP" | "RESTORE" if parts == 0:
            return await _into_projects(client, begun, "" if metavar == "SERVICE" else "/")
        case "SERVICE" | "PROJECT[/SERVICE]" if parts == 1:
            return await _services(client, begun)
        case "BACKUP" | "RESTORE" if parts == 1:
            return await _services(client, begun, "/")
        case "PROJECT[/SERVICE]" | "PROJECT[/SERVICE[/RUN]]" if parts == 0:
            return _both_ways(await _projects(client, begun))
        case "PROJECT[/SERVICE[/RUN]]" if parts == 1:
            return _both_ways(await _services(client, begun))
        case "BACKUP" | "RESTORE" | "PROJECT[/SERVICE[/RUN]]" if parts == 2:
            return await _runs(client, begun, metavar)
    return []


async def _projects(client: ControlClient, begun: str, ends: str = "") -> list[Candidate]:
    found = (await client.ask(control.PROJECT_LIST, control.ProjectList(), timeout_s=_ANSWER_S)).projects
    names = [project.name for project in found if project.name.startswith(begun)]
    return [Candidate(f"{name}{ends}", "project") for name in names[:_MOST]]


async def _nodes(client: ControlClient, begun: str) -> list[Candidate]:
    found = (await client.ask(control.NODE_LIST, control.Nothing(), timeout_s=_ANSWER_S)).nodes
    views = [view for view in found if view.record.name.startswith(begun)]
    return [Candidate(view.record.name, "alive" if view.alive else "silent") for view in views[:_MOST]]


async def _tags(client: ControlClient, begun: str) -> list[Candidate]:
    of = control.BackupList(limit=_MOST)
    found = (await client.ask(control.BACKUP_LIST, of, timeout_s=_ANSWER_S)).backups
    return [
        Candidate(tag, "tag") for tag in sorted({tag for backup in found for tag in backup.tags if tag.startswith(begun)})
    ]


async def _tokens(client: ControlClient, begun: str) -> list[Candidate]:
    found = (await client.ask(control.TOKEN_LIST, control.TokenList(), timeout_s=_ANSWER_S)).tokens
    return [Candidate(each.id, each.name) for each in found if each.id.startswith(begun)]


async def _channels(client: ControlClient, begun: str) -> list[Candidate]:
    found = (await client.ask(control.CHANNEL_LIST, control.ChannelList(), timeout_s=_ANSWER_S)).channels
    return [Candidate(each.id, each.name) for each in found if each.id.startswith(begun)]


async def _into_projects(client: ControlClient, begun: str, ends: str) -> list[Candidate]:
    """The ways into projects; where there is only one, the services that it leads to."""
    projects = await _projects(client, begun, "/")
    return await _services(client, projects[0].value, ends) if len(projects) == 1 else projects


async def _services(client: ControlClient, begun: str, ends: str = "") -> list[Candidate]:
    project, _, name = begun.partition("/")
    request = control.ServiceList(project=project, limit=1_000)
    found = (await client.ask(control.SERVICE_LIST, request, timeout_s=_ANSWER_S)).services
    views = [view for view in found if view.record.name.startswith(name)]
    return [
        Candidate(f"{project}/{view.record.name}{ends}", f"{view.kind}, {view.standing.level}") for view in views[:_MOST]
    ]


def _both_ways(found: Iterable[Candidate]) -> list[Candidate]:
    """Each as it is, and the way into it."""
    return [each for name in found for each in (name, Candidate(f"{name.value}/", "what is in it"))]


async def _runs(client: ControlClient, begun: str, what: str) -> list[Candidate]:
    project, service, run_id = begun.split("/", 2)
    found: list[BackupRecord] | list[RestoreRecord]
    if what == "RESTORE":
        of = control.RestoreList(project=project, service=service, limit=_RUNS)
        found = (await client.ask(control.RESTORE_LIST, of, timeout_s=_ANSWER_S)).restores
    else:
        states = [RunState.COMPLETED, RunState.REQUESTED, RunState.RUNNING] if what == "BACKUP" else []
        request = control.BackupList(project=project, service=service, states=states, limit=_RUNS)
        found = (await client.ask(control.BACKUP_LIST, request, timeout_s=_ANSWER_S)).backups
    now = utc_now()
    latest = [Candidate(f"{project}/{service}/{LATEST}", "the newest")] if LATEST.startswith(run_id) and found else []
    return latest + [
        Candidate(f"{project}/{service}/{run.id}", f"{run.state}, {ago(run.requested_at, now)}, {size(run.size_bytes)}")
        for run in found
        if run.id.startswith(run_id)
    ]


_WHOLE: Final[dict[str, Callable[[ControlClient, str], Awaitable[list[Candidate]]]]] = {
    "PROJECT": _projects,
    "NODE": _nodes,
    "TAG": _tags,
    "TOKEN": _tokens,
    "CHANNEL": _channels,
}
"""Names that have no parts."""
