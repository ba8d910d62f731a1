"""`strongroom daemon`: the coordinator as a process."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from daemon.cli.help_pages import Page, examples_text

DEFAULT_CONFIG: Final = Path("/etc/strongroom/coordinator.toml")
_EXAMPLES: Final = [
    ("strongroom daemon --config /etc/strongroom/coordinator.toml", "what a service manager starts"),
    ("STRONGROOM_LOG_LEVEL=debug strongroom daemon --config coordinator.toml", "with a setting overridden"),
]


def add_to(app: typer.Typer) -> None:
    app.command("daemon", cls=Page, epilog=examples_text(_EXAMPLES), rich_help_panel="Run")(daemon)


def daemon(
    config_file: Annotated[
        Path, typer.Option("--config", metavar="FILE", help="The coordinator's settings.")
    ] = DEFAULT_CONFIG,
) -> None:
    """Run the coordinator until SIGTERM or SIGINT.

    Logs go to standard error: coloured lines on a terminal, JSON elsewhere."""
    # Imported late: only this command needs the object store's SDK.
    from daemon.service import serve

    raise typer.Exit(serve(config_file))
