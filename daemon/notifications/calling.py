"""Calling a URL of a dead man's switch: once, within a time, and with an outcome in words."""

from __future__ import annotations

import asyncio
import importlib.metadata
import socket
import urllib.request
from typing import Any, Final
from urllib.parse import SplitResult, urljoin, urlsplit, urlunsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from contracts.notifications import PingMethod, PingSignal
from daemon.notifications.addresses import why_not
from daemon.notifications.reasons import of_status, reason_of
from daemon.notifications.sending import Outcome
from daemon.notifications.settings import NotificationSettings

_REDIRECTS: Final = 3
_MOST_BYTES: Final = 4096
"""Of an answer, which says nothing but that there is one."""
_SUFFIXES: Final = {PingSignal.SUCCESS: "", PingSignal.FAILURE: "/fail", PingSignal.START: "/start"}


def signal_url(url: str, signal: PingSignal) -> str:
    """Where a signal is told: below the URL's own path, in the way of healthchecks.io."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + _SUFFIXES[signal] if _SUFFIXES[signal] else parts.path))


async def call(url: str, method: PingMethod, body: str, settings: NotificationSettings) -> Outcome:
    """What became of it; never raises.  A redirect is followed only on the same host, and never to an open connection."""
    resolver = _CheckedResolver(allow_private=settings.allow_private)
    headers = {"User-Agent": f"strongroom/{importlib.metadata.version('strongroom')}"}
    try:
        async with asyncio.timeout(settings.ping_timeout_s):
            connector = aiohttp.TCPConnector(resolver=resolver, force_close=True)
            async with aiohttp.ClientSession(
                connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
            ) as http:
                return await _follow(http, url, method, body, settings)
    except TimeoutError:
        return Outcome(False, f"the host did not answer within {settings.ping_timeout_s:.0f} s")
    except (aiohttp.ClientError, OSError, ValueError) as exc:
        # The library tells why below what it could not do.
        return Outcome(False, reason_of([f"{type(each).__name__}: {each}" for each in (exc, exc.__cause__) if each]))


async def _follow(
    http: aiohttp.ClientSession, url: str, method: PingMethod, body: str, settings: NotificationSettings
) -> Outcome:
    for _ in range(_REDIRECTS + 1):
        parts = urlsplit(url)
        if reason := why_not(parts.hostname or "", allow_private=settings.allow_private):
            return Outcome(False, reason)
        request: dict[str, Any] = {"allow_redirects": False, "proxy": _proxy(parts)}
        if method is PingMethod.POST:
            request["data"] = body.encode()
        async with http.request(method.value.upper(), url, **request) as response:
            await response.content.read(_MOST_BYTES)
            if response.status in (301, 302, 303, 307, 308) and (location := response.headers.get("Location")):
                after = urljoin(url, location)
                if not _may_lead(parts, urlsplit(after)):
                    return Outcome(
                        False, f"the service answered {response.status}: it leads to another host, and is not followed"
                    )
                url = after
                continue
            if 200 <= response.status < 300:
                return Outcome(True, f"the service answered {response.status}")
            return Outcome(False, of_status(response.status))
    return Outcome(False, "the service leads in a circle")


def _may_lead(before: SplitResult, after: SplitResult) -> bool:
    return after.hostname == before.hostname and (after.scheme == before.scheme or after.scheme == "https")


def _proxy(parts: SplitResult) -> str | None:
    """As the environment says.  By hand: aiohttp would read passwords of other hosts from `~/.netrc` along with it."""
    if urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    return urllib.request.getproxies().get(parts.scheme)


class _CheckedResolver(AbstractResolver):
    """Finds addresses that may be connected to, and no others."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._resolver = ThreadedResolver()

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for each in found:
            if reason := why_not(each["host"], allow_private=self._allow_private):
                raise OSError(reason)
        return found

    async def close(self) -> None:
        await self._resolver.close()
