"""The end of a command line that is being typed: which words could come there.

Decided from the commands as they are defined; which names are wanted is told by the metavar of the parameter.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple, get_args

import typer
from typer.core import TyperGroup

from contracts.errors import StrongroomError
from contracts.tasks import cancellable
from daemon.cli.app import app_for
from daemon.cli.command import Call
from daemon.cli.completion import FILES
from daemon.cli.late_imports import quiet_logs
from daemon.cli.names import Candidate, fixed_words, names_for
from daemon.cli.plain_text import visible
from daemon.cli.profiles import load_profiles
from daemon.cli.terminal import OutputClosed, Terminal, write

ANSWER_S = 1.0
"""Somebody waits with a finger on the key."""
_FILES = frozenset({"FILE", "DIR", "DIR|FILE", "PATH"})
_NEW = frozenset({"project create", "node add"})
"""Commands whose names do not exist yet."""
_CONFIG, _PROFILE = "--config", "--profile"
_NEW_SERVICE = "service add"
_OLD_PROFILE = "profile use"


class Place(NamedTuple):
    """Where in a command line the cursor is."""

    command: Any
    path: str
    """Such as `backup create`."""
    context: Any
    parameter: Any
    """Whose value it is; None for an option's name, or a command's."""
    begun: str
    prefix: str
    """What belongs to the word but not to the value: `--output=`."""
    given: dict[str, str]
    """Values of options before it, by their flags, such as `--config`."""


def complete(words: Sequence[str]) -> int:
    """Prints the candidates; `words` are those up to the cursor, the last one begun or empty.  Always 0: nothing to say."""
    try:
        for candidate in candidates(words):
            write(sys.stdout, f"{candidate.value}\t{visible(candidate.about)}")
    except (StrongroomError, OutputClosed, OSError, TimeoutError):
        return 0
    return 0


def candidates(words: Sequence[str]) -> list[Candidate]:
    """Raises: StrongroomError, TimeoutError when the coordinator does not tell."""
    place = find_place(_joined(words))
    if place is None:
        return []
    if place.parameter is not None:
        # Where the shell has parted the word at its sign, only what comes after that is completed.
        prefix = "" if "=" in words[-2:] else place.prefix
        return [Candidate(f"{prefix}{value}", about) for value, about in _values(place)]
    found = _options(place) if place.begun.startswith("-") else _commands(place)
    return [candidate for candidate in found if candidate.value.startswith(place.begun)]


def find_place(words: Sequence[str]) -> Place | None:
    """None where nothing can come."""
    *before, begun = words or [""]
    command: Any = typer.main.get_command(app_for(before))
    context = command.make_context("strongroom", [], resilient_parsing=True)
    path: list[str] = []
    given: dict[str, str] = {}
    waiting: Any = None
    positional = 0
    for word in before:
        if waiting is not None:
            given[_flag(waiting)] = word
            waiting = None
        elif word.startswith("-"):
            name, sign, value = word.partition("=")
            option = _option(command, context, name)
            if option is not None and not option.is_flag:
                if sign:
                    given[_flag(option)] = value
                else:
                    waiting = option
        elif isinstance(command, TyperGroup):
            command = command.get_command(context, word)
            if command is None:
                return None
            path.append(word)
            context = command.make_context(word, [], parent=context, resilient_parsing=True)
        else:
            positional += 1
    where = (command, " ".join(path), context)
    if waiting is not None:
        return Place(*where, waiting, begun, "", given)
    if begun.startswith("-"):
        name, sign, value = begun.partition("=")
        option = _option(command, context, name) if sign else None
        return Place(*where, option, value if option else begun, f"{name}=" if option else "", given)
    if isinstance(command, TyperGroup):
        return Place(*where, None, begun, "", given)
    arguments = [param for param in command.get_params(context) if param.param_type_name == "argument"]
    if not arguments or (positional >= len(arguments) and arguments[-1].nargs == 1):
        return None
    return Place(*where, arguments[min(positional, len(arguments) - 1)], begun, "", given)


def _joined(words: Sequence[str]) -> list[str]:
    """Bash takes `--output=json` for three words."""
    found: list[str] = []
    is_open = False
    for word in words:
        if word == "=" and found and found[-1].startswith("--"):
            found[-1] += "="
            is_open = True
        elif is_open:
            found[-1] += word
            is_open = False
        else:
            found.append(word)
    return found


def _option(command: Any, context: Any, name: str) -> Any:
    for param in command.get_params(context):
        if param.param_type_name == "option" and name in (*param.opts, *param.secondary_opts):
            return param
    return None


def _flag(option: Any) -> str:
    flag: str = max(option.opts, key=len)
    return flag


def _options(place: Place) -> Iterator[Candidate]:
    for param in place.command.get_params(place.context):
        if param.param_type_name == "option" and not getattr(param, "hidden", False):
            for name in (*param.opts, *param.secondary_opts):
                if name.startswith("--") or place.begun == "-":
                    yield Candidate(name, (param.help or "").partition("\n")[0])


def _commands(place: Place) -> Iterator[Candidate]:
    if isinstance(place.command, TyperGroup):
        for name in place.command.list_commands(place.context):
            command = place.command.get_command(place.context, name)
            if command is not None and not command.hidden:
                yield Candidate(name, " ".join((command.help or "").partition("\n\n")[0].split()))


def _values(place: Place) -> list[Candidate]:
    metavar = place.parameter.metavar or ""
    if metavar in _FILES:
        return [Candidate(FILES, "")]
    if place.path in _NEW and place.parameter.param_type_name == "argument":
        return []
    if _flag(place.parameter) == _PROFILE or place.path == _OLD_PROFILE:
        there = load_profiles(os.environ).profiles
        return [Candidate(name, profile.url) for name, profile in there.items() if name.startswith(place.begun)]
    if fixed := _choices(place.parameter) or list(fixed_words(metavar)):
        return [Candidate(word, "") for word in fixed if word.startswith(place.begun)]
    return asyncio.run(_ask(place, metavar))


def _choices(parameter: Any) -> list[str]:
    """Of a parameter whose type lists what it can be."""
    annotation = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
    for each in (annotation, *get_args(annotation)):
        if isinstance(each, type) and issubclass(each, StrEnum):
            return list(each)
    return []


async def _ask(place: Place, metavar: str) -> list[Candidate]:
    quiet_logs(debug=False)
    config = Path(place.given[_CONFIG]) if _CONFIG in place.given else None
    call = Call(Terminal(), config, debug=False, profile=place.given.get(_PROFILE, ""))

    async def ask() -> list[Candidate]:
        async with call.connect() as client:
            return await names_for(client, metavar, place.begun, is_new=place.path == _NEW_SERVICE)

    async with asyncio.timeout(ANSWER_S):
        # The library's waits may swallow the one cancellation that the end of the time is: `contracts.tasks`.
        return await cancellable(ask())
