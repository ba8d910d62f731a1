"""Every command has a help page with examples, and the examples are command lines that it takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from daemon.cli.app import app_for, whole_app
from daemon.cli.failures import EXIT_STATUSES
from tests.daemon.cli.calling import TOP, Strongroom

ROOT: Any = typer.main.get_command(whole_app())


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
        *("daemon", "up", "demo", "completion", "restore"),
        *("status", "watch", "logs", "events"),
        *("login", "logout", "whoami"),
        *("token create", "token list", "token revoke", "profile list", "profile use"),
        *(f"project {verb}" for verb in ("create", "list", "show", "set-quota", "usage", "delete", "undelete")),
        *(f"node {verb}" for verb in ("add", "list", "remove")),
        *(f"notify {verb}" for verb in ("add", "list", "change", "remove", "test")),
        *(f"service {verb}" for verb in ("add", "list", "show", "change", "delete", "undelete")),
        *(f"service {verb}" for verb in ("set-schedule", "schedule", "set-retention", "set-ping", "ping")),
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
        alone = re.sub(r"^(\w+=\$\(|source <\()(.*)\)$", r"\2", line).partition(" | ")[0].partition(" > ")[0]
        alone = alone if alone.startswith(("strongroom ", "STRONGROOM")) else line.partition(" | ")[2]
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


GROUPS = sorted({path[:-1] for path in ALL if len(path) > 1} | {()})


@pytest.mark.parametrize("columns", [80, 120])
def test_every_page_fits_its_terminal(strongroom: Strongroom, columns: int) -> None:
    for path in [*GROUPS, *ALL]:
        page = strongroom.on_terminal(*path, "--help", columns=columns).ok().out
        plain = re.sub(r"\x1b\[[0-9;]*m", "", page)
        # Examples are to be copied: they are never broken.
        text = plain.partition("\nExamples")[0].partition("\nFirst steps")[0]
        assert max(len(line) for line in text.splitlines()) <= columns, path


def test_the_first_page_names_every_command_with_a_sentence(strongroom: Strongroom) -> None:
    page = strongroom.on_terminal("--help", columns=120).ok().out
    plain = re.sub(r"\x1b\[[0-9;]*m", "", page)
    for name in ROOT.commands:
        assert re.search(rf"^  {name} +[A-Z]", plain, re.MULTILINE), name


def test_a_command_that_is_imported_alone_has_the_same_page() -> None:
    for path, command in ALL.items():
        alone: Any = typer.main.get_command(app_for(path))
        for name in path:
            alone = alone.commands[name]
        assert (alone.help, alone.epilog) == (command.help, command.epilog)
        assert [param.name for param in alone.params] == [param.name for param in command.params]


def named_commands() -> Iterator[tuple[str, str, str]]:
    """Every command that a message, a comment or a page of ours names: the file, the first word, and the second one."""
    for folder in ("contracts", "daemon", "agents"):
        for path in sorted((TOP / folder).rglob("*.py")):
            # Sentences in the source are broken at the ends of lines: `strongroom project "\n  f"undelete …`.
            text = re.sub(r"\"\s*\n\s*f?\"", "", path.read_text())
            for first, second in re.findall(r"`strongroom ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?", text):
                yield str(path.relative_to(TOP)), first, second


def test_every_command_that_is_named_anywhere_exists() -> None:
    found = list(named_commands())
    assert len(found) > 100
    for file, first, second in found:
        assert first in ROOT.commands, f"{file} names `strongroom {first}`"
        subcommands = getattr(ROOT.commands[first], "commands", None)
        assert subcommands is None or not second or second in subcommands, f"{file} names `strongroom {first} {second}`"
