"""What somebody may have meant who named a thing that does not exist."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from difflib import get_close_matches
from typing import TYPE_CHECKING, Final

from contracts import control
from contracts.errors import NotFound, StrongroomError

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

_ANSWER_S: Final = 2.0
_MOST: Final = 3
_QUOTED: Final = re.compile(r"'([^']{1,60})'")


@asynccontextmanager
async def suggesting(client: ControlClient) -> AsyncIterator[None]:
    """Gives errors about names that do not exist the names that are like them: `suggestion_of`."""
    try:
        yield
    except NotFound as error:
        try:
            alike = await _alike(client, error)
        except (StrongroomError, TimeoutError):
            alike = []  # the error itself is what counts
        if alike:
            # Beside the coordinator's own sentence, which programs are told as it is.
            error.add_note(f"did you mean {' or '.join(alike)}?")
        raise


def suggestion_of(error: StrongroomError) -> str:
    """Empty if there is none."""
    return "; ".join(getattr(error, "__notes__", ()))


async def _alike(client: ControlClient, error: NotFound) -> list[str]:
    """Names that exist, as commands take them, the likeliest first."""
    names = _QUOTED.findall(error.message)
    match error.code:
        case "project.not_found" if names:
            found = await client.ask(control.PROJECT_LIST, control.ProjectList(), timeout_s=_ANSWER_S)
            return close(names[0], (project.name for project in found.projects))
        case "node.not_found" if names:
            nodes = await client.ask(control.NODE_LIST, control.Nothing(), timeout_s=_ANSWER_S)
            return close(names[0], (node.record.name for node in nodes.nodes))
        case "service.not_found" if len(names) > 1:
            project, wanted = names[:2]
            services = await client.ask(control.SERVICE_LIST, control.ServiceList(project=project), timeout_s=_ANSWER_S)
            there = close(wanted, (view.record.name for view in services.services))
            return [f"{project}/{name}" for name in there]
    return []


def close(wanted: str, there: Iterable[str]) -> list[str]:
    """Those that somebody may have mistyped, or begun, the likeliest first."""
    names = sorted(there)
    begun = [name for name in names if len(wanted) > 1 and name.startswith(wanted)]
    return list(dict.fromkeys([*get_close_matches(wanted, names, _MOST, 0.6), *begun]))[:_MOST]
