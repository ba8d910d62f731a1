"""Where output goes: results to standard output, everything else to standard error.

A result is one document.  People see it drawn, programs (`--json`) get it as it came from the coordinator.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, Final, TextIO

import msgspec
from rich.console import Console, RenderableType
from rich.text import Text
from rich.theme import Theme

from contracts.wire import encode
from daemon.cli.plain_text import visible

THEME: Final = Theme(
    {
        "good": "green",
        "bad": "bold red",
        "odd": "yellow",
        "busy": "cyan",
        "quiet": "dim",
        "head": "bold",
        "name": "bold",
        "command": "cyan",
    }
)
_UNBOUNDED_COLUMNS: Final = 4096
"""Lines that nobody looks at are not cut: the next program wants the whole of them."""


class OutputClosed(Exception):
    """Nobody reads our output any more, as with `… | head -1`."""


class _Console(Console):
    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise OutputClosed


class Terminal:
    """The two streams of one command.  With `as_json`, standard error holds nothing but an error's own document."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.out = console_for(sys.stdout)
        self.err = console_for(sys.stderr)

    @property
    def draws_progress(self) -> bool:
        """Whether somebody watches standard error."""
        return self.err.is_terminal and not self.as_json

    def result(self, document: Any, draw: Callable[[Console], None]) -> None:
        """The command's answer: the encoded document, or whatever `draw` prints of it."""
        if self.as_json:
            self.json(document)
        else:
            draw(self.out)

    def json(self, document: Any) -> None:
        """One document: on one line, or indented when a person looks at it."""
        data = encode(document)
        write(sys.stdout, (msgspec.json.format(data, indent=2) if self.out.is_terminal else data).decode())

    def say(self, message: RenderableType) -> None:
        """A message beside the result; nothing with `--json`."""
        if not self.as_json:
            self.err.print(message if not isinstance(message, str) else Text(visible(message, one_line=False)))


def write(stream: TextIO, line: str) -> None:
    """The line as it is, at once.  Raises: OutputClosed."""
    try:
        stream.write(line + "\n")
        stream.flush()
    except BrokenPipeError as exc:
        raise OutputClosed from exc


def abandon_output() -> None:
    """Lets the interpreter end quietly after OutputClosed: what it still holds goes nowhere."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(devnull, stream.fileno())


def console_for(stream: TextIO) -> Console:
    """Plain and without a bound on lines unless it is a terminal."""
    # Highlighting would colour every number; colours are given where they mean something.  NO_COLOR is rich's own matter.
    console = _Console(file=stream, theme=THEME, highlight=False, emoji=False, markup=False)
    if not console.is_terminal:
        console.width = _UNBOUNDED_COLUMNS
    return console
