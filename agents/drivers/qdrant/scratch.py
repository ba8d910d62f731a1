"""A Qdrant of our own for rehearsals, where its program is installed on the agent's host."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from agents.drivers.base import Driver
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import open_nodes
from agents.drivers.scratch import LOOPBACK, ScratchServer, emptied, started_on_free_port
from agents.processes import Command
from contracts.errors import StrongroomError

PROGRAM: Final = "qdrant"
_KEY_FILE: Final = "api-key"
_START_S: Final = 60.0


def has_program() -> bool:
    return shutil.which(PROGRAM) is not None


@asynccontextmanager
async def scratch_server(directory: Path, make_driver: Callable[[QdrantConnection], Driver]) -> AsyncIterator[ScratchServer]:
    """A server on a free loopback port that only its own random key opens.  Leaving empties the directory.

    Raises: RunFailed `engine.tool_missing`, `restore.failed` with the server's last words.
    """

    def prepare(port: int) -> Command:
        _configure(directory, port)
        return Command(argv=[PROGRAM, "--config-path", str(directory / "config.yaml")], env={"RUN_MODE": "strongroom"})

    async def takes_our_key(port: int) -> bool:
        """Which somebody else's server on that port would not."""
        async with open_nodes(_connection(directory, port)) as (node,):
            try:
                await node.collections(timeout_s=_START_S)
            except StrongroomError:
                return False
        return True

    async with (
        emptied(directory),
        started_on_free_port(prepare, takes_our_key, timeout_s=_START_S, name=f"the scratch {PROGRAM}") as port,
    ):
        yield ScratchServer(make_driver(_connection(directory, port)))


def _configure(directory: Path, port: int) -> None:
    """Writes the server's configuration, in JSON, which is YAML as well.  The key stands there, not in the environment."""
    key = secrets.token_urlsafe(32)
    _write_private(directory / _KEY_FILE, key.encode())
    config = {
        "telemetry_disabled": True,
        "log_level": "WARN",
        "service": {"host": LOOPBACK, "http_port": port, "grpc_port": None, "api_key": key, "enable_tls": False},
        "storage": {
            "storage_path": str(directory / "storage"),
            "snapshots_path": str(directory / "snapshots"),
            "temp_path": str(directory / "temp"),
        },
        "cluster": {"enabled": False},
    }
    _write_private(directory / "config.yaml", msgspec.json.encode(config))


def _connection(directory: Path, port: int) -> QdrantConnection:
    return QdrantConnection(url=[f"http://{LOOPBACK}:{port}"], api_key_file=str(directory / _KEY_FILE))


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
