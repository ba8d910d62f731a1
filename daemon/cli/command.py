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
from typer.models import OptionInfo

from contracts.errors import StrongroomError
from contracts.settings import NatsSettings
from contracts.tasks import cancellable
from daemon.cli.failures import report, report_unforeseen
from daemon.cli.help_pages import COMMON, Page, examples_text
from daemon.cli.late_imports import import_nats, quiet_logs
from daemon.cli.suggestions import suggesting
from daemon.cli.targets import HttpTarget, find_target
from daemon.cli.terminal import Output, OutputClosed, Terminal, chosen_output

if TYPE_CHECKING:
    from daemon.cli.client import ControlClient

P = ParamSpec("P")

_ENDS: Final = (typer.Exit, typer.Abort, typer.TyperException, OutputClosed, BrokenPipeError)
"""What ends a command without being an error of it."""

DEBUG_VARIABLE: Final = "STRONGROOM_DEBUG"

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="How to reach the coordinator.", rich_help_panel=COMMON),
]
ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        metavar="NAME",
        help="The coordinator that was logged in to under this name. [env: STRONGROOM_PROFILE]",
        show_default=False,
        rich_help_panel=COMMON,
    ),
]
OutputOption = Annotated[
    Output | None,
    typer.Option(
        "--output",
        "-o",
        metavar="table|json|ndjson",
        help="For people, or for programs: one JSON document, or one a line of lists and streams. [env: STRONGROOM_OUTPUT]",
        show_default=False,
        rich_help_panel=COMMON,
    ),
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="The same as --output json.", show_default=False, rich_help_panel=COMMON)
]
NoColorOption = Annotated[
    bool,
    typer.Option(
        "--no-color",
        help="No colours; as NO_COLOR in the environment, where FORCE_COLOR asks for them in pipes too.",
        show_default=False,
        rich_help_panel=COMMON,
    ),
]
DebugOption = Annotated[bool, typer.Option("--debug", help="Show tracebacks and logs.", rich_help_panel=COMMON)]


class Call:
    """One call of a command: where its output goes, and how it reaches the coordinator."""

    def __init__(self, terminal: Terminal, config: Path | None, *, debug: bool, profile: str = "") -> None:
        self.terminal = terminal
        self.debug = debug
        self._config = config
        self._profile = profile

    @property
    def actor(self) -> str:
        """Who calls, for the audit log: the user of the operating system and the host."""
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = f"uid-{os.getuid()}"
        return f"{user}@{socket.gethostname()}"

    def target(self) -> NatsSettings | HttpTarget:
        """Raises: InvalidInput `config.invalid`, NotFound `profile.not_found`."""
        return find_target(self._config, self._profile, os.environ)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[ControlClient]:
        """Raises: InvalidInput, NotFound, Unavailable `bus.unavailable`, Denied `request.forbidden`."""
        target = self.target()
        quiet_logs(debug=self.debug)
        async with _connected(target) as control, suggesting(control):
            yield control


@asynccontextmanager
async def _connected(target: NatsSettings | HttpTarget) -> AsyncIterator[ControlClient]:
    # Imported late: a help page should wait for neither library, and no command for the one that it does not use.
    if isinstance(target, HttpTarget):
        from daemon.cli.http_client import connect_http

        async with connect_http(target) as over_http:
            yield over_http
    else:
        import_nats(target.url)
        from daemon.cli.bus_client import connect_operator

        async with connect_operator(target) as over_nats:
            yield over_nats


Command = Callable[Concatenate[Call, P], Coroutine[Any, Any, None]]


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Sequence[tuple[str, str]],
    panel: str | None = None,
    operator: bool = True,
    more: Sequence[inspect.Parameter] = (),
    error_status: int | None = None,
) -> Callable[[Command[P]], Command[P]]:
    """Adds an async function to `app` as a command; its docstring is the help, its first parameter the `Call`.

    `examples` are pairs of a command line and what it is for.  All commands take the common options; those of an
    `operator`, who speaks to a coordinator, take `--config` and `--profile` too.  `more` are parameters that the function
    takes as `**keywords`.  With `error_status`, whatever goes wrong ends with that status, the command line's own mistakes
    included.
    """

    def register(function: Command[P]) -> Command[P]:
        def run(**values: Any) -> None:
            context: typer.Context = values.pop("ctx")
            before: dict[str, Any] = context.find_root().obj or {}
            config = values.pop("config", None) or before.get("config")
            profile = values.pop("profile_name", "") or before.get("profile", "")
            given = _given_output(values.pop("output_form", None), as_json=values.pop("as_json")) or before.get("output")
            debug = values.pop("debug") or before.get("debug", False) or wants_debug(())
            # Told to the consoles by the environment (`daemon.cli.entry`), long before this.
            values.pop("no_color")
            terminal = Terminal(chosen_output(given, os.environ))
            call = Call(terminal, config, debug=debug, profile=profile)
            if not operator:
                quiet_logs(debug=debug)
            try:
                _run(function(call, **values))  # type: ignore[call-arg]
            except Exception as exc:
                if error_status is None or isinstance(exc, _ENDS):
                    raise
                if isinstance(exc, StrongroomError):
                    report(terminal, exc, debug=debug)
                else:
                    report_unforeseen(terminal, exc, debug=debug)
                raise typer.Exit(error_status) from exc

        _describe(run, function, operator=operator, more=more)
        page = Page if error_status is None else type("Page", (Page,), {"error_status": error_status})
        app.command(name, cls=page, epilog=examples_text(examples), rich_help_panel=panel)(run)
        return function

    return register


def common_options(
    config: Path | None, profile: str, output: Output | None, *, as_json: bool, debug: bool
) -> dict[str, Any]:
    """What was given before the command, for the commands to find."""
    return {"config": config, "profile": profile, "output": _given_output(output, as_json=as_json), "debug": debug}


def _given_output(output: Output | None, *, as_json: bool) -> Output | None:
    return output or (Output.JSON if as_json else None)


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
        parameters.append(inspect.Parameter("profile_name", keyword, annotation=ProfileOption, default=""))
    # Where something is written to files, `--output` says where.
    if not any("--output" in _flags_of(parameter) for parameter in parameters):
        parameters.append(inspect.Parameter("output_form", keyword, annotation=OutputOption, default=None))
    parameters.append(inspect.Parameter("as_json", keyword, annotation=JsonOption, default=False))
    parameters.append(inspect.Parameter("no_color", keyword, annotation=NoColorOption, default=False))
    parameters.append(inspect.Parameter("debug", keyword, annotation=DebugOption, default=False))
    run.__name__ = function.__name__
    run.__doc__ = function.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}


def _flags_of(parameter: inspect.Parameter) -> Sequence[str]:
    """As Typer takes them where the default stands elsewhere: the first one as its default."""
    metadata = getattr(parameter.annotation, "__metadata__", ())
    options = [each for each in metadata if isinstance(each, OptionInfo)]
    return [flag for each in options for flag in (each.default, *(each.param_decls or ())) if isinstance(flag, str)]
