"""Addresses that hold secrets: read from a file, a pipe or a person; a command line others may see."""

from __future__ import annotations

import sys
import termios
from pathlib import Path
from typing import Annotated

import typer

from contracts.errors import InvalidInput
from daemon.cli.policy_files import read_file

UrlFileOption = Annotated[
    Path | None,
    typer.Option(
        "--url-file",
        metavar="FILE",
        help="Where the address stands, alone; - is standard input. Without it, it is asked for.",
        show_default=False,
    ),
]


def read_url(url_file: Path | None, prompt: str) -> str:
    """The address: what the file holds, or what a person types unseen.

    Raises: InvalidInput where there is neither; the address is never repeated.
    """
    if url_file is None and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise InvalidInput(
            "input.invalid",
            "say with --url-file where the address stands (- is standard input): it holds secrets",
            field="url",
        )
    text = _type_unseen(prompt) if url_file is None else _read(url_file)
    if not text.strip():
        raise InvalidInput("input.invalid", "the address is empty", field="url")
    return text.strip()


def _read(url_file: Path) -> str:
    try:
        return read_file(url_file, "url_file").decode()
    except UnicodeDecodeError as exc:
        raise InvalidInput("input.invalid", f"{url_file}: is no text", field="url_file") from exc


def _type_unseen(prompt: str) -> str:
    """One line of the terminal, which does not show it.  Not by `getpass`: that one asks the terminal that controls the
    process, which need not be the one that standard input is."""
    sys.stderr.write(f"{prompt}: ")
    sys.stderr.flush()
    before = termios.tcgetattr(sys.stdin)
    unseen = [*before]
    unseen[3] &= ~termios.ECHO
    try:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, unseen)
        return sys.stdin.readline()
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stderr.write("\n")
