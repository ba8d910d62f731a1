"""A process that has imported the command line once and forks for each call of it.

Each call is a process of its own, with its own environment, directory and streams, as a shell would start it, but without
the second that the imports take.  A JSON line with four descriptors on the inherited socket asks for a call: its three
streams, and where to write lines with its process id and, when it has ended, its exit status.
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

import daemon.cli
import daemon.cli.bus_client
import daemon.cli.http_client
from daemon.cli.app import whole_app
from daemon.cli.client import ControlClient
from daemon.cli.downloading import ArtifactDownload
from daemon.cli.entry import run

IMPORTED = (aiohttp, nats, zstandard, whole_app(), ControlClient, ArtifactDownload, daemon.cli.bus_client, run)
"""What calls import late; here it is to be there already."""


def serve() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    while True:
        data, descriptors, _, _ = socket.recv_fds(channel, 1 << 20, 4)
        if not data:
            return
        if os.fork() == 0:
            channel.close()
            _guard(json.loads(data), descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def _guard(request: dict[str, Any], descriptors: list[int]) -> None:
    """Starts the call and tells of it.  Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        _call(request, descriptors)
    answers = descriptors[3]
    os.write(answers, f"{child}\n".encode())
    _, status = os.waitpid(child, 0)
    os.write(answers, f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _call(request: dict[str, Any], descriptors: list[int]) -> None:
    """The command itself.  Never returns."""
    status = 70
    try:
        os.setsid()
        for number, descriptor in enumerate(descriptors[:3]):
            os.dup2(descriptor, number)
        os.closerange(3, 1024)
        sys.stdin = os.fdopen(0, "r", encoding="utf-8")
        sys.stdout = os.fdopen(1, "w", encoding="utf-8")
        sys.stderr = os.fdopen(2, "w", encoding="utf-8", buffering=1)
        os.environ.clear()
        os.environ.update(request["env"])
        os.chdir(request["cwd"])
        sys.argv = ["strongroom", *request["argv"]]
        daemon.cli.main()
    except SystemExit as exc:
        status = exc.code if isinstance(exc.code, int) else 0 if exc.code is None else 1
    finally:
        os._exit(status)


if __name__ == "__main__":
    serve()
