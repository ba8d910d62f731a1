"""All commands put together, and the help that holds for all of them."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from daemon.cli.command import (
    ConfigOption,
    DebugOption,
    JsonOption,
    NoColorOption,
    OutputOption,
    ProfileOption,
    common_options,
)
from daemon.cli.failures import EXIT_STATUSES
from daemon.cli.help_pages import Index
from daemon.cli.terminal import write

HELP: Final = """Back up, restore and look after databases.

BACKUP is written PROJECT/SERVICE/ID, or PROJECT/SERVICE/latest for the newest completed one.  Results go to standard output,
progress and messages to standard error; with --output json the result is one JSON document, and so is an error, and with
--output ndjson a list is a document on each line.

The coordinator is found by --config or --profile, $STRONGROOM_URL with $STRONGROOM_TOKEN, $STRONGROOM_PROFILE,
$STRONGROOM_CONFIG, the last `strongroom login`, ~/.config/strongroom/config.toml, or what `strongroom up` left; each setting
can be overridden by a variable such as $STRONGROOM_NATS_URL."""

_MODULES: Final[dict[str, tuple[str, ...]]] = {
    "status": ("status",),
    "watch": ("watch",),
    "project": ("projects",),
    "service": ("services",),
    "node": ("nodes",),
    "token": ("tokens",),
    "login": ("login",),
    "logout": ("login",),
    "profile": ("profile_choice",),
    "whoami": ("login",),
    "notify": ("notifications",),
    "backup": ("backups", "downloads"),
    "restore": ("restores",),
    "restores": ("restores",),
    "retention": ("retention",),
    "logs": ("logs",),
    "events": ("events",),
    "up": ("up",),
    "demo": ("demo",),
    "daemon": ("coordinator",),
    "completion": ("completion",),
}
"""The modules of each command, whose `add_to` adds it; in the order of the help page."""

_FIRST_STEPS: Final = (
    ("strongroom up", "everything on this machine: a place to try it"),
    ("strongroom project create acme", "a project, with a key of its own"),
    ("strongroom service add acme/orders --kind postgresql --node db1", "a database server to back up"),
    ("strongroom backup create acme/orders", "a backup, now"),
    ("strongroom status", "are we safe?"),
)


def app_for(argv: Sequence[str]) -> typer.Typer:
    """The command that a command line begins with, alone: importing all others would take longer than most of them do.

    All of them, for help and for whatever cannot be told so easily.
    """
    name = argv[0] if argv else ""
    return _put_together(_MODULES.get(name) or [module for modules in _MODULES.values() for module in modules])


def whole_app() -> typer.Typer:
    return app_for(())


def _put_together(modules: Sequence[str]) -> typer.Typer:
    app = typer.Typer(
        name="strongroom",
        cls=Index,
        help=HELP,
        epilog=_epilog(),
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
        # `strongroom completion` knows the names of projects and backups too.
        add_completion=False,
        # Errors are told by `daemon.cli.failures`; locals in a traceback could be secrets.
        pretty_exceptions_enable=False,
    )
    app.callback()(everywhere)
    for name in dict.fromkeys(modules):
        importlib.import_module(f"daemon.cli.{name}").add_to(app)
    return app


def _epilog() -> str:
    widest = max(len(line) for line, _ in _FIRST_STEPS)
    steps = [f"  {line:<{widest}}  # {purpose}" for line, purpose in _FIRST_STEPS]
    statuses = [f"  {status:>3}  {meaning}" for status, meaning in EXIT_STATUSES]
    return "\n".join(["First steps", *steps, "", "Exit status", *statuses])


def _print_version(wanted: bool) -> None:
    if wanted:
        # Imported late: it costs more than a help page.
        import importlib.metadata

        write(sys.stdout, f"strongroom {importlib.metadata.version('strongroom')}")
        raise typer.Exit


def everywhere(
    ctx: typer.Context,
    config: ConfigOption = None,
    profile: ProfileOption = "",
    output: OutputOption = None,
    as_json: JsonOption = False,
    no_color: NoColorOption = False,
    debug: DebugOption = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that may stand before the command as well as after it."""
    del no_color  # told to the consoles by the environment (`daemon.cli.entry`)
    ctx.obj = common_options(config, profile, output, as_json=as_json, debug=debug)
