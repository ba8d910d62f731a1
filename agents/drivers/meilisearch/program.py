"""The `meilisearch` program of this host: a throwaway instance that is launched from a dump."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from agents.drivers.meilisearch.api import MeilisearchApi, open_with_key
from agents.drivers.scratch import LOOPBACK, started_on_free_port
from agents.drivers.secret_files import Secret
from agents.processes import Command
from contracts.errors import RunFailed

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
    secret = Secret(secrets.token_urlsafe(32))

    def prepare(port: int) -> Command:
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "tmp").mkdir(parents=True, mode=0o700)
        return _command(program, dump, directory, port, secret)

    async with (
        started_on_free_port(
            prepare,
            _answers,
            timeout_s=timeout_s,
            name="a Meilisearch that was launched with the restored dump",
            hint="; raise timeout_s of the service",
        ) as port,
        open_with_key(f"http://{LOOPBACK}:{port}", secret) as api,
    ):
        yield api


def _command(program: str, dump: Path, directory: Path, port: int, secret: Secret) -> Command:
    argv = [
        program,
        "--import-dump",
        str(dump),
        "--db-path",
        str(directory / "data.ms"),
        "--http-addr",
        f"{LOOPBACK}:{port}",
    ]
    argv += ["--dump-dir", str(directory / "dumps"), "--snapshot-dir", str(directory / "snapshots")]
    argv += ["--env", "development", "--no-analytics", "--max-indexing-memory", _INDEXING_MEMORY]
    # The variable is seen by processes of this user only, and the key dies with the instance; there is no file for it.
    environment = {"MEILI_MASTER_KEY": secret.reveal(), "TMPDIR": str(directory / "tmp"), "HOME": str(directory)}
    return Command(argv=argv, env=environment, redact=secret.hide_in)


async def _answers(port: int) -> bool:
    try:
        async with open_with_key(f"http://{LOOPBACK}:{port}", None) as api:
            await api.require_serving(timeout_s=5)
    except RunFailed:
        return False
    return True
