"""A process that has imported the command line once and forks for each call of it.

Each call is a process of its own, with its own environment, directory and streams, as a shell would start it, but without
the second that the imports take.  Speaks on the socket that it inherits: a JSON line with three descriptors asks for a
call; the answers are lines with the call's process id and then its wait status.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from typing import Any

import aiohttp
import nats
import zstandard

from daemon.cli.app import app
from daemon.cli.client import ControlClient
from daemon.cli.downloading import ArtifactDownload
from daemon.cli.entry import run
from daemon.cli.event_reader import EventReader

IMPORTED = (aiohttp, nats, zstandard, app, ControlClient, ArtifactDownload, EventReader)
"""What calls import late; here it is to be there already."""


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 3)
        if not data:
            return
        request = json.loads(data)
        child = os.fork()
        if child == 0:
            channel.close()
            _call(request, descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        channel.sendall(f"{child}\n".encode())
        _, status = os.waitpid(child, 0)
        channel.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())


def _call(request: dict[str, Any], descriptors: list[int]) -> None:
    """Never returns."""
    status = 70
    try:
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, descriptor in enumerate(descriptors):
            os.dup2(descriptor, number)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(0, "r", encoding="utf-8"),
            os.fdopen(1, "w", encoding="utf-8"),
            os.fdopen(2, "w", encoding="utf-8", buffering=1),
        )
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        status = run(request["argv"])
        sys.stdout.flush()
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
