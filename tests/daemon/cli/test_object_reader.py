"""Reading an object through whatever a store and a network do: in order, once, to the end, or with the reason why not."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from aiohttp import web

from contracts.errors import Corrupt, RunFailed, StrongroomError, Unavailable
from daemon.cli.object_reader import ObjectReader, open_http

DATA = os.urandom(400_000)
Behaviour = Callable[[web.Request, int], Awaitable[web.StreamResponse | None]]


class Store:
    """A server with one object; `behave` may answer the n-th request in its place."""

    def __init__(self) -> None:
        self.url = ""
        self.ranges: list[str] = []
        self.paths: list[str] = []
        self.behave: Behaviour = _properly

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.ranges.append(request.headers["Range"])
        self.paths.append(request.path)
        answer = await self.behave(request, len(self.ranges))
        return answer if answer is not None else part(request)


def part(request: web.Request) -> web.Response:
    """What was asked for."""
    first = int(request.headers["Range"].removeprefix("bytes=").rstrip("-"))
    headers = {"Content-Range": f"bytes {first}-{len(DATA) - 1}/{len(DATA)}"}
    return web.Response(status=206, body=DATA[first:], headers=headers)


async def _properly(_: web.Request, __: int) -> None:
    return None


def says(status: int, code: str = "", *, times: int = 1000) -> Behaviour:
    async def behave(_: web.Request, number: int) -> web.Response | None:
        return web.Response(status=status, text=f"<Error><Code>{code}</Code></Error>") if number <= times else None

    return behave


async def cuts_after_50_000(request: web.Request, number: int) -> web.StreamResponse | None:
    whole = part(request)
    assert isinstance(whole.body, bytes)
    response = web.StreamResponse(status=206, headers={**whole.headers, "Content-Length": str(len(whole.body))})
    await response.prepare(request)
    await response.write(whole.body[:50_000])
    assert request.transport is not None
    if len(whole.body) > 50_000:
        request.transport.close()
    return response


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    created = Store()
    app = web.Application()
    app.router.add_get("/{path:.*}", created.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    created.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield created
    await runner.cleanup()


async def read(store: Store, *, size: int = len(DATA), renewals: list[str] | None = None) -> bytes:
    """Everything that was delivered; pauses take no time."""
    got = bytearray()

    async def deliver(data: bytes) -> None:
        got.extend(data)

    async def renew() -> str:
        if renewals is None:
            raise Unavailable("bus.unavailable", "no coordinator is running")
        renewals.append("asked")
        return f"{store.url}/fresh"

    async def pause(_: float) -> None:
        return None

    async with open_http() as http:
        reader = ObjectReader(
            http, "artifact 'orders'", f"{store.url}/signed", size, renew=renew, deliver=deliver, pause=pause
        )
        await reader.run()
        assert reader.at == len(got)
    return bytes(got)


async def failure(store: Store, **options: object) -> StrongroomError:
    with pytest.raises(StrongroomError) as caught:
        await read(store, **options)  # type: ignore[arg-type]  # a test's shorthand
    assert "signed" not in str(caught.value), "a signed URL is a secret"
    return caught.value


async def test_an_object_is_read_in_one_request(store: Store) -> None:
    assert await read(store) == DATA
    assert store.ranges == ["bytes=0-"]


async def test_a_connection_that_is_cut_is_resumed_where_it_broke_however_often(store: Store) -> None:
    store.behave = cuts_after_50_000
    assert await read(store) == DATA
    assert len(store.ranges) == 8
    assert store.ranges[1] != "bytes=0-"


async def test_a_busy_store_is_asked_again(store: Store) -> None:
    store.behave = says(503, "SlowDown", times=3)
    assert await read(store) == DATA


async def test_an_expired_signature_is_renewed_once(store: Store) -> None:
    renewals: list[str] = []

    async def expired(request: web.Request, _: int) -> web.Response | None:
        return web.Response(status=403) if request.path == "/signed" else None

    store.behave = expired
    assert await read(store, renewals=renewals) == DATA
    assert (renewals, store.paths) == (["asked"], ["/signed", "/fresh"])


async def test_a_renewal_waits_for_a_coordinator_that_is_away(store: Store) -> None:
    store.behave = says(403)
    assert (await failure(store)).code == "download.failed"
    assert len(store.paths) == 8


@pytest.mark.parametrize(
    ("status", "code", "branch"),
    [
        (403, "download.failed", RunFailed),
        (404, "store.missing", Corrupt),
        (400, "download.failed", RunFailed),
        (416, "artifact.corrupt", Corrupt),
        (500, "download.failed", RunFailed),
        (302, "download.failed", RunFailed),
    ],
)
async def test_a_refusal_that_lasts_is_told_by_its_kind(
    store: Store, status: int, code: str, branch: type[StrongroomError]
) -> None:
    store.behave = says(status, "AccessDenied")
    error = await failure(store, renewals=[])
    assert (error.code, type(error)) == (code, branch)


async def test_an_object_of_another_size_is_not_the_one_of_the_record(store: Store) -> None:
    for size in (len(DATA) - 1, len(DATA) + 1):
        assert (await failure(store, size=size)).code == "artifact.corrupt"


async def test_an_answer_that_is_longer_than_it_says_is_not_the_one_of_the_record(store: Store) -> None:
    async def chunked(request: web.Request, _: int) -> web.StreamResponse:
        response = web.StreamResponse(status=200)
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(DATA + b"more")
        return response

    store.behave = chunked
    assert (await failure(store)).code == "artifact.corrupt"


async def test_another_range_than_was_asked_for_is_refused(store: Store) -> None:
    async def from_the_start(request: web.Request, number: int) -> web.StreamResponse | None:
        if number == 1:
            return await cuts_after_50_000(request, number)
        return web.Response(status=200, body=DATA)

    store.behave = from_the_start
    error = await failure(store)
    assert error.code == "download.failed"
    assert "another range" in error.message


async def test_a_store_that_does_not_answer_is_unavailable(store: Store) -> None:
    store.url = "http://127.0.0.1:1"
    error = await failure(store)
    assert (error.code, type(error)) == ("store.unavailable", Unavailable)
    assert "Connection refused" in error.message
