"""Worker threads of one transfer, as tasks see them: cancelled like any await, and surely ended afterwards."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from agents.datapath.stop import Stopped, StopSignal
from contracts.errors import StrongroomError

T = TypeVar("T")


class TransferThreads:
    """Threads of their own: the event loop's default pool is too small for work that waits for a database for hours."""

    def __init__(self, count: int, *, on_stop: Callable[[], None]) -> None:
        """`on_stop` wakes threads that wait for each other; those that poll have `stop`."""
        self.stop = StopSignal()
        self._on_stop = on_stop
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="datapath")

    async def run(self, function: Callable[[], T]) -> T:
        """What the function returns, run in a thread.  When this is cancelled, all threads are stopped, and it has ended."""
        future = asyncio.get_running_loop().run_in_executor(self._pool, function)
        try:
            return await asyncio.shield(future)
        except Stopped:
            raise asyncio.CancelledError from None
        except asyncio.CancelledError:
            self.stop.set()
            self._on_stop()
            # However often we are cancelled: a thread that still reads must not outlive the descriptor that it reads.
            while not future.done():
                try:
                    await asyncio.wait([future])
                except asyncio.CancelledError:
                    continue
            if not future.cancelled():
                future.exception()
            raise

    def close(self) -> None:
        """To be called when every `run` has returned."""
        self._pool.shutdown()
        self.stop.close()


def first_reason(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """Why the tasks of a group ended: the first error that has a code, or else the first there is."""
    leaves: list[BaseException] = []
    pending: list[BaseException] = [several]
    while pending:
        exc = pending.pop(0)
        if isinstance(exc, BaseExceptionGroup):
            pending += exc.exceptions
        else:
            leaves.append(exc)
    return next((exc for exc in leaves if isinstance(exc, StrongroomError)), leaves[0])
