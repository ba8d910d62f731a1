"""All commands put together, and the help that holds for all of them."""

from __future__ import annotations

import importlib.metadata
import sys
from typing import Annotated, Final

import typer

from daemon.cli import (
    backups,
    coordinator,
    demo,
    downloads,
    events,
    nodes,
    projects,
    restores,
    retention,
    services,
    status,
    up,
)
from daemon.cli.command import ConfigOption, DebugOption, JsonOption
from daemon.cli.failures import EXIT_STATUSES
from daemon.cli.help_pages import Index
from daemon.cli.terminal import write

HELP: Final = """Back up, restore and look after databases.

BACKUP is written PROJECT/SERVICE/ID, or PROJECT/SERVICE/latest for the newest completed one.  Results go to standard output,
progress and messages to standard error; with --json the result is one JSON document, and so is an error.

The coordinator is found by --config, $STRONGROOM_CONFIG, ~/.config/strongroom/config.toml, or what `strongroom up` left;
each setting can be overridden by a variable such as $STRONGROOM_NATS_URL."""


_FIRST_STEPS: Final = (
    ("strongroom up", "everything on this machine: a place to try it"),
    ("strongroom project create acme", "a project, with a key of its own"),
    ("strongroom service add acme/orders --kind postgresql --node db1", "a database server to back up"),
    ("strongroom backup create acme/orders", "a backup, now"),
)


def _epilog() -> str:
    widest = max(len(line) for line, _ in _FIRST_STEPS)
    steps = [f"  {line:<{widest}}  # {purpose}" for line, purpose in _FIRST_STEPS]
    statuses = [f"  {status:>3}  {meaning}" for status, meaning in EXIT_STATUSES]
    return "\n".join(["First steps", *steps, "", "Exit status", *statuses])


def _print_version(wanted: bool) -> None:
    if wanted:
        write(sys.stdout, f"strongroom {importlib.metadata.version('strongroom')}")
        raise typer.Exit


app = typer.Typer(
    name="strongroom",
    cls=Index,
    help=HELP,
    epilog=_epilog(),
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    # Errors are told by `daemon.cli.failures`; locals in a traceback could be secrets.
    pretty_exceptions_enable=False,
)


@app.callback()
def everywhere(
    ctx: typer.Context,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    debug: DebugOption = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and end.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Options that may stand before the command as well as after it."""
    ctx.obj = {"config": config, "as_json": as_json, "debug": debug}


for module in (status, projects, services, nodes, backups, downloads, restores, retention, events, up, demo, coordinator):
    module.add_to(app)
