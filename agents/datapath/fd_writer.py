"""Writes to a restore tool's input in a worker thread, stoppable at any moment."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat

from agents.datapath.dump_reader import PIPE_BYTES
from agents.datapath.stop import StopSignal
from contracts.errors import error


class ToolGoneError(Exception):
    """Nobody reads any more: the tool has ended, and its own words say why."""


class FdWriter:
    """Waits for the tool as long as that takes: building an index may last hours in which nothing is read."""

    def __init__(self, fd: int, *, stop: StopSignal) -> None:
        self._fd = fd
        self._stop = stop
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._poll.register(stop.fd, select.POLLIN)
        # A blocking write of much data cannot be interrupted.  Our end of a pipe is ours alone: the tool's stays as it is.
        os.set_blocking(fd, False)
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            with contextlib.suppress(OSError):
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)

    def write(self, data: bytes) -> None:
        """Returns when the tool or its pipe has all of it.  Raises: Stopped, ToolGoneError, RunFailed `restore.failed`."""
        view = memoryview(data)
        while view:
            self._poll.poll()
            self._stop.check()
            try:
                view = view[os.write(self._fd, view) :]
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError) as exc:
                raise ToolGoneError from exc
            except OSError as exc:
                raise error("restore.failed", f"the restore cannot be written: {exc.strerror}") from exc
