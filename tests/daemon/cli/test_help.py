"""Every command has a help page with examples, and the examples are command lines that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from daemon.cli.app import app
from daemon.cli.failures import EXIT_STATUSES
from tests.daemon.cli.calling import Strongroom

ROOT: Any = typer.main.get_command(app)


def commands(group: Any = ROOT, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(commands())


def examples(command: Any) -> list[str]:
    lines = [line.strip() for line in command.epilog.splitlines()[1:]]
    return [line for line in lines if line and not line.startswith("#")]


def test_all_commands_of_the_design_are_there() -> None:
    names = {" ".join(path) for path in ALL}
    assert names == {
        *("daemon", "up", "demo", "status", "events", "restore"),
        *(f"project {verb}" for verb in ("create", "list", "show", "set-quota", "usage", "delete", "undelete")),
        *(f"node {verb}" for verb in ("add", "list", "remove")),
        *(f"service {verb}" for verb in ("add", "list", "show", "change", "delete", "undelete")),
        *(f"service {verb}" for verb in ("set-schedule", "schedule", "set-retention")),
        *(f"backup {verb}" for verb in ("create", "follow", "list", "show", "cancel", "delete", "download")),
        *(f"backup {verb}" for verb in ("tag", "protect")),
        *(f"restores {verb}" for verb in ("follow", "list", "show", "cancel")),
        *(f"retention {verb}" for verb in ("plan", "simulate")),
    }


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_a_page_describes_everything_and_has_examples(path: tuple[str, ...]) -> None:
    command = ALL[path]
    assert command.help
    assert command.epilog.startswith("Examples\n")
    assert all(param.help for param in command.params if param.name != "ctx"), "an option without a word about it"


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_examples_are_command_lines_that_the_command_takes(path: tuple[str, ...]) -> None:
    for line in examples(ALL[path]):
        alone = re.sub(r"^(\w+=\$\()(.*)\)$", r"\2", line).partition(" | ")[0]
        words = [word for word in shlex.split(alone) if "=" not in word or not word.split("=")[0].isupper()]
        assert words[: len(path) + 1] == ["strongroom", *path], line
        arguments = words[len(path) + 1 :]
        with ALL[path].make_context(" ".join(path), arguments):
            pass


def test_pages_fit_a_terminal_and_say_what_there_is(strongroom: Strongroom) -> None:
    page = strongroom.on_terminal("backup", "create", "--help", columns=80).ok().out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", page)
    assert "Usage: strongroom backup create [OPTIONS] SERVICE" in plain
    assert max(len(line) for line in plain.splitlines()) <= 80
    for wanted in ("--tag TAG", "--no-wait", "Examples", "--json", "--config FILE"):
        assert wanted in plain


def test_the_first_page_documents_the_exit_statuses(strongroom: Strongroom) -> None:
    page = strongroom("--help").ok().out
    for status, meaning in EXIT_STATUSES:
        assert re.search(rf"^ +{status}  {re.escape(meaning)}$", page, re.MULTILINE)


def test_the_version_is_printed(strongroom: Strongroom) -> None:
    assert re.fullmatch(r"strongroom [0-9.]+\S*\n", strongroom("--version").ok().out)
