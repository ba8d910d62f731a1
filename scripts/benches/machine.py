"""Where and with what a measurement was made."""

from __future__ import annotations

import os
import platform
import re
import shutil
import ssl
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_PACKAGES = ("aiohttp", "cryptography", "pynacl", "zstandard", "nats-py")
_PROGRAMS = {
    "pg_dump": "--version",
    "zstd": "--version",
    "age": "--version",
    "rclone": "version",
    "weed": "version",
    "nats-server": "--version",
}


def machine() -> dict[str, str | int]:
    """Enough to compare two results, and nothing that names the host."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo)
    memory = re.search(r"MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text())
    return {
        "cpu": model[1].strip() if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": int(memory[1]) // 1024 if memory else 0,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
    }


def versions() -> dict[str, str]:
    """Of everything that takes part and is installed."""
    found = {"python": platform.python_version(), "openssl": ssl.OPENSSL_VERSION.split()[1]}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    for program, argument in _PROGRAMS.items():
        path = program_path(program)
        if path is not None:
            said = subprocess.run([path, argument], capture_output=True, text=True, check=False)
            number = re.search(r"\d+\.\d+(\.\d+)?", said.stdout + said.stderr)
            found[program] = number[0] if number else "?"
    return found


def program_path(name: str) -> str | None:
    """A program beside our interpreter, where wheels put theirs, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)
