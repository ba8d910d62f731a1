"""The pipe into a restore, of which the first part is looked at before a program gets any of it.

All on the event loop: what follows the first part is moved from pipe to pipe by the kernel (`splice`), without a copy.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
from types import TracebackType
from typing import Final, Self

from agents.processes import Child, pipe, until_readable, until_writable, write_all

_MOVE_BYTES: Final = 1024 * 1024
_READ_BYTES: Final = 256 * 1024
_NAP_S: Final = 0.002
_NO_SPLICE: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EPERM})


class Intake:
    """A pipe whose writing end belongs to the data path, and whose reading end is ours."""

    def __init__(self) -> None:
        self._reading, self.fd = pipe()
        os.set_blocking(self._reading, False)
        self._poll = select.poll()
        self._poll.register(self._reading, select.POLLIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close_input()
        self.abandon()

    def close_input(self) -> None:
        """End of file for the reader.  Nobody may be writing any more; may be called again."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def abandon(self) -> None:
        """Nothing more is read: whoever still writes gets a broken pipe.  May be called again."""
        if self._reading >= 0:
            os.close(self._reading)
            self._reading = -1

    async def read(self, count: int) -> bytes:
        """That many bytes, or fewer when the input ends before."""
        collected = bytearray()
        while len(collected) < count:
            try:
                data = os.read(self._reading, min(_READ_BYTES, count - len(collected)))
            except BlockingIOError:
                await until_readable(self._reading)
                continue
            if not data:
                break
            collected += data
        return bytes(collected)

    async def pass_on(self, head: bytes, child: Child) -> None:
        """Gives `head` and all that follows to a program, until the input ends or the program wants no more.

        What it does not want is left in the pipe: `drain` it if the program ended well, since then all was right.
        """
        os.set_blocking(child.stdin_fd, False)  # our end of the pipe only
        try:
            await write_all(child.stdin_fd, head)
            await self._move_all(child.stdin_fd)
        except BrokenPipeError:
            pass
        child.close_stdin()

    async def drain(self) -> None:
        """Reads to the end of the input, for nobody."""
        while await self.read(_READ_BYTES):
            pass

    async def _move_all(self, fd: int) -> None:
        """Raises: BrokenPipeError."""
        napped = False
        while True:
            try:
                if os.splice(self._reading, fd, _MOVE_BYTES) == 0:
                    return
                napped = False
                await asyncio.sleep(0)
            except BlockingIOError:
                napped = await self._until_movable(fd, napped=napped)
            except OSError as exc:
                if exc.errno not in _NO_SPLICE:
                    raise
                await self._copy_all(fd)
                return

    async def _until_movable(self, fd: int, *, napped: bool) -> bool:
        """Whether it was only a nap: to wake up for each page that a program has read would cost more than to move it."""
        if not self._poll.poll(0):
            await until_readable(self._reading)
            return False
        if napped:
            await until_writable(fd)
            return False
        await asyncio.sleep(_NAP_S)
        return True

    async def _copy_all(self, fd: int) -> None:
        """In a sandbox that knows no splice."""
        while data := await self.read(_READ_BYTES):
            await write_all(fd, data)
