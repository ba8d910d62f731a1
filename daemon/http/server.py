"""The server: a socket, uvicorn on the coordinator's own event loop, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
import uvicorn
from litestar.types import ASGIApp

from contracts.errors import InvalidInput
from contracts.tasks import cancel_surely
from daemon.http.settings import HttpSettings

log = structlog.get_logger()

_LAST_ANSWERS_S: Final = 3
"""What is under way when the coordinator stops is given this long."""
_BACKLOG: Final = 512
_MOST_HEAD_BYTES: Final = 32 * 1024
_STALLED_MS: Final = 120_000


class _Server(uvicorn.Server):
    """Leaves the process's signals to the coordinator."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serve_http(app: ASGIApp, settings: HttpSettings) -> AsyncIterator[str]:
    """Listens on entering; yields the address as a URL.  Raises: InvalidInput `config.invalid` when it cannot."""
    listener = _listen(settings)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        # The one that bounds a request's head, whatever else is installed.
        http="h11",
        h11_max_incomplete_event_size=_MOST_HEAD_BYTES,
        lifespan="on",
        server_header=False,
        ssl_certfile=settings.tls_cert_file or None,
        ssl_keyfile=settings.tls_key_file or None,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=settings.trusted_proxies or None,
        timeout_graceful_shutdown=_LAST_ANSWERS_S,
        ws="none",
    )
    try:
        config.load()
    except OSError as exc:
        listener.close()
        raise InvalidInput(
            "config.invalid", f"the TLS certificate or key cannot be read: {exc}", field="http.tls_cert_file"
        ) from exc
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    url = _url(listener, settings)
    try:
        log.info("http.listening", url=url)
        yield url
    finally:
        server.should_exit = True
        await asyncio.wait({serving}, timeout=_LAST_ANSWERS_S + 2)
        await cancel_surely(serving)
        listener.close()


def _listen(settings: HttpSettings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # With its protocol named: else asyncio leaves Nagle's algorithm on, and the body of an answer waits 40 ms for its head.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            # Every connection has it from here: one whose reader takes nothing is not kept for ever.
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
        listener.bind((settings.host, settings.port))
        listener.listen(_BACKLOG)
    except OSError as exc:
        listener.close()
        raise InvalidInput(
            "config.invalid",
            f"the coordinator cannot listen on {settings.host} port {settings.port}: {exc.strerror or exc}; choose another "
            "port, or stop what uses it",
            field="http.port",
        ) from exc
    return listener


def _url(listener: socket.socket, settings: HttpSettings) -> str:
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert_file else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
