"""Reads a dump's file descriptor in a worker thread: in large pieces, with a stall limit, and stoppable at any moment."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import stat
import termios
import time
from typing import Final

from agents.datapath.stop import StopSignal
from contracts.errors import error

PIPE_BYTES: Final = 1024 * 1024
"""What Linux allows everybody (`fs.pipe-max-size`)."""
_ENOUGH_BYTES: Final = 256 * 1024
_NAP_S: Final = 0.002
_EDGE_BYTES: Final = 1024


class DumpReader:
    """Counts what it reads, and remembers its first and last KiB for the driver's check of the dump's completion mark."""

    def __init__(self, fd: int, *, stop: StopSignal, stall_s: float) -> None:
        self._fd = fd
        self._stop = stop
        self._stall_s = stall_s
        self._poll = select.poll()
        self._poll.register(fd, select.POLLIN)
        self._poll.register(stop.fd, select.POLLIN)
        self._is_pipe = stat.S_ISFIFO(os.fstat(fd).st_mode)
        if self._is_pipe:
            # Fewer, larger reads, and the tool need not wait for us; refused when the user has too many large pipes.
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.plain_bytes = 0
        self.head = b""
        self.tail = b""

    def readinto(self, buffer: memoryview) -> int:
        """How many bytes it put into `buffer`: 0 at the end of the dump.

        Raises: Stopped; RunFailed `dump.stalled` when nothing came for as long as is allowed, `dump.failed`.
        """
        events = self._wait_readable()
        if self._is_pipe and not events & select.POLLHUP and self._waiting_bytes() < _ENOUGH_BYTES:
            # Tools write 4 KiB at a time.  To wake up for each would cost more than to compress them.
            time.sleep(_NAP_S)
        try:
            count = os.readv(self._fd, [buffer])
        except OSError as exc:
            raise error("dump.failed", f"the dump cannot be read: {exc.strerror}") from exc
        self._note(buffer[:count])
        return count

    def _wait_readable(self) -> int:
        ready = dict(self._poll.poll(self._stall_s * 1000))
        self._stop.check()
        if self._fd not in ready:
            raise error("dump.stalled", f"the dump tool wrote nothing for {self._stall_s:g} s")
        return ready[self._fd]

    def _waiting_bytes(self) -> int:
        waiting = array.array("i", [0])
        fcntl.ioctl(self._fd, termios.FIONREAD, waiting)
        return waiting[0]

    def _note(self, read: memoryview) -> None:
        self.plain_bytes += len(read)
        if len(self.head) < _EDGE_BYTES:
            self.head += bytes(read[: _EDGE_BYTES - len(self.head)])
        self.tail = (self.tail + bytes(read[-_EDGE_BYTES:]))[-_EDGE_BYTES:]
