"""What went wrong on the way to a coordinator over HTTP, in sentences with a next step."""

from __future__ import annotations

import os
from typing import Final

import aiohttp
import msgspec

from contracts.errors import Denied, ErrorInfo, InvalidInput, StrongroomError, Unavailable, from_info

PROBLEM: Final = "application/problem+json"
CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, TimeoutError)
_AWAY: Final = frozenset({502, 503, 504})
_MOST_SAID: Final = 200


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    detail: str
    code: str
    field: str | None = None
    said: str | None = None


def refusal(url: str, status: int, media_type: str, body: bytes) -> StrongroomError:
    """The error of an answer that is no success: the coordinator's own, or what an answer of something else may mean."""
    if media_type == PROBLEM:
        try:
            problem = msgspec.json.decode(body, type=_Problem)
        except msgspec.MsgspecError:
            pass
        else:
            return from_info(ErrorInfo(code=problem.code, message=problem.detail, field=problem.field, detail=problem.said))
    if status in _AWAY:
        return Unavailable(
            "http.unavailable",
            f"what answers at {url} says {status}: a proxy does not reach the coordinator behind it; is that running?",
        )
    if status in (401, 403, 407):
        return Denied(
            "access.unauthenticated",
            f"something in front of the coordinator at {url} answered {status}: it wants to be shown more than our token",
        )
    if status == 429:
        return Unavailable("access.limited", f"{url} has been asked too often lately: wait a minute, then try again")
    if 300 <= status < 400:
        return InvalidInput(
            "config.invalid",
            f"{url} leads elsewhere ({status}), where the token is not sent: give the address that it leads to, mostly with "
            "https://",
            field="url",
        )
    words = body[:_MOST_SAID].decode(errors="replace").strip()
    return StrongroomError(
        "internal",
        f"{url} answered {status}, and not as a coordinator does: is that its address?",
        detail=words if words.isprintable() else None,
    )


def not_a_coordinator(url: str) -> StrongroomError:
    """Of a success that is none."""
    return StrongroomError(
        "internal", f"what answers at {url} does not speak as a coordinator does: is that its address, and as new as this?"
    )


def not_reached(url: str, exc: BaseException, *, timeout_s: float | None = None) -> StrongroomError:
    """Why there was no answer.  `timeout_s`: how long it was waited for after the connection stood."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return _certificate(url, exc.certificate_error)
    if isinstance(exc, aiohttp.ClientConnectorSSLError):
        return InvalidInput(
            "config.invalid",
            f"{url} cannot be spoken to with TLS: {_ssl_words(exc.os_error)}; if the coordinator speaks plain HTTP there, "
            "give its address with http://",
            field="url",
        )
    if isinstance(exc, aiohttp.ClientConnectorDNSError):
        return Unavailable("http.unavailable", f"nobody knows the address of {url}: is the name right?")
    if isinstance(exc, TimeoutError) and not isinstance(exc, aiohttp.ConnectionTimeoutError) and timeout_s is not None:
        return Unavailable(
            "http.unavailable",
            f"{url} did not answer within {timeout_s:.0f} s: it may have done it all the same, so look before you repeat it",
        )
    if isinstance(exc, aiohttp.SocketTimeoutError):
        return Unavailable("http.unavailable", f"nothing was heard from {url} for too long")
    if isinstance(exc, TimeoutError):
        return Unavailable("http.unavailable", f"{url} takes no connections: nothing answers there")
    if isinstance(exc, aiohttp.ClientConnectorError):
        return Unavailable(
            "http.unavailable",
            f"{url} cannot be reached: {_os_words(exc.os_error)}; is the coordinator running, and is the address right?",
        )
    if isinstance(exc, OSError) and exc.errno:
        return Unavailable("http.unavailable", f"the connection to {url} broke: {_os_words(exc)}")
    return Unavailable("http.unavailable", f"the connection to {url} broke ({type(exc).__name__})")


def _certificate(url: str, reason: Exception) -> StrongroomError:
    words = getattr(reason, "verify_message", "") or str(reason)
    return InvalidInput(
        "config.invalid",
        f"the certificate of {url} is not to be trusted: {words.rstrip('.')}; if a private authority signed it, name that "
        "(`strongroom login URL --ca-file FILE`, or `ca_file` in the configuration)",
        field="ca_file",
    )


def _ssl_words(exc: OSError) -> str:
    return getattr(exc, "reason", None) or str(exc)


def _os_words(exc: OSError) -> str:
    if isinstance(exc, ConnectionRefusedError):
        return "connection refused"
    return os.strerror(exc.errno) if exc.errno else type(exc).__name__
