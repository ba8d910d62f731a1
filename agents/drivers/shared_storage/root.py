"""Whether the tree is there, asked in a way that a dead network file system cannot hang."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import threading
from collections.abc import Callable
from typing import Final, TypeVar

from agents.drivers.shared_storage.names import readable
from agents.drivers.shared_storage.survey import unreadable
from agents.drivers.shared_storage.tar import find_tar
from contracts.errors import RunFailed, StrongroomError
from contracts.records import EngineHealth

T = TypeVar("T")

_TIMEOUT_S: Final = 4.0
_stuck: Final[dict[str, threading.Thread]] = {}
"""Looks at trees that the kernel has not answered in time: there is no further one until it does."""

FileID = tuple[int, int]


async def look_at_root(root: str, *, timeout_s: float = _TIMEOUT_S) -> FileID:
    """Which directory it is now.

    Raises: RunFailed `engine.unreachable`, `engine.permission`.
    """
    try:
        return await _in_own_thread(root, lambda: _look(root), timeout_s)
    except TimeoutError as exc:
        raise RunFailed(
            "engine.unreachable",
            f"the file system of {root} does not answer for {timeout_s:g} s: look after its server or disk",
        ) from exc
    except PermissionError as exc:
        raise unreadable(root, exc) from exc
    except FileNotFoundError as exc:
        raise RunFailed("engine.unreachable", f"{root} does not exist on this host: is its file system mounted?") from exc
    except OSError as exc:
        raise RunFailed("engine.unreachable", f"{root} cannot be looked at: {exc.strerror}") from exc


async def look_at_health(root: str, bin_dir: str) -> EngineHealth:
    try:
        await look_at_root(root)
    except StrongroomError as exc:
        return EngineHealth(reachable=False, error=exc.info)
    try:
        tar = await find_tar(bin_dir)
    except StrongroomError as exc:
        return EngineHealth(reachable=True, error=exc.info)
    return EngineHealth(reachable=True, version=tar.version)


def _look(root: str) -> FileID:
    status = os.stat(root)  # noqa: PTH116 - follows a link: the host's administrator has written the path
    if not stat.S_ISDIR(status.st_mode):
        raise RunFailed("engine.unreachable", f"{readable(root)} is no directory: correct root_dir in the service's file")
    with os.scandir(root) as entries:
        next(entries, None)
    return status.st_dev, status.st_ino


async def _in_own_thread(root: str, work: Callable[[], T], timeout_s: float) -> T:
    """Not in the loop's own threads, of which there are few, and which the process waits for when it ends."""
    if (before := _stuck.get(root)) is not None and before.is_alive():
        raise TimeoutError
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, exc: BaseException | None) -> None:
        if outcome.done():
            return
        if exc is not None:
            outcome.set_exception(exc)
        else:
            outcome.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, failure = None, None
        try:
            result = work()
        except (OSError, StrongroomError) as exc:
            failure = exc
        with contextlib.suppress(RuntimeError):  # the loop has been closed: there is nobody to tell
            loop.call_soon_threadsafe(settle, result, failure)

    thread = threading.Thread(target=run, name=f"look:{root}", daemon=True)
    thread.start()
    try:
        async with asyncio.timeout(timeout_s):
            return await outcome
    except TimeoutError:
        _stuck[root] = thread
        raise
