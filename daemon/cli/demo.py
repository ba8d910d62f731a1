"""`strongroom demo`: a database backed up, restored and compared, in front of your eyes."""

from __future__ import annotations

from typing import Annotated

import typer

from daemon.cli.command import Call, command


def add_to(app: typer.Typer) -> None:
    command(
        app,
        "demo",
        panel="Run",
        operator=False,
        examples=[
            ("strongroom demo", "see it work, with servers and a database of its own"),
            ("strongroom demo --size 300MB --keep", "with more data, and everything kept to look at"),
        ],
    )(demo)


async def demo(
    call: Call,
    size: Annotated[
        str, typer.Option("--size", metavar="SIZE", help="Of the dump, such as 300MB.", show_default=False)
    ] = "",
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything to look at.", show_default=False)] = False,
) -> None:
    """Fill a database, back it up, restore it and compare: with real servers, in a few seconds."""
    # Imported late: only this command needs the servers.
    from daemon.demo.flow import run_demo
    from daemon.demo.report import draw_report
    from daemon.demo.result import DemoOptions
    from daemon.demo.sizes import parse_size

    options = DemoOptions(keep=keep, size_bytes=parse_size(size)) if size else DemoOptions(keep=keep)
    terminal = call.terminal
    # Steps are what this command is for, so they are results like the report.
    result = await run_demo(options, None if terminal.as_json else terminal.out, live=terminal.out.is_terminal)
    terminal.result(result, lambda console: draw_report(console, result))
    if result.exit_status:
        raise typer.Exit(result.exit_status)
