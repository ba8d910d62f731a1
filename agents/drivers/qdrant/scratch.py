"""A Qdrant of our own for rehearsals, where its program is installed on the agent's host."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from agents.drivers.base import Driver
from agents.drivers.qdrant.connection import QdrantConnection
from agents.drivers.qdrant.node import open_nodes
from agents.processes import Child, Command, start, uncancelled
from contracts.errors import RunFailed, StrongroomError
from contracts.records import RestoreTarget

PROGRAM: Final = "qdrant"
_LOOPBACK: Final = "127.0.0.1"
_ATTEMPTS: Final = 5
_START_S: Final = 60.0
_POLL_S: Final = 0.05


def has_program() -> bool:
    return shutil.which(PROGRAM) is not None


class QdrantScratch:
    """See `agents.drivers.base.Scratch`."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.target = RestoreTarget(project="scratch", service="scratch", node="scratch")

    async def inventory(self) -> Any:
        return (await self.driver.plan_backup()).inventory


@asynccontextmanager
async def scratch_server(directory: Path, make_driver: Callable[[QdrantConnection], Driver]) -> AsyncIterator[QdrantScratch]:
    """A server on a free loopback port that only its own random key opens.  Leaving empties the directory.

    Raises: RunFailed `engine.tool_missing`, `restore.failed` with the server's last words.
    """
    try:
        for attempt in range(1, _ATTEMPTS + 1):
            connection = _configure(directory)
            command = Command(
                argv=[PROGRAM, "--config-path", str(directory / "config.yaml")], env={"RUN_MODE": "strongroom"}
            )
            async with start(command) as server:
                if not await _is_ready(server, connection):
                    if attempt < _ATTEMPTS and "in use" in server.stderr:
                        continue
                    raise RunFailed(
                        "restore.failed",
                        f"the program {PROGRAM} on this host did not start for a rehearsal",
                        detail=server.stderr or None,
                    )
                yield QdrantScratch(make_driver(connection))
                return
    finally:
        await uncancelled(asyncio.to_thread(_empty, directory), name="scratch:remove")


def _configure(directory: Path) -> QdrantConnection:
    """Writes the server's configuration, in JSON, which is YAML as well.  The key stands there, not in the environment."""
    key = secrets.token_urlsafe(32)
    _write_private(directory / "api-key", key.encode())
    port = _free_port()
    config = {
        "telemetry_disabled": True,
        "log_level": "WARN",
        "service": {"host": _LOOPBACK, "http_port": port, "grpc_port": None, "api_key": key, "enable_tls": False},
        "storage": {
            "storage_path": str(directory / "storage"),
            "snapshots_path": str(directory / "snapshots"),
            "temp_path": str(directory / "temp"),
        },
        "cluster": {"enabled": False},
    }
    _write_private(directory / "config.yaml", msgspec.json.encode(config))
    return QdrantConnection(url=[f"http://{_LOOPBACK}:{port}"], api_key_file=str(directory / "api-key"))


async def _is_ready(server: Child, connection: QdrantConnection) -> bool:
    """Whether it takes its key, which somebody else's server on that port would not."""
    deadline = asyncio.get_running_loop().time() + _START_S
    async with open_nodes(connection) as (node,):
        while server.running and asyncio.get_running_loop().time() < deadline:
            try:
                await node.collections(timeout_s=_START_S)
            except StrongroomError as exc:
                if exc.code != "engine.unreachable":
                    return False
            else:
                return True
            await asyncio.sleep(_POLL_S)
    return False


def _free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((_LOOPBACK, 0))
        return int(candidate.getsockname()[1])


def _write_private(path: Path, data: bytes) -> None:
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
