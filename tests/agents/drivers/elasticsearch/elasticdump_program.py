"""The real `elasticdump`, installed by npm into a cache outside of the repository, as the committed lock says."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_LOCKED: Final = Path(__file__).with_name("elasticdump")
_INSTALL_TIMEOUT_S: Final = 300.0


class NoElasticdump(Exception):
    """It cannot be had on this machine; the text says why."""


def elasticdump() -> Path:
    """The program.  Raises: NoElasticdump."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoElasticdump("npm is not installed: apt-get install npm")
    key = hashlib.sha256((_LOCKED / "package-lock.json").read_bytes()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongroom-tests"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"elasticdump-{key}"
    with (cache / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            _install(npm, home)
    return home / "node_modules" / ".bin" / "elasticdump"


def run_elasticdump(program: Path, *arguments: str) -> str:
    """What it said; it must have ended well."""
    ended = subprocess.run(
        [str(program), *arguments], capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def _install(npm: str, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as work:
        made = Path(work) / "elasticdump"
        shutil.copytree(_LOCKED, made)
        argv = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        ended = subprocess.run(argv, cwd=made, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
        if ended.returncode != 0:
            raise NoElasticdump(f"npm could not install it: {(ended.stdout + ended.stderr)[-500:]}".replace("\n", " "))
        made.rename(home)
