"""What is imported when it is needed and not before: a command should be done sooner than all of it is read."""

from __future__ import annotations

import importlib
import sys
from typing import Final

_AIOHTTP: Final = "aiohttp"


def quiet_logs(*, debug: bool) -> None:
    """What the libraries log is for developers: errors reach the operator as sentences."""
    from contracts.logs import configure_logs

    configure_logs(level="debug" if debug else "critical", as_json=False)


def import_nats(url: str) -> None:
    """Imports the NATS library, for as much of it as this URL takes.

    For WebSockets it imports all of aiohttp, which takes three times as long as the rest of it together, and goes without
    where that is not installed.
    """
    if "ws:" in url or "wss:" in url or _AIOHTTP in sys.modules:
        return
    # The documented way to say that there is no such module: https://docs.python.org/3/reference/import.html#the-module-cache
    sys.modules[_AIOHTTP] = None  # type: ignore[assignment]
    try:
        importlib.import_module("nats")
    finally:
        # What else needs it, such as downloads, finds it as ever.
        del sys.modules[_AIOHTTP]
