"""The object store of the fleet bench: one in memory, so that it is not the store that is measured, or the real one."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from daemon.embedded.ports import free_ports
from tests.servers.directories import server_directory
from tests.servers.process import ServerProcess
from tests.servers.s3 import S3Server

ROOT = Path(__file__).parents[2]
MEMORY, SEAWEEDFS = "memory", "seaweedfs"
STORES = (MEMORY, SEAWEEDFS)


class BenchStore(msgspec.Struct, frozen=True, kw_only=True):
    """Where a running store is; the bucket is created by the coordinator."""

    endpoint_url: str
    region: str
    access_key: str
    secret_key: str


def python_environment() -> dict[str, str]:
    """For children of this bench: the code beside it, whatever else is installed."""
    return {"PATH": os.environ["PATH"], "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT)}


@contextmanager
def running_store(kind: str) -> Iterator[BenchStore]:
    """A store in a process of its own, gone afterwards with all that is in it."""
    with server_directory("s3") as directory:
        if kind == SEAWEEDFS:
            server = S3Server(directory)
            try:
                server.start()
                yield BenchStore(
                    endpoint_url=server.endpoint_url,
                    region=server.region,
                    access_key=server.access_key,
                    secret_key=server.secret_key,
                )
            finally:
                server.kill()
            return
        (port,) = free_ports(1)
        argv = [sys.executable, "-m", "scripts.benches.memory_s3", "--port", str(port)]
        process = ServerProcess("memory-s3", argv, directory=directory, env=python_environment())
        try:
            process.start(lambda: _listens(port))
            yield BenchStore(
                endpoint_url=f"http://127.0.0.1:{port}",
                region="us-east-1",
                access_key="bench",
                secret_key=secrets.token_hex(8),
            )
        finally:
            process.kill()


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
