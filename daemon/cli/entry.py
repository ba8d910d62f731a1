"""The process `strongroom`: runs one command line and turns whatever happens into a sentence and an exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import typer

from contracts.errors import StrongroomError
from daemon.cli.app import app_for
from daemon.cli.command import wants_debug
from daemon.cli.completion import COMPLETE
from daemon.cli.failures import INTERRUPTED, OUTPUT_CLOSED, report, report_unforeseen, report_usage
from daemon.cli.terminal import OutputClosed, Terminal, abandon_output, foreseen_output


def run(argv: Sequence[str]) -> int:
    """The exit status of the command line."""
    debug = wants_debug(argv)
    for stream in (sys.stdout, sys.stderr):
        # A locale without our marks, or a name that it cannot spell, must not end a command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if "--no-color" in argv:
        os.environ["NO_COLOR"] = "1"
    # Looked for before anything is parsed, so that a command line that makes no sense is told in the form asked for.
    terminal = Terminal(foreseen_output(list(argv), os.environ))
    try:
        status = _run(argv, terminal, debug=debug)
        sys.stdout.flush()
    except (OutputClosed, BrokenPipeError):
        abandon_output()
        return OUTPUT_CLOSED
    return status


def _run(argv: Sequence[str], terminal: Terminal, *, debug: bool) -> int:
    if argv[:1] == [COMPLETE]:
        # Not a command as others are: what comes after it is a command line with all its options.
        from daemon.cli.completing import complete

        return complete(argv[1:])
    try:
        status = typer.main.get_command(app_for(argv)).main(args=list(argv), prog_name="strongroom", standalone_mode=False)
    except StrongroomError as exc:
        return report(terminal, exc, debug=debug)
    except typer.TyperException as exc:
        return report_usage(terminal, exc)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except (OutputClosed, BrokenPipeError):
        raise
    except SystemExit as exc:
        # Typer's own way to end when the reader of a help page has gone away.
        if isinstance(exc.__context__, BrokenPipeError):
            raise OutputClosed from exc
        raise
    except Exception as exc:  # noqa: BLE001 - the last resort: whatever it is, an operator gets a sentence
        return report_unforeseen(terminal, exc, debug=debug)
    return status if isinstance(status, int) else 0
