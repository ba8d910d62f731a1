"""Dumps and restores without a program: a coroutine on this side of a pipe, the data path on the other.

engine ─▶ coroutine ─▶ pipe ─▶ data path              data path ─▶ pipe ─▶ coroutine ─▶ engine
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final

from agents.drivers.base import Confirm, confirmed
from agents.processes import pipe, uncancelled, until_readable, write_all
from contracts.errors import Corrupt, RunFailed
from contracts.records import Attributes

_READ_BYTES: Final = 256 * 1024


class PipeWriter:
    """The engine's end of a dump, for one coroutine at a time.  Memory held: what is being written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self.written_bytes = 0

    async def write(self, data: bytes | bytearray | memoryview) -> None:
        """Returns when the pipe has taken all of it: how a slow store holds up the engine."""
        await write_all(self._fd, data)
        self.written_bytes += memoryview(data).nbytes


class PipeReader:
    """The engine's end of a restore."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    async def read(self, most: int = _READ_BYTES) -> bytes:
        """The next bytes, at most that many; none at the end."""
        while True:
            try:
                return os.read(self._fd, most)
            except BlockingIOError:
                await until_readable(self._fd)

    async def read_exactly(self, count: int) -> bytes:
        """That many bytes.  Raises: Corrupt `artifact.corrupt` when the input ends before."""
        collected = bytearray()
        while len(collected) < count:
            data = await self.read(count - len(collected))
            if not data:
                raise Corrupt("artifact.corrupt", "the artifact ends in the middle")
            collected += data
        return bytes(collected)

    async def drain(self) -> None:
        """Reads to the end, for nobody."""
        while await self.read():
            pass


Produce = Callable[[PipeWriter], Awaitable[list[str]]]
"""Writes a whole dump and returns its warnings, or raises; what it made on the engine it removes itself."""
Consume = Callable[[PipeReader], Awaitable[None]]
"""Takes a whole artifact in, beside its target."""
Place = Callable[[], Awaitable[Attributes]]
"""Puts what was taken in into its place; returns what `RestoreSink.finish` has to say."""


class PipedDump:
    """`DumpSource` of a coroutine."""

    def __init__(self, fd: int, producing: asyncio.Task[list[str]]) -> None:
        self.fd = fd
        self._producing = producing

    async def finish(self, plain_bytes: int, head: bytes, tail: bytes) -> list[str]:
        """Raises: what the coroutine raised; RunFailed `dump.incomplete` for a dump of nothing."""
        del head, tail  # the coroutine knows better than its bytes could tell whether it came to its end
        warnings = await asyncio.shield(self._producing)
        if plain_bytes == 0:
            raise RunFailed("dump.incomplete", "the dump ended well but there is nothing in it")
        return warnings


@asynccontextmanager
async def piped_dump(produce: Produce, *, name: str) -> AsyncIterator[PipedDump]:
    """The dump under way.  Leaving cancels the coroutine and waits for its clean-up."""
    reading, writing = pipe()
    os.set_blocking(writing, False)

    async def run() -> list[str]:
        try:
            return await produce(PipeWriter(writing))
        finally:
            os.close(writing)

    producing = asyncio.create_task(run(), name=f"dump:{name}")
    try:
        await asyncio.sleep(0)  # a task that is cancelled before its first step would never close the pipe
        yield PipedDump(reading, producing)
    finally:
        producing.cancel()
        await uncancelled(_ended(producing), name=f"dump:{name}:end")
        os.close(reading)


class PipedRestore:
    """`RestoreSink` of two coroutines: one takes in, one puts in place."""

    def __init__(self, fd: int, consuming: asyncio.Task[None], place: Place, confirm: Confirm) -> None:
        self.fd = fd
        self._consuming = consuming
        self._place = place
        self._confirm = confirm
        self._outcome: Attributes | None = None

    @property
    def is_finished(self) -> bool:
        return self._outcome is not None

    def close_input(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    async def finish(self) -> Attributes:
        """Raises: what the coroutines raised."""
        if self._outcome is None:
            self.close_input()
            await asyncio.shield(self._consuming)
            await self._confirm()
            self._outcome = await self._place()
        return self._outcome


@asynccontextmanager
async def piped_restore(
    consume: Consume, place: Place, *, name: str, confirm: Confirm = confirmed
) -> AsyncIterator[PipedRestore]:
    """The restore under way.  Leaving cancels `consume` and waits for it; undoing what it did is the caller's.

    `place` runs in `finish`, after `confirm`: what must not be left half-done there is wrapped in `uncancelled`.
    """
    reading, writing = pipe()
    os.set_blocking(reading, False)

    async def run() -> None:
        try:
            pipe_reader = PipeReader(reading)
            await consume(pipe_reader)
            await pipe_reader.drain()  # whoever writes has to come to the end: before it, nothing is known to be authentic
        finally:
            os.close(reading)  # whoever still writes gets a broken pipe

    consuming = asyncio.create_task(run(), name=f"restore:{name}")
    sink = PipedRestore(writing, consuming, place, confirm)
    try:
        await asyncio.sleep(0)
        yield sink
    finally:
        consuming.cancel()
        await uncancelled(_ended(consuming), name=f"restore:{name}:end")
        sink.close_input()


async def _ended(task: asyncio.Task[list[str]] | asyncio.Task[None]) -> None:
    await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # told by `finish`, or of no interest
