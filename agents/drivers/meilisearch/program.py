"""The `meilisearch` program of this host: a throwaway instance that is launched from a dump."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from agents.drivers.meilisearch.api import MeilisearchApi, open_with_key
from agents.drivers.secret_files import Secret
from agents.processes import Child, Command, start
from contracts.errors import RunFailed

_POLL_S: Final = 0.05
_ATTEMPTS: Final = 3
_INDEXING_MEMORY: Final = "2GiB"
"""The program would take two thirds of the host's, beside the instance that the service runs."""


def find_program(bin_dir: str) -> str | None:
    """The program's path."""
    return shutil.which("meilisearch", path=bin_dir or None)


def require_program(bin_dir: str) -> str:
    """Raises: RunFailed `engine.tool_missing`."""
    found = find_program(bin_dir)
    if found is None:
        where = f"in {bin_dir}" if bin_dir else "on the agent's PATH"
        what = f"the program meilisearch is not {where}: get it from meilisearch.com, or set bin_dir in the service's file"
        raise RunFailed("engine.tool_missing", what)
    return found


@asynccontextmanager
async def launched(program: str, dump: Path, directory: Path, *, timeout_s: float) -> AsyncIterator[MeilisearchApi]:
    """An instance that has taken in the dump, on a loopback port and with a key that nobody knows; it ends on leaving.

    Raises: RunFailed `restore.failed` with its last words.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        secret, port = Secret(secrets.token_urlsafe(32)), _free_port()
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "tmp").mkdir(parents=True, mode=0o700)
        async with start(_command(program, dump, directory, port, secret)) as child:
            if not await _serves(child, port, timeout_s):
                if attempt < _ATTEMPTS and "already in use" in child.stderr.lower():
                    continue
                status = await child.wait()
                what = f"a Meilisearch that was launched with the restored dump {status}: it does not take it in"
                raise RunFailed("restore.failed", what, detail=child.stderr or None)
            async with open_with_key(f"http://127.0.0.1:{port}", secret) as api:
                yield api
            return


def _command(program: str, dump: Path, directory: Path, port: int, secret: Secret) -> Command:
    argv = [program, "--import-dump", str(dump), "--db-path", str(directory / "data.ms"), "--http-addr", f"127.0.0.1:{port}"]
    argv += ["--dump-dir", str(directory / "dumps"), "--snapshot-dir", str(directory / "snapshots")]
    argv += ["--env", "development", "--no-analytics", "--max-indexing-memory", _INDEXING_MEMORY]
    # The variable is seen by processes of this user only, and the key dies with the instance; there is no file for it.
    environment = {"MEILI_MASTER_KEY": secret.reveal(), "TMPDIR": str(directory / "tmp"), "HOME": str(directory)}
    return Command(argv=argv, env=environment, redact=secret.hide_in)


async def _serves(child: Child, port: int, timeout_s: float) -> bool:
    """False when it has ended instead.  Raises: RunFailed `restore.failed` when neither happens in time."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while child.running:
        if await _answers(port):
            return child.running
        if loop.time() > deadline:
            what = f"a Meilisearch that was launched with the restored dump has not taken it in within {timeout_s:g} s"
            raise RunFailed("restore.failed", f"{what}; raise timeout_s of the service", detail=child.stderr or None)
        await asyncio.sleep(_POLL_S)
    return False


async def _answers(port: int) -> bool:
    try:
        async with open_with_key(f"http://127.0.0.1:{port}", None) as api:
            await api.require_serving(timeout_s=5)
    except RunFailed:
        return False
    return True


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])


def remove_tree(directory: Path) -> None:
    """All that is in it, but not itself."""
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            os.unlink(entry)  # noqa: PTH108
