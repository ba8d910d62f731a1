"""Ending in order when told to."""

from __future__ import annotations

import asyncio
import signal
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def stop_on_signals() -> asyncio.Event:
    """Set by the first SIGTERM or SIGINT; the next one acts as if nobody had listened."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def received() -> None:
        stop.set()
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, received)
    return stop
