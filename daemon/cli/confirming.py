"""Asking before something goes."""

from __future__ import annotations

import signal
import sys
from typing import Final

import typer

from contracts.errors import InvalidInput
from daemon.cli.plain_text import visible

AGREED: Final = "yes"


def confirm(question: str, *, yes: bool, doing: str, facts: str = "") -> None:
    """Returns when somebody agreed by typing it out, having been told the facts: what goes, and what cannot be undone.

    Raises: InvalidInput where nobody can be asked, typer.Exit with 1 when somebody declined.
    """
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput(
            "input.invalid",
            f"{doing} has to be confirmed, and nobody can be asked here: look at what goes, then say so with --yes",
            field="yes",
            detail=facts or question,
        )
    if facts:
        sys.stderr.write(f"{visible(facts, one_line=False)}\n")
    answer = _ask(f"{visible(question)} Type {AGREED} to go on: ")
    if not answer:
        sys.stderr.write("\n")
    if answer.strip().lower() != AGREED:
        sys.stderr.write("Nothing was changed.\n")
        raise typer.Exit(1)


def _ask(question: str) -> str:
    """The line that is typed; empty at the end of the input.  Raises: KeyboardInterrupt."""
    # An event loop takes the first Ctrl-C for a request to cancel its task, which waits here and would not hear of it.
    # Before the question is seen: nobody interrupts what is not asked yet.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        # Not `y`, which is typed before it is thought about.
        sys.stderr.write(question)
        sys.stderr.flush()
        return sys.stdin.readline()
    finally:
        signal.signal(signal.SIGINT, before)
