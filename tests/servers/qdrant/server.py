"""The server as a process of its own, alone or as a cluster, and as a program named `qdrant`."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from tests.servers.process import ServerProcess, start_on_free_ports
from tests.servers.qdrant.faults import Faults, write_faults
from tests.servers.qdrant.rights import make_token

_ROOT: Final = Path(__file__).parents[3]
PEERS: Final = (1111, 2222, 3333, 4444)


class QdrantServer:
    """On free loopback ports, which stay over restarts.  `nodes` of more than one make a cluster, in one process."""

    def __init__(self, directory: Path, nodes: int = 1) -> None:
        self.api_key = secrets.token_urlsafe(24)
        self.read_only_key = secrets.token_urlsafe(24)
        self.storage = directory / "storage"
        self._directory = directory
        self._nodes = nodes
        self._ports: list[int] = []
        self._process: ServerProcess | None = None
        self.storage.mkdir()

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self._ports]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def clear_snapshots(self) -> None:
        """Removes the files of snapshots, which outlive their collections."""
        for path in self.storage.glob("*/snapshots/*"):
            shutil.rmtree(path)

    def token(self, access: str | list[dict[str, str]]) -> str:
        """A token with these rights, such as `[{"collection": "orders", "access": "rw"}]`."""
        return make_token(self.api_key, {"access": access})

    def start(self) -> None:
        if self._ports:
            self._run(self._ports)
        else:
            start_on_free_ports(self._nodes, self._run)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    def fail(self, **faults: Any) -> None:
        """From now on, things go wrong as `Faults` says, and nothing else does."""
        write_faults(self.storage, Faults(**faults))

    def files(self) -> list[str]:
        """Snapshots and temporary files on the server's disk, whether or not its API shows them."""
        paths = [
            path
            for directory in ("snapshots", "snapshots_temp")
            for path in self.storage.glob(f"*/{directory}/**/*")
            if path.is_file()
        ]
        return sorted(str(path.relative_to(self.storage)) for path in paths)

    def _run(self, ports: list[int]) -> None:
        self._ports = ports
        service: dict[str, Any] = {
            "host": "127.0.0.1",
            "http_port": self._ports[0],
            "api_key": self.api_key,
            "read_only_api_key": self.read_only_key,
            "jwt_rbac": True,
        }
        config: dict[str, Any] = {"service": service, "storage": {"storage_path": str(self.storage)}}
        if self._nodes > 1:
            config["test_peers"] = dict(zip(map(str, PEERS), self._ports, strict=False))
        path = self._directory / "config.yaml"
        path.write_text(json.dumps(config))
        argv = [sys.executable, "-m", "tests.servers.qdrant", "--config-path", str(path)]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(_ROOT)}
        self._process = ServerProcess("qdrant", argv, directory=self._directory, env=environment)
        self._process.start(self._is_ready)

    def _is_ready(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._ports[-1], timeout=1)
        try:
            connection.request("GET", "/readyz")
            connection.getresponse().read()
        except OSError:
            return False
        finally:
            connection.close()
        return True


def install_program(directory: Path) -> Path:
    """A program `qdrant` in that directory, which runs this server: to be put on the PATH."""
    path = directory / "qdrant"
    script = f'#!/bin/sh\nPYTHONPATH={_ROOT} exec {sys.executable} -m tests.servers.qdrant "$@"\n'
    path.write_text(script)
    path.chmod(0o755)
    return path
