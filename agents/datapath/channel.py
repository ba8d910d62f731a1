"""A bounded queue between two threads of one transfer that can be ended from either side and from outside."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from agents.datapath.stop import Stopped

T = TypeVar("T")


class Channel(Generic[T]):
    """At most `capacity` items wait.  One thread puts, one gets; anybody may close or cancel."""

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque()
        self._capacity = capacity
        self._lock = threading.Lock()
        self._not_full = threading.Condition(self._lock)
        self._not_empty = threading.Condition(self._lock)
        self._closed = False
        self._cancelled = False

    def put(self, item: T) -> None:
        """Waits for room.  Raises: Stopped once the channel was cancelled."""
        with self._lock:
            while len(self._items) >= self._capacity and not self._cancelled:
                self._not_full.wait()
            if self._cancelled:
                raise Stopped
            self._items.append(item)
            self._not_empty.notify()

    def get(self) -> T | None:
        """The next item; None after `close` when all were taken.  Raises: Stopped once the channel was cancelled."""
        with self._lock:
            while not self._items and not self._closed and not self._cancelled:
                self._not_empty.wait()
            if self._cancelled:
                raise Stopped
            if not self._items:
                return None
            item = self._items.popleft()
            self._not_full.notify()
            return item

    def close(self) -> None:
        """Nothing will be put any more."""
        with self._lock:
            self._closed = True
            self._not_empty.notify_all()

    def cancel(self) -> None:
        """Drops what waits and ends both sides with Stopped."""
        with self._lock:
            self._cancelled = True
            self._items.clear()
            self._not_full.notify_all()
            self._not_empty.notify_all()
