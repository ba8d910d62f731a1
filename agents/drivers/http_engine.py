"""Speaking to an engine over HTTP: one client for all of them, with their errors as ours.

Raises throughout: RunFailed `engine.unreachable`, `engine.auth_failed`, `engine.permission`, and EngineRefused for every
other answer that is not a success.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar, overload
from urllib.parse import quote

import aiohttp
import msgspec
from yarl import URL

from contracts.errors import InvalidInput, RunFailed

T = TypeVar("T")

REQUEST_TIMEOUT_S: Final = 60.0
_CONNECT_TIMEOUT_S: Final = 10.0
_SILENCE_S: Final = 300.0
"""A stream that says nothing for this long is dead."""
_DETAIL_CHARS: Final = 4000
_READ_BYTES: Final = 1024 * 1024
_LARGEST_ANSWER: Final = 256 * 1024 * 1024


class EngineRefused(RunFailed):
    """An answer that is not a success; `status` is HTTP's, `body` its beginning."""

    def __init__(self, status: int, message: str, body: str, *, code: str = "engine.refused") -> None:
        super().__init__(code, message, detail=body or None)
        self.status = status
        self.body = body


class EngineHttp:
    """Requests to one base URL.  Made by `open_engine`."""

    def __init__(
        self, session: aiohttp.ClientSession, base_url: str, *, name: str, ssl_context: ssl.SSLContext | bool
    ) -> None:
        self._session = session
        self._base = base_url.rstrip("/")
        self._ssl = ssl_context
        self.name = name
        """The engine's, for sentences: `Qdrant`."""

    @property
    def url(self) -> str:
        return self._base

    @overload
    async def ask(self, method: str, path: str, *, type: type[T], **request: Any) -> T: ...

    @overload
    async def ask(self, method: str, path: str, **request: Any) -> Any: ...

    async def ask(self, method: str, path: str, *, type: Any = Any, **request: Any) -> Any:  # noqa: A002
        """The JSON answer of a request, as `type`.  `request` is that of `send`.

        Raises: RunFailed `engine.refused` also for an answer that is not JSON of that shape.
        """
        body = await self.send(method, path, **request)
        try:
            return msgspec.json.decode(body, type=type)
        except msgspec.DecodeError as exc:
            what = f"{self.name} at {self._base} gave an answer to {method} {path} that cannot be understood: {exc}"
            raise RunFailed("engine.refused", what, detail=_shown(body)) from exc

    async def send(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        data: Any = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = REQUEST_TIMEOUT_S,
    ) -> bytes:
        """The body of a successful answer (2xx), held in memory.  `path` is percent-encoded already, see `quote_path`."""
        kind: dict[str, str] = {}
        if json is not None:
            data, kind = msgspec.json.encode(json), {"Content-Type": "application/json"}
        try:
            async with (
                asyncio.timeout(timeout_s),
                self._session.request(
                    method,
                    self._address(path, params),
                    data=data,
                    headers={**kind, **(headers or {})},
                    ssl=self._ssl,
                    allow_redirects=False,
                ) as answer,
            ):
                body = await self._read(answer)
                self._require_success(answer.status, method, path, body)
                return body
        except aiohttp.ServerTimeoutError as exc:  # of the connection, which is less than the request's
            raise self._unreachable(exc) from exc
        except TimeoutError:
            what = f"{self.name} at {self._base} did not answer {method} {path} within {timeout_s:g} s"
            raise RunFailed("engine.unreachable", what) from None
        except aiohttp.ClientError as exc:
            raise self._unreachable(exc) from exc

    @asynccontextmanager
    async def stream(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """The body of a successful answer, piece by piece; one that is cut off raises `dump.failed`."""
        try:
            async with self._session.request(
                method, self._address(path, params), ssl=self._ssl, allow_redirects=False
            ) as answer:
                if answer.status >= 300:
                    self._require_success(answer.status, method, path, await self._read(answer))
                yield self._pieces(answer, method, path)
        except (aiohttp.ClientError, TimeoutError) as exc:
            raise self._unreachable(exc) from exc

    def _address(self, path: str, params: Mapping[str, str] | None) -> URL:
        url = URL(self._base + path, encoded=True)
        return url.update_query(params) if params else url

    async def _pieces(self, answer: aiohttp.ClientResponse, method: str, path: str) -> AsyncIterator[bytes]:
        try:
            async for piece in answer.content.iter_chunked(_READ_BYTES):
                yield piece
        except (aiohttp.ClientError, TimeoutError) as exc:
            what = f"{self.name} at {self._base} broke off its answer to {method} {path}: {_words(exc)}"
            raise RunFailed("dump.failed", what) from exc

    async def _read(self, answer: aiohttp.ClientResponse) -> bytes:
        collected = bytearray()
        async for piece in answer.content.iter_chunked(_READ_BYTES):
            collected += piece
            if len(collected) > _LARGEST_ANSWER:
                raise RunFailed("engine.refused", f"{self.name} at {self._base} gave an answer that is too large to hold")
        return bytes(collected)

    def _require_success(self, status: int, method: str, path: str, body: bytes) -> None:
        if 200 <= status < 300:
            return
        words, where = _shown(body), f"{self.name} at {self._base}"
        if status == 401:
            what = f"{where} refused the credentials: check those in the service's file on this host"
            raise EngineRefused(status, what, words, code="engine.auth_failed")
        if status == 403:
            what = f"{where} does not allow {method} {path}: give the service's credentials that right"
            raise EngineRefused(status, what, words, code="engine.permission")
        raise EngineRefused(status, f"{where} answered {method} {path} with status {status}", words)

    def _unreachable(self, exc: BaseException) -> RunFailed:
        return RunFailed("engine.unreachable", f"{self.name} at {self._base} does not answer: {_words(exc)}")


@asynccontextmanager
async def open_engine(
    base_url: str,
    *,
    name: str,
    headers: Mapping[str, str] | None = None,
    ca_file: str = "",
    connections: int = 16,
) -> AsyncIterator[EngineHttp]:
    """A client for requests to one engine.  Proxies of the environment are not used: these are neighbours.

    Raises: InvalidInput `config.invalid` for a URL, a header's value or a CA file that cannot be used.
    """
    _require_usable(base_url, headers or {})
    timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_TIMEOUT_S, sock_read=_SILENCE_S)
    connector = aiohttp.TCPConnector(limit=connections)
    session = aiohttp.ClientSession(
        connector=connector, timeout=timeout, headers=headers, trust_env=False, auto_decompress=True
    )
    async with session:
        yield EngineHttp(session, base_url, name=name, ssl_context=_ssl_context(ca_file))


