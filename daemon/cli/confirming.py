"""Asking before something goes."""

from __future__ import annotations

import sys

import typer

from contracts.errors import InvalidInput
from daemon.cli.plain_text import visible


def confirm(question: str, *, yes: bool, doing: str, facts: str = "") -> None:
    """Returns when somebody agreed, having been told the facts.

    Raises: InvalidInput where nobody can be asked, typer.Exit when somebody declined.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput(
            "input.invalid", f"{doing} has to be confirmed, and nobody can be asked here: say so with --yes", field="yes"
        )
    if facts:
        sys.stderr.write(f"{visible(facts, one_line=False)}\n")
    if not typer.confirm(visible(question), err=True):
        sys.stderr.write("Nothing was changed.\n")
        raise typer.Exit(1)
