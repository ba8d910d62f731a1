"""A signal that ends the threads of one transfer, wherever they wait."""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Self


class Stopped(Exception):
    """The transfer is being given up."""


class StopSignal:
    """Set once, never taken back.  `fd` becomes readable with it, so that it can be polled beside a pipe."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def set(self) -> None:
        with self._lock:
            self._event.set()
            if self.fd >= 0:
                os.eventfd_write(self.fd, 1)

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    def check(self) -> None:
        """Raises: Stopped."""
        if self._event.is_set():
            raise Stopped

    def close(self) -> None:
        """To be called when every thread that looks at it has ended."""
        with self._lock:
            if self.fd >= 0:
                os.close(self.fd)
                self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
