"""A bucket's records in memory: read once, and from then on only what was written since.

Ten thousand records cost a second of a core to read, and a hundredth of that to look for what is new among them.  Nothing is
subscribed to: each look asks the stream what was written after the place of the look before, so whoever waits for it sees
all that was written before it asked, his own writes included, and there is nothing that could be missed in between.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final, Generic, TypeVar

from daemon.catalog.buckets import RecordBucket, Stored

T = TypeVar("T")

TRUSTED_S: Final = 300.0
"""Deletions are told twice as long; what was not looked at for this time is read anew."""


def _boot_time() -> float:
    """Seconds by a clock that does not step, and goes on while the host is suspended."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Mirror(Generic[T]):
    """The records of a bucket, or below a prefix, whose keys do not expire; without those that cannot be read (logged)."""

    def __init__(self, bucket: RecordBucket[T], prefix: str = "", *, clock: Callable[[], float] = _boot_time) -> None:
        self._bucket = bucket
        self._prefix = prefix
        self._clock = clock
        self._lock = asyncio.Lock()
        self._records: dict[str, Stored[T]] = {}
        self._place = 0
        self._looked_at = 0.0
        self._connections = 0
        self.changes = 0
        """Grows with every look that found something new."""

    @property
    def records(self) -> Mapping[str, Stored[T]]:
        """As the last look found them."""
        return self._records

    async def look(self) -> Mapping[str, Stored[T]]:
        """All records that there are now, by their keys and in no order; only to be read, until the next look.

        Raises: Unavailable.  Cancelled, the next look makes up for it.
        """
        async with self._lock:
            connections, began = self._bucket.connections, self._clock()
            # After a reconnect it may be another server, or one that was set back to an older state.
            if connections != self._connections or began - self._looked_at > TRUSTED_S:
                self._place = 0
            written = await self._bucket.written_since(self._place, self._prefix)
            if written.records or written.gone or (written.is_whole and self._records):
                self.changes += 1
            if written.is_whole:
                self._records = written.records
            else:
                self._records.update(written.records)
                for key in written.gone:
                    self._records.pop(key, None)
            self._place, self._looked_at, self._connections = written.until, began, connections
            return self._records
