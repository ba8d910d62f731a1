"""A real Meilisearch that somebody else runs, where the environment names one; tests have it to themselves.

    STRONGROOM_TEST_MEILI_URL        its base URL
    STRONGROOM_TEST_MEILI_DUMP_DIR   its dump directory, readable and writable here
    STRONGROOM_TEST_MEILI_KEY        its master key, if it has one

All of its indexes are removed.  Restored dumps are launched with the `meilisearch` on the PATH, or else with the protocol
server.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from meilisearch import Client

from daemon.embedded.ports import free_ports
from tests.servers.meilisearch.control import Control
from tests.servers.process import ServerProcess

_ROOT: Final = Path(__file__).parents[3]


class RealMeilisearch:
    """With the interface of `MeilisearchServer`, through a port of our own that can be closed."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        address = urlsplit(os.environ["STRONGROOM_TEST_MEILI_URL"])
        self.master_key = os.environ.get("STRONGROOM_TEST_MEILI_KEY", "")
        self.dump_dir = Path(os.environ["STRONGROOM_TEST_MEILI_DUMP_DIR"])
        self.control = Control(None)
        self.program = shutil.which("meilisearch") or ""
        self._port = free_ports(1)[0]
        there = [address.hostname or "127.0.0.1", str(address.port or 7700)]
        argv = [sys.executable, "-m", "tests.servers.meilisearch.forward", str(self._port), *there]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)}
        self._process = ServerProcess("forward", argv, directory=directory, env=environment)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def client(self, api_key: str | None = None) -> Client:
        return Client(self.url, self.master_key if api_key is None else api_key, timeout=60)

    @property
    def running(self) -> bool:
        return self._process.running

    def start(self) -> None:
        self._process.start(self._listens)

    def kill(self) -> None:
        self._process.kill()

    def stop(self) -> None:
        self._process.kill()

    def _listens(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
        except OSError:
            return False
        return True


def is_given() -> bool:
    return "STRONGROOM_TEST_MEILI_URL" in os.environ
