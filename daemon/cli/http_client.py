"""The coordinator over HTTP: verbs are asked, streams are read, by whoever has a token."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, Final, TypeVar

import aiohttp
from yarl import URL

from contracts.control import Verb
from contracts.errors import InvalidInput, StrongroomError
from contracts.events import Event, event_decoder
from contracts.records import BackupRecord, RestoreRecord
from contracts.reports import LogLine, Progress, log_decoder, progress_decoder
from contracts.wire import Decoder
from daemon.cli.client import ANSWER_S, Source, decoder_of
from daemon.cli.http_failures import CONNECTION_ERRORS, not_a_coordinator, not_reached, refusal
from daemon.cli.http_requests import HttpRequest, query_of, request_of
from daemon.cli.http_streams import Lost, frames
from daemon.cli.references import RunRef
from daemon.cli.targets import HttpTarget
from daemon.filters import EventFilter, LogFilter
from daemon.http.operations import API_PREFIX
from daemon.news import Numbered, RunNews, Trouble
from daemon.sse import Frame

Q = TypeVar("Q")
A = TypeVar("A")
T = TypeVar("T")

_CONNECT_S: Final = 10.0
_KEY: Final = "Idempotency-Key"
_BROKEN: Final = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

_record_decoders: Final[dict[str, Decoder[BackupRecord] | Decoder[RestoreRecord]]] = {
    "backup": Decoder(BackupRecord),
    "restore": Decoder(RestoreRecord),
}


class HttpClient:
    """A `ControlClient`."""

    def __init__(self, http: aiohttp.ClientSession, target: HttpTarget, tls: ssl.SSLContext | bool) -> None:
        self._http = http
        self._target = target
        self._tls = tls

    async def ask(self, verb: Verb[Q, A], request: Q, *, timeout_s: float = ANSWER_S) -> A:
        wanted = request_of(verb, request)
        headers = {"Authorization": f"Bearer {self._target.token}", "Accept": "application/json"}
        if wanted.body is not None:
            headers["Content-Type"] = "application/json"
        if is_keyed := verb.method == "POST" and verb.name.endswith((".create", ".add")):
            headers[_KEY] = secrets.token_hex(16)
        # What breaks on the way is sent once more where doing it twice does nothing else.
        tries = 2 if is_keyed or verb.method == "GET" else 1
        status, media_type, body = await self._send(wanted, headers, timeout_s, tries)
        if not 200 <= status < 300:
            raise refusal(self._target.url, status, media_type, body)
        if status == 204:
            body = b"{}"
        elif media_type != "application/json":
            raise not_a_coordinator(self._target.url)
        try:
            answer: A = decoder_of(verb).decode(body)
        except InvalidInput as exc:
            raise not_a_coordinator(self._target.url) from exc
        return answer

    def events(
        self, wanted: EventFilter, *, since: datetime | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[Event], None]:
        query = {
            "project": wanted.project or None,
            "service": wanted.service or None,
            "types": wanted.types,
            "since": since.isoformat() if since else None,
            "follow": follow,
        }
        return self._numbered("/events", query, event_decoder)

    def log_lines(
        self, wanted: LogFilter, *, since: datetime | None = None, last: int | None = None, follow: bool = True
    ) -> AsyncGenerator[Numbered[LogLine], None]:
        query = {
            "project": wanted.project or None,
            "service": wanted.service or None,
            "run": wanted.run_id or None,
            "since": since.isoformat() if since else None,
            "last": last,
            "follow": follow,
        }
        return self._numbered("/logs", query, log_decoder)

    async def run_news(self, ref: RunRef) -> AsyncGenerator[RunNews, None]:
        path = f"/projects/{ref.project}/services/{ref.service}/runs/{ref.id}/follow"
        async with aclosing(self._frames(path, {})) as found:
            async for each in found:
                if isinstance(each, Lost):
                    yield Trouble(each.reason)
                elif (news := _news_of(each)) is not None:
                    yield news

    def content_of(self, ref: RunRef, artifact: str) -> Source:
        path = f"{API_PREFIX}/projects/{ref.project}/services/{ref.service}/backups/{ref.id}/content"
        url = URL(self._target.url + path, encoded=True).with_query({"artifact": artifact, "as": "age"})
        return Source(str(url), {"Authorization": f"Bearer {self._target.token}"}, self._tls)

    async def _numbered(self, path: str, query: dict[str, Any], decoder: Decoder[T]) -> AsyncGenerator[Numbered[T], None]:
        async with aclosing(self._frames(path, query)) as found:
            async for each in found:
                if not isinstance(each, Frame) or not each.id.isdecimal():
                    continue
                try:
                    value = decoder.decode(each.data.encode())
                except StrongroomError:
                    continue  # of a newer coordinator, in a shape that this program does not know
                yield Numbered(int(each.id), value)

    def _frames(self, path: str, query: dict[str, Any]) -> AsyncGenerator[Frame | Lost, None]:
        url = URL(self._target.url + API_PREFIX + path, encoded=True).with_query(query_of(query))
        return frames(self._http, self._target.url, url, {"Authorization": f"Bearer {self._target.token}"})

    async def _send(
        self, wanted: HttpRequest, headers: dict[str, str], timeout_s: float, tries: int
    ) -> tuple[int, str, bytes]:
        """Status, media type and body of the answer.  Raises: StrongroomError when there is none."""
        url = URL(self._target.url + wanted.path, encoded=True).with_query(list(wanted.query))
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        while True:
            tries -= 1
            try:
                async with self._http.request(
                    wanted.method, url, data=wanted.body, headers=headers, timeout=timeout, allow_redirects=False
                ) as answer:
                    return answer.status, answer.content_type, await answer.read()
            except CONNECTION_ERRORS as exc:
                if tries and isinstance(exc, _BROKEN) and not isinstance(exc, aiohttp.ClientConnectorError):
                    continue
                raise not_reached(self._target.url, exc, timeout_s=timeout_s) from exc


def _news_of(frame: Frame) -> RunNews | None:
    data = frame.data.encode()
    try:
        if frame.event in _record_decoders:
            return _record_decoders[frame.event].decode(data)
        if frame.event == "progress":
            progress: Progress = progress_decoder.decode(data)
            return progress
        if frame.event == "log" and frame.id.isdecimal():
            return Numbered(int(frame.id), log_decoder.decode(data))
    except StrongroomError:
        return None
    return None


@asynccontextmanager
async def connect_http(target: HttpTarget) -> AsyncIterator[HttpClient]:
    """Raises: InvalidInput `config.invalid` for a CA file that cannot be read."""
    tls = _tls(target)
    connector = aiohttp.TCPConnector(ssl=tls, limit=20)
    async with aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "strongroom"},
        trust_env=True,
    ) as http:
        yield HttpClient(http, target, tls)


def _tls(target: HttpTarget) -> ssl.SSLContext | bool:
    if not target.ca_file:
        return True
    try:
        return ssl.create_default_context(cafile=target.ca_file)
    except OSError as exc:
        raise InvalidInput(
            "config.invalid", f"ca_file: {target.ca_file} cannot be read: {exc.strerror or exc}", field="ca_file"
        ) from exc
