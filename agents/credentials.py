"""The agent's credentials: its nkey, made on this host, and the user JWT that is renewed well before it ends."""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import os
import random
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec
import nkeys  # type: ignore[import-untyped]
import structlog
from nats.aio.client import Client
from nats.errors import Error as NatsError

from contracts.enrolment import Refused, renewed_decoder
from contracts.errors import Denied, InvalidInput, StrongroomError, Unavailable, from_info
from contracts.subjects import renew_subject
from contracts.wire import utc_now

log = structlog.get_logger()

_ANSWER_S: Final = 20.0
_LOOK_S: Final = 60.0
"""The wall clock is asked this often at least, so that a suspended host notices that the time has come."""
_RETRY_SHARE: Final = 0.1
"""Of what is left, until it is tried again; never longer than ten minutes."""


class _Claims(msgspec.Struct):
    iat: int
    exp: int | None = None


def new_seed() -> str:
    """A fresh nkey seed of a user, `SU…`."""
    return bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER)).decode()


def public_key(seed: str) -> str:
    """`U…`."""
    return bytes(nkeys.from_seed(bytearray(seed.encode())).public_key).decode()


def sign(seed: str, data: bytes) -> bytes:
    return bytes(nkeys.from_seed(bytearray(seed.encode())).sign(data))


def lifetime(user_jwt: str) -> tuple[datetime, datetime | None]:
    """When it was issued and when it ends (None: never), as it says itself; whether it is genuine is the server's to say.

    Raises: InvalidInput `config.invalid` for what is no JWT.
    """
    try:
        body = user_jwt.strip().split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=_Claims)
        ends = None if claims.exp is None else datetime.fromtimestamp(claims.exp, UTC)
        return datetime.fromtimestamp(claims.iat, UTC), ends
    except (IndexError, binascii.Error, msgspec.MsgspecError, ValueError, OverflowError, OSError) as exc:
        raise InvalidInput("config.invalid", "nats.jwt_file holds no JWT", field="nats.jwt_file") from exc


def renew_at(issued_at: datetime, ends_at: datetime, jitter: float) -> datetime:
    """Between 45 and 55 hundredths of its life: `jitter` is from 0 to 1, so that a fleet does not come at once."""
    return issued_at + (ends_at - issued_at) * (0.45 + 0.1 * jitter)


def check_not_ended(path: Path, now: datetime) -> None:
    """Raises: Denied `node.not_enrolled`, which says what to do, for credentials that have ended."""
    _, ends_at = lifetime(_read(path))
    if ends_at is not None and ends_at <= now:
        raise Denied(
            "node.not_enrolled",
            f"the credentials of this agent ended at {ends_at:%Y-%m-%d %H:%M} UTC, while it was not running: "
            "`strongroom node enroll NODE` makes a join token, and `strongroom-agent join --replace TOKEN` uses it here",
        )


def write_private(path: Path, text: str) -> None:
    """Replaces the file in one step and durably, mode 0600.  Raises: InvalidInput when the directory takes no file."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as exc:
        raise InvalidInput("config.invalid", f"{path} cannot be written: {exc.strerror}", field=str(path)) from exc


async def keep_credentials(client: Client, node: str, path: Path) -> None:
    """Until cancelled: renews what is in the file at half of its life, and goes over to it on another connection.

    What the coordinator refuses, or cannot do at the moment, is tried again until the credentials end.
    """
    jitter = random.random()  # noqa: S311 - spreads a fleet over time, nothing secret
    while True:
        issued_at, ends_at = lifetime(_read(path))
        due = None if ends_at is None else renew_at(issued_at, ends_at, jitter)
        now = utc_now()
        if ends_at is None or due is None or now < due:
            await asyncio.sleep(_LOOK_S if due is None else min(_LOOK_S, (due - now).total_seconds() + 0.01))
            continue
        try:
            write_private(path, await _renew(client, node))
        except StrongroomError as exc:
            log.warning("credentials.not_renewed", code=exc.code, reason=exc.message, ends_at=ends_at.isoformat())
            left = max(ends_at - now, timedelta())
            await asyncio.sleep(min(600.0, max(1.0, left.total_seconds() * _RETRY_SHARE)))
            continue
        # The server closes a connection when the credentials that it was made with end: it is made anew before that,
        # and what is published meanwhile waits in the client for some milliseconds.
        await client.force_reconnect()
        log.info("credentials.renewed")


async def _renew(client: Client, node: str) -> str:
    try:
        message = await client.request(renew_subject(node), b"", timeout=_ANSWER_S)
    except (NatsError, TimeoutError) as exc:
        raise Unavailable("bus.unavailable", f"no coordinator answered: {str(exc) or type(exc).__name__}") from exc
    answer = renewed_decoder.decode(message.data)
    if isinstance(answer, Refused):
        raise from_info(answer.error)
    return answer.user_jwt


def _read(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text(encoding="ascii")
    raise InvalidInput("config.invalid", f"nats.jwt_file: {path} cannot be read", field="nats.jwt_file")
