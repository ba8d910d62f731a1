"""The official AsyncAPI parser, installed by npm into a cache outside of the repository, as the committed lock says."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any, Final

_LOCKED: Final = Path(__file__).with_name("asyncapi")
_INSTALL_TIMEOUT_S: Final = 300.0
_CHECK_TIMEOUT_S: Final = 100.0


class NoParser(Exception):
    """It cannot be had on this machine; the text says why."""


def asyncapi_parser() -> Path:
    """The folder in which it is installed.  Raises: NoParser."""
    npm = shutil.which("npm")
    if npm is None:
        raise NoParser("npm is not installed: apt-get install npm")
    key = hashlib.sha256(b"".join((_LOCKED / name).read_bytes() for name in ("package-lock.json", "check.mjs"))).hexdigest()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "strongroom-tests"
    cache.mkdir(parents=True, exist_ok=True)
    home = cache / f"asyncapi-{key[:16]}"
    with (cache / f"{home.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not home.is_dir():
            _install(npm, home)
    return home


def check(home: Path, document: Path) -> tuple[bool, list[dict[str, Any]]]:
    """Whether the document is valid, and everything that the parser said of it."""
    ended = subprocess.run(
        ["node", str(home / "check.mjs"), str(document)],
        cwd=home,
        capture_output=True,
        text=True,
        timeout=_CHECK_TIMEOUT_S,
        check=False,
    )
    return ended.returncode == 0, [json.loads(line) for line in ended.stdout.splitlines()]


def _install(npm: str, home: Path) -> None:
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="installing-") as work:
        made = Path(work) / "asyncapi"
        shutil.copytree(_LOCKED, made)
        argv = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts"]
        ended = subprocess.run(argv, cwd=made, capture_output=True, text=True, timeout=_INSTALL_TIMEOUT_S, check=False)
        if ended.returncode != 0:
            raise NoParser(f"npm could not install it: {(ended.stdout + ended.stderr)[-500:]}".replace("\n", " "))
        made.rename(home)
