"""Where the server programs are found, and what is said when they are not."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from daemon.embedded.binaries import NATS_SERVER, WEED, Program, find_program, parse_version
from daemon.embedded.errors import ProgramMissing


def program_file(path: Path, says: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_configured_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configured = program_file(tmp_path / "mine", "nats-server: v2.14.0")
    program_file(tmp_path / "bin" / "nats-server", "nats-server: v2.12.0")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    assert find_program(NATS_SERVER, configured) == configured


def test_a_configured_path_is_never_replaced_by_another(tmp_path: Path) -> None:
    with pytest.raises(ProgramMissing, match="is not an executable file"):
        find_program(NATS_SERVER, tmp_path / "absent")


def test_then_the_path_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = program_file(tmp_path / "weed", "version 8000GB 4.01 linux amd64")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_program(WEED) == found


@pytest.mark.parametrize("program", [NATS_SERVER, WEED])
def test_the_wheel_has_the_program_though_its_directory_is_not_on_the_path(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    assert find_program(program).name == program.name


@pytest.mark.parametrize("program", [NATS_SERVER, WEED])
def test_a_missing_program_says_what_to_install(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_such_package(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(importlib.metadata, "distribution", no_such_package)
    with pytest.raises(ProgramMissing, match=rf"{program.name}.*strongroom\[embedded\] \(package {program.wheel}\)"):
        find_program(program)


def test_an_old_program_is_refused(tmp_path: Path) -> None:
    old = program_file(tmp_path / "nats-server", "nats-server: v2.9.15")
    with pytest.raises(ProgramMissing, match=r"nats-server 2.11 or later is needed, .* is 2.9"):
        find_program(NATS_SERVER, old)


def test_a_program_that_does_not_run_is_refused(tmp_path: Path) -> None:
    broken = tmp_path / "weed"
    broken.write_bytes(b"\x7fELF garbage")
    broken.chmod(0o755)
    with pytest.raises(ProgramMissing, match="does not run"):
        find_program(WEED, broken)
    silent = program_file(tmp_path / "silent", "")
    with pytest.raises(ProgramMissing, match="does not tell its version"):
        find_program(WEED, silent)


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("nats-server: v2.15.1", (2, 15)),
        ("version 8000GB 4.48 pypi linux amd64", (4, 48)),
        ("version 30GB 3.80 7b2b2b linux amd64", (3, 80)),
        ("no number", None),
    ],
)
def test_versions_are_read_from_what_programs_print(text: str, version: tuple[int, int] | None) -> None:
    assert parse_version(text) == version
