"""Free loopback ports, and another try when somebody else was quicker."""

from __future__ import annotations

import errno
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from daemon.embedded.errors import PortTaken

LOOPBACK: Final = "127.0.0.1"
_ATTEMPTS: Final = 5
_RECENT: deque[int] = deque(maxlen=256)
"""Ports handed out lately: their users may not listen yet, and the kernel would hand them out again."""

T = TypeVar("T")


def free_ports(count: int, host: str = LOOPBACK) -> list[int]:
    """Distinct TCP ports on which nobody listens now; another process may still take one before its user does."""
    held: list[socket.socket] = []
    ports: list[int] = []
    try:
        while len(ports) < count:
            candidate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            held.append(candidate)  # held until all are chosen, or the kernel would repeat itself
            candidate.bind((host, 0))
            port = int(candidate.getsockname()[1])
            if port not in _RECENT:
                ports.append(port)
    finally:
        for one in held:
            one.close()
    _RECENT.extend(ports)
    return ports


def is_free(port: int, host: str = LOOPBACK) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as candidate:
        # As servers do: connections of a server that has just ended must not count.
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((host, port))
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE:
                return False
            raise
    return True


async def start_with_free_ports(count: int, start: Callable[[Sequence[int]], Awaitable[T]]) -> T:
    """What `start(ports)` returns; called again with other ports while it raises PortTaken, at most five times."""
    for _ in range(_ATTEMPTS - 1):
        try:
            return await start(free_ports(count))
        except PortTaken:
            continue
    return await start(free_ports(count))
