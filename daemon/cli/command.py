"""What every command has in common: its options, its examples, and how it is run."""

from __future__ import annotations

import asyncio
import getpass
import inspect
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec, get_type_hints

import typer

from contracts.errors import StrongroomError
from contracts.tasks import cancellable
from daemon.cli.config import OperatorSettings, load_operator_settings
from daemon.cli.help_pages import COMMON, Page, examples_text
from daemon.cli.terminal import Terminal

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

P = ParamSpec("P")

DEBUG_VARIABLE: Final = "STRONGROOM_DEBUG"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="How to reach the coordinator.", rich_help_panel=COMMON),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.", rich_help_panel=COMMON)]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks and logs.", rich_help_panel=COMMON)]


class Call:
    """One call of a command: where its output goes, and how it reaches the coordinator."""

    def __init__(self, terminal: Terminal, config: Path | None, *, debug: bool) -> None:
        self.terminal = terminal
        self.debug = debug
        self._config = config

    @property
    def actor(self) -> str:
        """Who calls, for the audit log: the user of the operating system and the host."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = f"uid-{os.getuid()}"
        return f"{user}@{socket.gethostname()}"

    def settings(self) -> OperatorSettings:
        """Raises: InvalidInput `config.invalid`."""
        return load_operator_settings(self._config, os.environ)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ControlClient]:
        """Raises: InvalidInput, Unavailable `bus.unavailable`, Denied `request.forbidden`."""
        # Imported late: a help page should not wait for the NATS library.
        from daemon.cli.client import connect_operator

        async with connect_operator(self.settings().nats) as control:
            yield control


Command = Callable[Concatenate[Call, P], Coroutine[Any, Any, None]]


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Sequence[tuple[str, str]],
    panel: str | None = None,
    operator: bool = True,
    more: Sequence[inspect.Parameter] = (),
) -> Callable[[Command[P]], Command[P]]:
    """Adds an async function to `app` as a command; its docstring is the help, its first parameter the `Call`.

    `examples` are pairs of a command line and what it is for.  All commands take `--json` and `--debug`; those of an
    `operator`, who speaks to a coordinator, take `--config` too.  `more` are parameters that the function takes as
    `**keywords`.
    """

    def register(function: Command[P]) -> Command[P]:
        def run(**values: Any) -> None:
            context: typer.Context = values.pop("ctx")
            before: dict[str, Any] = context.find_root().obj or {}
            config = values.pop("config", None) or before.get("config")
            as_json = values.pop("as_json") or before.get("as_json", False)
            debug = values.pop("debug") or before.get("debug", False) or wants_debug(())
            _run(function(Call(Terminal(as_json=as_json), config, debug=debug), **values))  # type: ignore[call-arg]

        _describe(run, function, operator=operator, more=more)
        app.command(name, cls=Page, epilog=examples_text(examples), rich_help_panel=panel)(run)
        return function

    return register


def wants_debug(argv: Sequence[str]) -> bool:
    return "--debug" in argv or os.environ.get(DEBUG_VARIABLE, "") not in ("", "0")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Runs to the end.  Raises: KeyboardInterrupt after the work was cancelled and has cleaned up; whatever it raises."""

    async def main() -> None:
        # The library's waits may swallow the one cancellation that Ctrl-C is: `contracts.tasks`.
        await cancellable(work)

    try:
        asyncio.run(main())
    except BaseExceptionGroup as several:
        # One cause is raised as itself: a foreseen one before all others, whose tasks mostly ended because of it.
        first: BaseException = several.subgroup(StrongroomError) or several
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from several


def _describe(
    run: Callable[..., None], function: Callable[..., Any], *, operator: bool, more: Sequence[inspect.Parameter]
) -> None:
    """Gives `run` the signature that Typer reads: the function's own after its `Call`, then the common options."""
    hints = get_type_hints(function, include_extras=True)
    keyword = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("ctx", keyword, annotation=typer.Context)]
    parameters += [
        parameter.replace(kind=keyword, annotation=hints[parameter.name])
        for parameter in list(inspect.signature(function).parameters.values())[1:]
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    parameters += more
    if operator:
        parameters.append(inspect.Parameter("config", keyword, annotation=ConfigOption, default=None))
    parameters.append(inspect.Parameter("as_json", keyword, annotation=JsonOption, default=False))
    parameters.append(inspect.Parameter("debug", keyword, annotation=DebugOption, default=False))
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
