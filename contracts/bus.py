"""The NATS connection as every Strongroom program makes it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar

import nats
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoServersError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.errors import NoStreamResponseError, ServiceUnavailableError

from contracts.errors import InvalidInput, Unavailable
from contracts.settings import NatsSettings

R = TypeVar("R")

log = structlog.get_logger()

RECONNECT_WAIT_S = 0.3
PING_INTERVAL_S = 10
"""A dead peer is noticed after two of these; the library's default would take four minutes."""


PATIENCE_S: Final = 15.0
"""How long a call rides out a server restart or an election of a new leader: up to 7 s were measured."""
_RETRY_WAIT_S: Final = 0.2


async def connect(
    settings: NatsSettings,
    *,
    name: str,
    inbox_prefix: str = "_INBOX",
    wait: bool = True,
    closed: Callable[[], Awaitable[None]] | None = None,
    failed: Callable[[], None] | None = None,
) -> Client:
    """A connection that never gives up by itself; with `wait=False` the first connect fails at once instead of waiting.

    `closed` is called when the connection is closed for good, `failed` for every error that it reports by itself.
    Raises: Unavailable `bus.unavailable`, InvalidInput `config.invalid` for an unreadable nkey or CA file.
    """
    seed = Path(settings.nkey_file)
    if not seed.is_file():
        raise InvalidInput("config.invalid", f"nats.nkey_file: {seed} does not exist", field="nats.nkey_file")
    servers = [url.strip() for url in settings.url.split(",") if url.strip()]
    failures: list[str] = []

    async def on_error(exc: Exception) -> None:
        # Permission violations arrive only here; the call itself merely times out.
        failures.append(str(exc))
        if failed is not None:
            failed()
        log.warning("bus.error", error=str(exc) or type(exc).__name__)

    async def on_disconnect() -> None:
        log.warning("bus.disconnected", client=name)

    async def on_reconnect() -> None:
        log.info("bus.reconnected", client=name)

    async def on_closed() -> None:
        if closed is not None:
            await closed()

    tls = None
    if settings.ca_file or any(url.startswith("tls:") for url in servers):
        try:
            tls = ssl.create_default_context(cafile=settings.ca_file or None)
        except OSError as exc:
            raise InvalidInput(
                "config.invalid", f"nats.ca_file: {settings.ca_file} cannot be read: {exc}", field="nats.ca_file"
            ) from exc
    try:
        return await nats.connect(
            servers,
            name=name,
            nkeys_seed=str(seed),
            inbox_prefix=inbox_prefix,
            tls=tls,
            allow_reconnect=wait,
            max_reconnect_attempts=-1,
            reconnect_time_wait=RECONNECT_WAIT_S,
            ping_interval=PING_INTERVAL_S,
            error_cb=on_error,
            disconnected_cb=on_disconnect,
            reconnected_cb=on_reconnect,
            closed_cb=on_closed,
        )
    except (NatsError, NoServersError, OSError, TimeoutError) as exc:
        reason = failures[-1] if failures else str(exc)
        raise Unavailable("bus.unavailable", f"no NATS server answers at {settings.url}: {reason}") from exc


async def patiently(call: Callable[[], Awaitable[R]], what: str, *, patience_s: float = PATIENCE_S) -> R:
    """The call's result, repeated while no server can take it.

    Only for calls that may safely happen twice.  Raises: Unavailable `bus.unavailable` when patience is at its end.
    """
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience_s
    while True:
        try:
            return await call()
        except (NoStreamResponseError, ServiceUnavailableError, NatsTimeoutError, TimeoutError) as exc:
            if loop.time() >= give_up_at:
                raise Unavailable("bus.unavailable", f"JetStream did not answer for {patience_s:.0f} s: {what}") from exc
        await asyncio.sleep(_RETRY_WAIT_S)
