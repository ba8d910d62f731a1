"""Where output goes: results to standard output, everything else to standard error.

A result is one document.  People see it drawn, programs get it as it came from the coordinator: as one JSON document, or
with `ndjson` as one line for each thing that a list or a stream consists of.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from itertools import zip_longest
from typing import Any, Final, TextIO

import msgspec
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text
from rich.theme import Theme

from contracts.errors import InvalidInput
from contracts.wire import encode
from daemon.cli.plain_text import escaped, visible

OUTPUT_VARIABLE: Final = "STRONGROOM_OUTPUT"

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
_CONTINUED: Final = " " * 4
_NARROWEST: Final = 20


class Output(StrEnum):
    """The form of results."""

    TABLE = "table"
    """Drawn for people."""
    JSON = "json"
    """One document; of what has no end, one on each line."""
    NDJSON = "ndjson"
    """A document on each line, for each thing of a list or stream."""


class OutputClosed(Exception):
    """Nobody reads our output any more, as with `… | head -1`."""


class _Console(Console):
    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Views make visible what comes from elsewhere; should one forget it, it still reaches no terminal as it is."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable() or segment.text == "\n":
                yield segment
            else:
                yield Segment(visible(segment.text, one_line=False), segment.style)

    def on_broken_pipe(self) -> None:
        self.quiet = True
        raise OutputClosed


class Terminal:
    """The two streams of one command.  For programs, standard error holds nothing but an error's own document."""

    def __init__(self, output: Output = Output.TABLE) -> None:
        self.output = output
        self.out = console_for(sys.stdout)
        self.err = console_for(sys.stderr)

    @property
    def as_json(self) -> bool:
        """Whether a program reads the result."""
        return self.output is not Output.TABLE

    @property
    def draws_progress(self) -> bool:
        """Whether somebody watches standard error."""
        return self.err.is_terminal and not self.as_json

    def result(self, document: Any, draw: Callable[[Console], None], *, items: Iterable[Any] | None = None) -> None:
        """The command's answer: the encoded document, or whatever `draw` prints of it.

        `items` are what the document lists, if it is a list.
        """
        if self.output is Output.TABLE:
            draw(self.out)
        elif self.output is Output.NDJSON:
            for item in [document] if items is None else items:
                self.line(item)
        else:
            self.json(document)

    def json(self, document: Any) -> None:
        """One document: on one line, or indented when a person looks at it."""
        if self.output is Output.JSON and self.out.is_terminal:
            _print_json(msgspec.json.format(encode(document), indent=2))
        else:
            self.line(document)

    def line(self, document: Any) -> None:
        """One document on one line, at once."""
        _print_json(encode(document))

    def say(self, message: RenderableType) -> None:
        """A message beside the result; nothing for programs."""
        if not self.as_json:
            self.err.print(message if not isinstance(message, str) else Text(visible(message, one_line=False)))


def chosen_output(given: Output | None, environ: Mapping[str, str]) -> Output:
    """What was given, or else what the environment says.  Raises: InvalidInput naming the variable."""
    if given is not None:
        return given
    named = environ.get(OUTPUT_VARIABLE, "")
    try:
        return Output(named) if named else Output.TABLE
    except ValueError:
        raise InvalidInput(
            "input.invalid",
            f"{OUTPUT_VARIABLE} is {named[:40]!r}; it can be {', '.join(Output)}",
            field=OUTPUT_VARIABLE,
        ) from None


def foreseen_output(argv: list[str], environ: Mapping[str, str]) -> Output:
    """The form that a command line asks for, as far as can be told before it is parsed: for errors in the line itself."""
    found: Output | None = None
    for word, following in zip_longest(argv, argv[1:], fillvalue=""):
        name, sign, value = word.partition("=")
        if word == "--":
            break
        if word == "--json":
            found = found or Output.JSON
        elif name in ("--output", "-o") and (value if sign else following) in list(Output):
            found = Output(value if sign else following)
    try:
        return chosen_output(found, environ)
    except InvalidInput:
        return Output.TABLE


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
    is_terminal, coloured = stream.isatty(), wants_colour(os.environ)
    # Highlighting would colour every number; colours are given where they mean something.  Whether it is a terminal is never
    # a matter of colours: nothing moves the cursor in a file because somebody wants its lines coloured.
    console = _Console(
        file=stream,
        theme=THEME,
        highlight=False,
        emoji=False,
        markup=False,
        force_terminal=is_terminal,
        no_color=coloured is False,
        color_system="standard" if coloured and not is_terminal else "auto",
    )
    if not is_terminal:
        console.width = _UNBOUNDED_COLUMNS
    return console


def print_line(console: Console, line: Text) -> None:
    """A line that other programs read as one; where a person reads it, what does not fit goes on, indented, below it."""
    if not console.is_terminal or line.cell_len <= console.width:
        console.print(line, soft_wrap=True)
        return
    first, *rest = line.wrap(console, max(console.width - len(_CONTINUED), _NARROWEST))
    console.print(first, soft_wrap=True)
    for each in rest:
        console.print(Text(_CONTINUED).append_text(each), soft_wrap=True)


def wants_colour(environ: Mapping[str, str]) -> bool | None:
    """What the environment says of colours; None: where there is a terminal.

    Sources: no-color.org, force-color.org, bixense.com/clicolors.  A wish for none beats one for some.
    """
    if environ.get("NO_COLOR"):
        return False
    if any(environ.get(name, "0") not in ("", "0") for name in ("FORCE_COLOR", "CLICOLOR_FORCE")):
        return True
    return False if environ.get("CLICOLOR") == "0" else None


def _print_json(document: bytes) -> None:
    write(sys.stdout, escaped(document.decode()))
