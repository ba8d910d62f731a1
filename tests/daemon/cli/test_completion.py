"""Shells complete commands, options, and the names that the coordinator knows; silent where it does not answer."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from daemon.cli.completing import ANSWER_S, find_place
from tests.daemon.cli.calling import TOP, Strongroom
from tests.servers.waiting import eventually_blocking

BASH = """
source <(strongroom completion bash)
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_strongroom
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(strongroom: Strongroom, *words: str) -> list[str]:
    """The candidates, without what they are."""
    ended = strongroom("__complete", *words).ok()
    assert ended.err == ""
    return [line.partition("\t")[0] for line in ended.out.splitlines()]


def test_commands_and_options_are_completed_without_a_coordinator(strongroom: Strongroom) -> None:
    nobody = {"STRONGROOM_CONFIG": "/nonexistent"}
    for words, expected in (
        (("st",), ["status"]),
        (("backup", "c"), ["create", "cancel"]),
        (("backup", "create", "--no-w"), ["--no-wait"]),
        (("--out",), ["--output"]),
        (("service", "list", "--level", ""), ["problem", "warning", "good", "off"]),
        (("service", "add", "--kind", "m"), ["mariadb", "meilisearch"]),
        (("service", "add", "acme/x", "--method", "l"), ["logical"]),
        (("backup", "list", "--state", "f"), ["failed"]),
        (("events", "--type", "backup.c"), ["backup.cancelled", "backup.completed"]),
        (("service", "set-schedule", "acme/x", "d"), ["default", "daily"]),
        (("completion", "z"), ["zsh"]),
        (("node", "list", "--output=n"), ["--output=ndjson"]),
        (("node", "list", "--output", "=", "n"), ["ndjson"]),
        (("retention", "simulate", "--policy", ""), [":files"]),
        (("nonsense", ""), []),
        (("project", "create", ""), []),
        (("node", "list", ""), []),
    ):
        lines = strongroom("__complete", *words, **nobody).ok().out.splitlines()
        assert [line.partition("\t")[0] for line in lines] == expected, words
    first = strongroom("__complete", "", **nobody).ok().out
    assert "backup\tBackups of services.\n" in first
    assert "__complete" not in first


def test_names_are_the_coordinators_and_come_part_by_part(strongroom: Strongroom, service: str, project: str) -> None:
    record = strongroom.json("backup", "create", service, "--tag", f"t-{project}")
    assert completed(strongroom, "project", "show", project[:-1]) == [project]
    # There is but one project that begins so.
    assert completed(strongroom, "backup", "create", project) == [service]
    strongroom("project", "create", f"{project}-eu").ok()
    assert completed(strongroom, "backup", "create", project) == [f"{project}/", f"{project}-eu/"]
    assert completed(strongroom, "backup", "create", f"{project}/o") == [service]
    assert completed(strongroom, "backup", "show", f"{project}/o") == [f"{service}/"]
    assert completed(strongroom, "backup", "show", f"{service}/") == [f"{service}/latest", f"{service}/{record['id']}"]
    assert completed(strongroom, "backup", "show", f"{service}/{record['id'][:12]}") == [f"{service}/{record['id']}"]
    assert completed(strongroom, "restores", "show", f"{service}/") == []
    assert completed(strongroom, "service", "add", f"{project}-") == [f"{project}-eu/"]
    assert completed(strongroom, "service", "list", f"{project}-") == [f"{project}-eu"]
    assert completed(strongroom, "backup", "list", f"{project}-") == [f"{project}-eu", f"{project}-eu/"]
    assert completed(strongroom, "logs", f"{project}/") == [service, f"{service}/"]
    assert completed(strongroom, "backup", "list", "--tag", f"t-{project}") == [f"t-{project}"]
    assert "node-1" in completed(strongroom, "backup", "create", service, "--node", "")
    assert completed(strongroom, "restore", f"{service}/latest", "--to", f"{project}/") == [service]
    about = strongroom("__complete", "backup", "show", f"{service}/").ok().out
    assert "completed, " in about


def test_where_nobody_answers_there_is_nothing_and_soon(strongroom: Strongroom) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for url in (f"nats://127.0.0.1:{silent.getsockname()[1]}", "nats://127.0.0.1:1"):
            began = time.monotonic()
            ended = strongroom("__complete", "project", "show", "", STRONGROOM_NATS_URL=url).ok()
            assert (ended.out, ended.err) == ("", "")
            assert time.monotonic() - began < ANSWER_S + 3  # and what a busy machine takes to start a process
    ended = strongroom("__complete", "project", "show", "", STRONGROOM_CONFIG="/nonexistent").ok()
    assert (ended.out, ended.err) == ("", "")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a shell finds `strongroom`."""
    directory = tmp_path / "bin"
    directory.mkdir()
    command = directory / "strongroom"
    command.write_text(
        f"#!/bin/sh\nPYTHONPATH={TOP} exec {sys.executable} -c 'import daemon.cli; daemon.cli.main()' \"$@\"\n"
    )
    command.chmod(0o700)
    return directory


def shell(strongroom: Strongroom, path: Path, *argv: str) -> list[str]:
    environment = {**strongroom.env, "PATH": f"{path}:{strongroom.env['PATH']}"}
    ended = subprocess.run(
        argv, env=environment, cwd=strongroom.home, capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stderr == ""
    return ended.stdout.splitlines()


def test_bash_completes(strongroom: Strongroom, project: str, path: Path) -> None:
    def complete(words: str) -> list[str]:
        return shell(strongroom, path, "bash", "-c", BASH.format(words=words))

    assert complete("strongroom proj") == ["project"]
    eventually_blocking(lambda: complete(f"strongroom project show {project[:-2]}") == [project], 60)
    assert complete("strongroom node list --output = js") == ["json"]
    (strongroom.home / "a policy.toml").touch()
    assert complete("strongroom retention simulate --policy a") == ["a policy.toml"]


def test_fish_completes(strongroom: Strongroom, path: Path) -> None:
    if shutil.which("fish") is None:
        pytest.skip("NOT RUN HERE: fish is not installed")
    script = "strongroom completion fish | source; complete -C 'strongroom node list --output='"
    assert shell(strongroom, path, "fish", "--no-config", "-c", script) == [
        "--output=json",
        "--output=ndjson",
        "--output=table",
    ]


@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_scripts_are_ones_that_their_shells_can_read(strongroom: Strongroom, path: Path, name: str) -> None:
    if shutil.which(name) is None:
        pytest.skip(f"NOT RUN HERE: {name} is not installed")
    script = strongroom.home / "script"
    script.write_text(strongroom("completion", name).ok().out)
    assert shell(strongroom, path, name, "-n", str(script)) == []


def test_options_before_the_cursor_say_how_the_coordinator_is_reached() -> None:
    place = find_place(["--config", "a.toml", "backup", "show", "--profile=b", ""])
    assert place is not None
    assert (place.path, place.parameter.metavar, place.begun) == ("backup show", "BACKUP", "")
    assert (place.given["--config"], place.given["--profile"]) == ("a.toml", "b")


def test_a_word_after_the_last_argument_is_nothing_but_of_a_list() -> None:
    assert find_place(["backup", "show", "acme/orders/latest", ""]) is None
    place = find_place(["service", "set-schedule", "acme/orders", "weekly", "sunday", ""])
    assert place is not None
    assert place.parameter.metavar == "SCHEDULE"
