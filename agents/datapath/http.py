"""The agent's HTTP client for the object store, and what a failed connection means."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from typing import Final

import aiohttp

_CONNECT_S: Final = 30.0
_IDLE_S: Final = 20.0
"""Stores close idle connections; to find that out costs a try."""


def open_http(tls: ssl.SSLContext | None = None) -> aiohttp.ClientSession:
    """A session for signed URLs: no total timeout (parts are large and lines slow), no decoding, no cookies.

    `tls` says whom to trust, where that is not whom the system trusts.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=_IDLE_S, ssl=tls or True),
        timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=_CONNECT_S, sock_read=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        skip_auto_headers=["Content-Type"],
        headers={"User-Agent": "strongroom-agent"},
    )


CONNECTION_ERRORS: Final = (aiohttp.ClientError, OSError, asyncio.TimeoutError)
"""What a request may fail with before the store has answered.  Not errors of our own files: those are translated before."""


def describe(exc: BaseException) -> str:
    """Why a request failed, without the URL, which aiohttp likes to quote and which is a secret: it is signed."""
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return f"the store's certificate is not trusted: {exc.certificate_error}"
    if isinstance(exc, aiohttp.ClientConnectorError):
        return f"cannot connect: {_os_words(exc.os_error) or type(exc.os_error).__name__}"
    if isinstance(exc, TimeoutError):
        return "nothing moved for too long"
    if isinstance(exc, OSError) and _os_words(exc):
        return f"the connection broke: {_os_words(exc)}"
    if isinstance(exc, aiohttp.ServerDisconnectedError):
        return "the store closed the connection without an answer"
    return f"the connection failed ({type(exc).__name__})"


def _os_words(exc: OSError) -> str:
    return f"{os.strerror(exc.errno)} ({errno.errorcode.get(exc.errno, exc.errno)})" if exc.errno else ""
