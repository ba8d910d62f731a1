"""Ending in order for whatever reason: the demo leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


@contextmanager
def ended_in_order() -> Iterator[None]:
    """SIGTERM and SIGHUP (a terminal that was closed) act like Ctrl-C within the block, which cancels what runs.

    What is ignored (as by nohup) stays ignored, and off the main thread there are no signals to take care of.
    """
    here = threading.current_thread() is threading.main_thread()
    taken = [number for number in _SIGNALS if here and signal.getsignal(number) is not signal.SIG_IGN]
    loop = asyncio.get_running_loop()
    for number in taken:
        loop.add_signal_handler(number, signal.raise_signal, signal.SIGINT)
    try:
        yield
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
