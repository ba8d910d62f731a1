"""How commands end: the exit status of each kind of failure, and how an error is told to people and to programs."""

from __future__ import annotations

import sys
import traceback
from typing import Any, Final

import msgspec
from rich.text import Text

from contracts.errors import (
    Conflict,
    Corrupt,
    Denied,
    ErrorInfo,
    InvalidInput,
    NotFound,
    RunFailed,
    StrongroomError,
    Unavailable,
)
from daemon.cli.help_pages import usage_line
from daemon.cli.hints import step_after
from daemon.cli.plain_text import visible
from daemon.cli.suggestions import suggestion_of
from daemon.cli.terminal import Terminal, write

INTERRUPTED: Final = 130
OUTPUT_CLOSED: Final = 141
"""As if SIGPIPE had ended it, which is what other programs of a pipeline die of."""

EXIT_STATUSES: Final[tuple[tuple[int, str], ...]] = (
    (0, "done"),
    (StrongroomError.exit_status, "an error that Strongroom does not know"),
    (InvalidInput.exit_status, "the command line, the request or a setting is wrong"),
    (NotFound.exit_status, "the named thing does not exist"),
    (Conflict.exit_status, "the state of things forbids it"),
    (RunFailed.exit_status, "the backup or restore failed"),
    (Unavailable.exit_status, "a part of the system does not answer; the same may work later"),
    (Denied.exit_status, "not allowed, or the key is not held here"),
    (Corrupt.exit_status, "bytes are not what they claim to be: call a person"),
    (INTERRUPTED, "interrupted; a run that was started goes on"),
)


class ErrorDocument(msgspec.Struct, frozen=True, kw_only=True):
    """What `--json` writes to standard error."""

    error: ErrorInfo


def report(terminal: Terminal, error: StrongroomError, *, debug: bool) -> int:
    """Tells of a foreseen error; its exit status."""
    if terminal.as_json:
        tell_json(error.info)
    else:
        _draw(terminal, error.info, suggestion_of(error), step_after(error.code, error.message))
    if debug:
        write(sys.stderr, _trace(error))
    return error.exit_status


def report_unforeseen(terminal: Terminal, error: BaseException, *, debug: bool) -> int:
    """One line, and with `debug` where it came from."""
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    again = "" if debug else "; run it again with --debug for the traceback"
    info = ErrorInfo(code="internal", message=f"Strongroom met an error it does not know ({what.splitlines()[0]}){again}")
    if terminal.as_json:
        tell_json(info)
    else:
        _draw(terminal, info)
    if debug:
        write(sys.stderr, _trace(error))
    return StrongroomError.exit_status


def report_usage(terminal: Terminal, error: Any) -> int:
    """A command line that does not make sense: what is wrong, and where the right one is described."""
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if terminal.as_json:
        # Without the mark that keeps a parameter apart from Python's own word for it.
        parameter = (getattr(getattr(error, "param", None), "name", None) or "").rstrip("_")
        tell_json(ErrorInfo(code="input.invalid", message=message, field=parameter or None))
        return _usage_status(context)
    if message.startswith("Usage: "):
        # A group without a command: the library's error is the help page itself.
        write(sys.stderr, message.rstrip("\n"))
        return InvalidInput.exit_status
    path = context.command_path if context else "strongroom"
    _draw(terminal, ErrorInfo(code="usage", message=message))
    if context:
        terminal.err.print(Text(f"  usage: {usage_line(context.command, context)}", style="quiet"))
    terminal.err.print(Text.assemble("  → ", (f"{path} --help", "command"), " describes it, with examples"))
    return _usage_status(context)


def _usage_status(context: Any) -> int:
    own = getattr(context.command, "error_status", None) if context else None
    return InvalidInput.exit_status if own is None else own


def tell_json(info: ErrorInfo) -> None:
    write(sys.stderr, msgspec.json.encode(ErrorDocument(error=info)).decode())


def _draw(terminal: Terminal, info: ErrorInfo, *steps: str) -> None:
    console = terminal.err
    console.print(Text.assemble((info.code, "bad"), ": ", visible(info.message)))
    for line in visible(info.detail or "", one_line=False).strip("\n").splitlines():
        console.print(Text(f"  {line}", style="quiet"))
    for step in filter(None, steps):
        console.print(Text.assemble("  → ", visible(step)))


def _trace(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()
