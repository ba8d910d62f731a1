"""Small programs that stand for servers."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

from daemon.embedded.children import Child, ChildSpec

SERVES = "import pathlib, time; pathlib.Path('ready').touch(); print('serving', flush=True); time.sleep(60)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SERVES}"
DIES = "import sys; print('first line', flush=True); print('no such database', file=sys.stderr); sys.exit(3)"
FLAKY = "import pathlib, sys, time; pathlib.Path('ready').touch(); time.sleep(0.2); sys.exit('disk is gone')"
NEVER_READY = "import time; print('thinking', flush=True); time.sleep(60)"
PARENT = (
    "import pathlib, subprocess, sys; "
    "p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']); "
    "pathlib.Path('grandchild').write_text(str(p.pid)); pathlib.Path('ready').touch(); p.wait()"
)


def child(
    directory: Path,
    program: str = SERVES,
    *,
    name: str = "server",
    ready: Callable[[], Awaitable[bool]] | None = None,
    ready_timeout_s: float = 10.0,
    stop_grace_s: float = 5.0,
    cleanup: Callable[[], None] = lambda: None,
) -> Child:
    """A child that runs a Python program; without `ready` it is ready when it has made the file `ready`."""

    async def made_file() -> bool:
        return (directory / "ready").exists()

    return Child(
        ChildSpec(
            name=name,
            argv=(sys.executable, "-c", program),
            directory=directory,
            ready=ready or made_file,
            error_code="store.unavailable",
            ready_timeout_s=ready_timeout_s,
            stop_grace_s=stop_grace_s,
            cleanup=cleanup,
        )
    )
