"""The agent as a process, and `python -m agents`, which is `strongroom-agent` by another name.

What runs for months is this: the command line is taken apart with argparse and the agent goes on in the same process,
because an idle agent must stay small, and its host has neither Typer nor Rich.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Final

from contracts.errors import StrongroomError, Unavailable

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


def serve(config: Path) -> None:
    """Runs the agent until SIGTERM or SIGINT.  Raises: StrongroomError when it cannot start or go on."""
    asyncio.run(_until_told(config))


async def _until_told(config: Path) -> None:
    # Imported late: the other commands need nothing of it.
    from agents.agent import run_agent
    from agents.settings import load_agent_settings

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def received() -> None:
        stop.set()
        # Whoever asks again means it: the next signal acts as if nobody had listened.
        for number in _SIGNALS:
            loop.remove_signal_handler(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, received)
    try:
        await run_agent(load_agent_settings(config, os.environ), stop)
    except* StrongroomError as several:
        first: BaseException = several
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise first from None
    if not stop.is_set():
        # A service manager must see that this was not asked for.
        raise Unavailable("bus.unavailable", "the connection to the NATS server was closed for good")


if __name__ == "__main__":
    from agents.cli import main

    main()