def quote_path(*parts: str) -> str:
    """`/a/b` of parts that may hold any character."""
    return "".join("/" + _quote(part) for part in parts)


def _quote(part: str) -> str:
    # A part of dots only would be taken for a step in the path, even by servers that get it percent-encoded.
    return quote(part, safe="") if part.strip(".") else part.replace(".", "%2E")


def _require_usable(base_url: str, headers: Mapping[str, str]) -> None:
    try:
        URL(base_url)
    except ValueError as exc:
        raise InvalidInput("config.invalid", f"connection.url: {base_url}: {exc}", field="connection.url") from exc
    for name, value in headers.items():
        if any(character < " " or character == "\x7f" for character in value):
            raise InvalidInput(
                "config.invalid",
                f"connection: the secret for the header {name!r} has a line break or another control character in it: "
                "write the secret into its file and nothing else",
                field="connection",
            )


def _ssl_context(ca_file: str) -> ssl.SSLContext | bool:
    if not ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as exc:
        raise InvalidInput(
            "config.invalid", f"connection.ca_file: {ca_file} cannot be used: {exc}", field="connection.ca_file"
        ) from exc


def _shown(body: bytes) -> str:
    return body[: 4 * _DETAIL_CHARS].decode(errors="replace")[:_DETAIL_CHARS]


def _words(exc: BaseException) -> str:
    return str(exc) or type(exc).__name__
