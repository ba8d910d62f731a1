"""The servers' system account: telling them of accounts, and asking which they know.

Source: nats-server 2.15, server/accounts.go, `DirAccResolver.Start`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec
import nats
from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError

from contracts.errors import InvalidInput, Unavailable
from contracts.settings import NatsSettings
from daemon.trust.claims import SYSTEM_INBOX
from daemon.trust.keys import KeyPair

_UPDATE: Final = "$SYS.REQ.CLAIMS.UPDATE"
_LIST: Final = "$SYS.REQ.CLAIMS.LIST"
_CONNECT_S: Final = 5
_ANSWER_S: Final = 5.0
_QUIET_S: Final = 0.25
"""After the first server's answer, the others of a cluster have this long for the next one."""


class _Failure(msgspec.Struct, frozen=True, kw_only=True):
    code: int = 0
    description: str = ""


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    data: Any = None
    error: _Failure | None = None


_decode = msgspec.json.Decoder(_Answer).decode


class SystemAccount:
    """A connection to it; see `system_account`."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def update(self, account_jwt: str) -> None:
        """Every server that can be reached knows the account as of now, and keeps it over restarts.

        Raises: Unavailable `bus.unavailable` when no server answered, or one could not store it.
        """
        answers = [_read(raw) for raw in await self._ask(_UPDATE, account_jwt.encode())]
        for answer in answers:
            if answer.error is not None:
                reason = answer.error.description
                raise Unavailable("bus.unavailable", f"a NATS server did not take over an account: {reason}")

    async def accounts(self) -> set[str]:
        """The public keys of all accounts that a server knows.  Raises: Unavailable `bus.unavailable`."""
        known: set[str] = set()
        for raw in await self._ask(_LIST, b""):
            data = _read(raw).data
            known.update(account for account in (data if isinstance(data, list) else []) if isinstance(account, str))
        return known

    async def lookup(self, account: str) -> str | None:
        """The account's JWT, or None where no server has one.  Raises: Unavailable `bus.unavailable`."""
        answers = await self._ask(f"$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP", b"", enough=bool)
        return next((raw.decode("ascii", errors="replace") for raw in answers if raw), None)

    async def _ask(self, subject: str, payload: bytes, enough: Any = None) -> list[bytes]:
        """What the servers answer, until one answer is enough or none came for a while."""
        inbox = self._client.new_inbox()
        answers: list[bytes] = []
        subscription = await self._client.subscribe(inbox)
        try:
            await self._client.publish(subject, payload, reply=inbox)
            while True:
                message = await subscription.next_msg(_QUIET_S if answers else _ANSWER_S)
                if (message.headers or {}).get("Status") == "503":
                    raise Unavailable("bus.unavailable", "no NATS server keeps accounts: its resolver must be of type full")
                answers.append(message.data)
                if enough is not None and enough(message.data):
                    break
        except (NatsTimeoutError, TimeoutError):
            if not answers:
                raise Unavailable("bus.unavailable", f"no NATS server answered {subject}") from None
        except NatsError as exc:
            raise Unavailable("bus.unavailable", f"the NATS server went away: {exc}") from exc
        finally:
            if not self._client.is_closed:
                await subscription.unsubscribe()
        return answers


@asynccontextmanager
async def system_account(settings: NatsSettings, user: KeyPair, user_jwt: str) -> AsyncIterator[SystemAccount]:
    """Raises: Unavailable `bus.unavailable`, InvalidInput `config.invalid` for an unreadable CA file."""
    servers = [url.strip() for url in settings.url.split(",") if url.strip()]
    failures: list[str] = []

    async def on_error(exc: Exception) -> None:
        failures.append(str(exc))

    try:
        client = await nats.connect(
            servers,
            name="strongroom trust",
            user_jwt_cb=lambda: bytearray(user_jwt.encode()),
            nkeys_seed_str=user.reveal(),
            inbox_prefix=SYSTEM_INBOX,
            tls=_tls(settings, servers),
            allow_reconnect=False,
            # Without a limit, the library tries for ever what nobody listens to, whatever `allow_reconnect` says.
            max_reconnect_attempts=1,
            reconnect_time_wait=0.2,
            connect_timeout=_CONNECT_S,
            error_cb=on_error,
        )
    except (NatsError, OSError, TimeoutError) as exc:
        reason = failures[-1] if failures else str(exc)
        raise Unavailable("bus.unavailable", f"no NATS server answers at {settings.url}: {reason}") from exc
    try:
        yield SystemAccount(client)
    finally:
        async with asyncio.timeout(_CONNECT_S):
            await client.close()


def _tls(settings: NatsSettings, servers: list[str]) -> ssl.SSLContext | None:
    if not settings.ca_file and not any(url.startswith("tls:") for url in servers):
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file or None)
    except OSError as exc:
        raise InvalidInput(
            "config.invalid", f"nats.ca_file: {settings.ca_file} cannot be read: {exc}", field="nats.ca_file"
        ) from exc


def _read(raw: bytes) -> _Answer:
    try:
        return _decode(raw)
    except msgspec.MsgspecError as exc:
        raise Unavailable("bus.unavailable", f"a NATS server answered what cannot be read: {exc}") from exc
