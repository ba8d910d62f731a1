"""A server of our own on this host, for a rehearsal: started, waited for, and nothing of it left.  For all kinds alike."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import structlog

from agents.drivers.base import Driver
from agents.drivers.filesystem import remove_tree
from agents.processes import Child, Command, start, uncancelled
from contracts.errors import RunFailed
from contracts.records import RestoreTarget

T = TypeVar("T")

log = structlog.get_logger()

LOOPBACK: Final = "127.0.0.1"
SCRATCH_TARGET: Final = RestoreTarget(project="scratch", service="scratch", node="scratch")
_ATTEMPTS: Final = 5
"""Of finding a port that nobody takes between our look and the server's."""
_POLL_S: Final = 0.05


@dataclass
class ScratchServer:
    """`Scratch` of a server that dumps are restored into."""

    driver: Driver
    target: RestoreTarget = SCRATCH_TARGET

    async def inventory(self) -> Any:
        return (await self.driver.plan_backup()).inventory


async def until_ready(
    server: Child, look: Callable[[], Awaitable[T]], *, timeout_s: float, name: str = "the scratch server", hint: str = ""
) -> T:
    """What `look` returned as soon as that was true.  `hint` says what helps against a server that is too slow.

    Raises: RunFailed `restore.failed` with the server's words when it ended instead, or was not ready in time.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while server.running:
                found = await look()
                if found and server.running:  # else it was somebody else who answered
                    return found
                await asyncio.sleep(_POLL_S)
    except TimeoutError:
        what = f"{name} was not ready after {timeout_s:g} s{hint}"
        raise RunFailed("restore.failed", what, detail=server.stderr or None) from None
    what = f"{name} {await server.wait()} instead of taking connections: its own words are below"
    raise RunFailed("restore.failed", what, detail=server.stderr or None)


@asynccontextmanager
async def started_on_free_port(
    prepare: Callable[[int], Command],
    look: Callable[[int], Awaitable[bool]],
    *,
    timeout_s: float,
    name: str = "the scratch server",
    hint: str = "",
) -> AsyncIterator[int]:
    """The loopback port of the server that `prepare` gives the command for; leaving ends it.  Otherwise like `until_ready`.

    `prepare` is called again, with another port, when somebody else took the first.
    """
    for attempt in range(1, _ATTEMPTS + 1):
        port = _free_port()
        async with start(prepare(port)) as server:
            try:
                await until_ready(server, lambda: look(port), timeout_s=timeout_s, name=name, hint=hint)  # noqa: B023
            except RunFailed:
                if attempt < _ATTEMPTS and "in use" in server.stderr.lower():
                    continue
                raise
            yield port
            return


@asynccontextmanager
async def emptied(directory: Path) -> AsyncIterator[None]:
    """On leaving, nothing is left in the directory."""
    try:
        yield
    finally:
        await uncancelled(asyncio.to_thread(_empty, directory), name="scratch:empty")


def _empty(directory: Path) -> None:
    def failed(what: str, exc: OSError) -> None:
        log.error("scratch.left_behind", path=str(directory), what=what, error=exc.strerror)

    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name in os.listdir(fd):  # noqa: PTH208 - of a descriptor
            try:
                os.unlink(name, dir_fd=fd)
            except IsADirectoryError:
                remove_tree(name, dir_fd=fd, failed=failed)
            except OSError as exc:
                failed(name, exc)
    finally:
        os.close(fd)


def _free_port() -> int:
    with socket.socket() as candidate:
        candidate.bind((LOOPBACK, 0))
        return int(candidate.getsockname()[1])
