"""`strongroom demo`: an engine's data backed up, restored and compared, in front of your eyes."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from daemon.cli.command import Call, command
from daemon.demo.engines.kinds import KINDS


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "demo",
        panel="Run",
        operator=False,
        examples=[
            ("strongroom demo", "see it work, with servers and a database of its own"),
            ("strongroom demo --engine mariadb", "the same with another engine"),
            ("strongroom demo --size 300MB --keep", "with more data, and everything kept to look at"),
        ],
    )(demo)


async def demo(
    call: Call,
    engine: Annotated[
        str,
        typer.Option("--engine", metavar="KIND", help=f"Which: {', '.join(KINDS)}.", show_default=True),
    ] = "postgresql",
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Of the dump, such as 300MB.", show_default=False)
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything to look at.", show_default=False)] = False,
) -> None:
    """Fill a database, back it up, restore it and compare: with real servers, in a few seconds.

    Needs the engine's own server and tools on this machine, and says what is missing."""
    # Imported late: only this command needs the servers.
    from daemon.demo.flow import run_demo
    from daemon.demo.report import draw_report
    from daemon.demo.result import DemoOptions
    from daemon.demo.sizes import parse_size

    options = DemoOptions(engine=engine, keep=keep)
    if size:
        options = msgspec.structs.replace(options, size_bytes=parse_size(size))
    terminal = call.terminal
    # Steps are what this command is for, so they are results like the report.
    result = await run_demo(options, None if terminal.as_json else terminal.out, live=terminal.out.is_terminal)
    terminal.result(result, lambda console: draw_report(console, result))
    if result.exit_status:
        raise typer.Exit(result.exit_status)
