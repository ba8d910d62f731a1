"""The coordinator as a process: settings, logs, signals, and an exit status that tells why it ended."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import structlog

from contracts.errors import StrongroomError
from contracts.logs import configure_logs
from daemon.coordinator import run_coordinator
from daemon.settings import CoordinatorSettings, load_coordinator_settings

log = structlog.get_logger()


def serve(config: Path) -> int:
    """Runs until SIGTERM or SIGINT.  The exit status: 0 when told to stop, otherwise that of the error."""
    try:
        settings = load_coordinator_settings(config, os.environ)
        configure_logs(level=settings.log_level)
        asyncio.run(_until_told(settings))
    except StrongroomError as exc:
        print(exc, file=sys.stderr)  # noqa: T201 - the last word before the process ends
        return exc.exit_status
    return 0


async def _until_told(settings: CoordinatorSettings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        await run_coordinator(settings, stop)
    except* StrongroomError as group:
        first: BaseException = group
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
