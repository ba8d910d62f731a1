"""Ending in order for whatever reason: the demo leaves nothing behind."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from contracts.tasks import cancel_surely

T = TypeVar("T")

_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


async def stoppable(work: Coroutine[Any, Any, T]) -> T:
    """The work's result; SIGTERM and SIGHUP (a terminal that was closed) cancel it and let it clean up, as Ctrl-C does.

    Ctrl-C itself is asyncio's matter, but only where it is not ignored, as it is for what a script runs in the background.
    A SIGHUP that is ignored (nohup) stays so.  Off the main thread there are no signals to take care of.
    Raises: KeyboardInterrupt when a signal ended the work.
    """
    loop = asyncio.get_running_loop()
    told = loop.create_future()
    here = threading.current_thread() is threading.main_thread()
    taken = [number for number in _SIGNALS if here and signal.getsignal(number) is not signal.SIG_IGN]
    for number in taken:
        loop.add_signal_handler(number, _note, told)
    task = loop.create_task(work, name="demo")
    try:
        try:
            await asyncio.wait({task, told}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            await cancel_surely(task)
    finally:
        for number in taken:
            loop.remove_signal_handler(number)
    if told.done() and task.cancelled():
        raise KeyboardInterrupt
    return task.result()


def _note(told: asyncio.Future[None]) -> None:
    if not told.done():
        told.set_result(None)
