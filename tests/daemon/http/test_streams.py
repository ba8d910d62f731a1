"""Streams over HTTP: what they bring, where they go on, and how each of them ends without a trace on the servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import msgspec
import pytest

from contracts import control
from contracts.events import Event
from contracts.records import BackupRecord, RunKind
from contracts.reports import LogLine, Progress
from contracts.subjects import LOGS_STREAM, agent_log_subject, agent_progress_subject, event_subject
from contracts.wire import encode, utc_now
from daemon.http import event_stream
from daemon.http.settings import HttpSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.http.reading import bearer, consumers, make_token, reading
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")


@pytest.fixture
async def place(settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[Scene]:
    listening = msgspec.structs.replace(settings, http=HttpSettings(port=0))
    async with scene(listening, nats_server, start=START) as made:
        await made.add_service("orders")
        yield made


def events_url(place: Scene) -> str:
    return f"{place.url}/api/v1/events"


async def refused(url: str, status: int, code: str, headers: dict[str, str] | None = None, **query: Any) -> dict[str, Any]:
    """The problem that a request is answered with."""
    async with aiohttp.ClientSession() as http, http.get(url, headers=headers or {}, params=query) as answer:
        problem: dict[str, Any] = await answer.json(content_type="application/problem+json")
        assert (answer.status, problem["code"]) == (status, code), problem
        return problem


async def test_events_arrive_as_they_happen_and_go_on_after_the_last_one_seen(place: Scene) -> None:
    token = await make_token(place.operator)
    async with reading(events_url(place), token, project="acme", types="backup") as stream:
        await eventually(lambda: consumers(place.operator))
        run = await place.make()
        seen = [await stream.next() for _ in range(3)]
    assert [(name, data["type"], data["backup_id"]) for name, data, _ in seen] == [
        ("event", "backup.requested", run.id),
        ("event", "backup.started", run.id),
        ("event", "backup.completed", run.id),
    ]
    async with reading(events_url(place), token, after=seen[0][2], types="backup", follow="false") as stream:
        assert [data["type"] for name, data, _ in (await stream.rest())[:-1]] == ["backup.started", "backup.completed"]
    await eventually(lambda: _none_left(place))


async def _none_left(place: Scene) -> bool:
    return await consumers(place.operator) == 0


async def test_a_stream_of_what_there_is_says_that_it_has_ended(place: Scene) -> None:
    token = await make_token(place.operator)
    async with reading(events_url(place), token, follow="false", since="2020-01-01T00:00:00Z") as stream:
        *found, (name, data, _) = await stream.rest()
    assert "service.added" in [event["type"] for _, event, _ in found]
    assert (name, data) == ("end", {"reason": "ended"})


async def test_a_token_of_one_project_sees_that_one_alone(place: Scene) -> None:
    await place.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="globex"))
    token = await make_token(place.operator, project="globex")
    async with reading(events_url(place), token, follow="false", after="0") as stream:
        found = (await stream.rest())[:-1]
    assert {event["project"] for _, event, _ in found} == {"globex"}
    for path in ("events", "logs", "projects/acme/services/orders/runs/20261122T000512Z-k7xq/follow"):
        query = {} if "follow" in path else {"project": "acme"}
        await refused(f"{place.url}/api/v1/{path}", 403, "access.forbidden", bearer(token), **query)


async def test_what_is_wrong_is_told_before_the_stream_begins(place: Scene) -> None:
    url, headers = events_url(place), bearer(await make_token(place.operator))
    await refused(url, 401, "access.unauthenticated")
    assert (await refused(url, 400, "input.invalid", headers, types="backup.exploded"))["field"] == "types"
    assert (await refused(url, 400, "input.invalid", headers, project="a.b"))["field"] == "project"
    assert (await refused(url, 400, "input.invalid", headers, since="2026-01-01T00:00:00"))["field"] == "since"
    assert (await refused(url, 400, "input.invalid", headers, nonsense="1"))["field"] == "nonsense"
    assert (await refused(url, 400, "input.invalid", headers, after="-1"))["field"] == "after"
    wrong = headers | {"Last-Event-ID": "abc"}
    assert (await refused(url, 400, "input.invalid", wrong))["field"] == "Last-Event-ID"
    follow = f"{place.url}/api/v1/projects/acme/services/orders/runs/20261122T000512Z-k7xq/follow"
    await refused(follow, 404, "backup.not_found", headers)


async def test_a_run_is_followed_to_its_end_with_progress_and_every_log_line(place: Scene) -> None:
    token = await make_token(place.operator)
    place.robot.may_finish.clear()
    run = await place.request()
    await eventually(lambda: place.robot.taken)
    await _log(place, run, "before.anybody.looked")
    url = f"{place.url}/api/v1/projects/acme/services/orders/runs/{run.id}/follow"
    async with reading(url, token) as stream:
        name, record, _ = await stream.next()
        assert (name, record["id"]) == ("backup", run.id)
        while (line := await stream.next())[0] != "log":
            pass
        assert line[1]["event"] == "before.anybody.looked"
        heard = ""
        while heard != "progress":
            await _progress(place, run)
            await _log(place, run, "while.somebody.looks")
            heard = (await stream.next())[0]
        place.robot.may_finish.set()
        await _log(place, run, "nearly.done")
        await place.idle()
        rest = await stream.rest()
    logged = [data["event"] for name, data, _ in rest if name == "log"]
    assert logged[-1] == "nearly.done"
    assert [(name, data["state"]) for name, data, _ in rest if name == "backup"][-1] == ("backup", "completed")
    assert (rest[-1][0], rest[-1][1]) == ("end", {"reason": "ended"})
    await eventually(lambda: _none_left(place))
    # Whoever lost the stream goes on after the last line it saw; one that comes late hears how it ended.
    async with reading(url, token, after=line[2]) as stream:
        again = await stream.rest()
    assert "before.anybody.looked" not in [data.get("event") for _, data, _ in again]
    assert [name for name, _, _ in again][-2:] == ["backup", "end"]


async def test_log_lines_of_a_service_come_with_their_history(place: Scene) -> None:
    token = await make_token(place.operator)
    place.robot.may_finish.clear()
    run = await place.request()
    await eventually(lambda: place.robot.taken)
    for number in range(5):
        await _log(place, run, f"line.{number}")
    url = f"{place.url}/api/v1/logs"
    async with reading(url, token, run=run.id, follow="false") as stream:
        assert len(await stream.rest()) == 6
    async with reading(url, token, project="acme", service="orders", last=2) as stream:
        assert [(await stream.next())[1]["event"] for _ in range(2)] == ["line.3", "line.4"]
        await _log(place, run, "line.5")
        assert (await stream.next())[1]["event"] == "line.5"
    await eventually(lambda: _none_left(place))
    place.robot.may_finish.set()


async def test_a_stream_ends_when_its_token_does(place: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "RECHECK_S", 0.05)
    token = await make_token(place.operator, expires_in_days=1)
    async with reading(events_url(place), token, project="globex") as stream:
        place.clock.advance(days=2)
        ((name, data, _),) = await stream.rest()
        assert (name, data["reason"], data["code"]) == ("end", "refused", "access.unauthenticated")
    other = await make_token(place.operator)
    async with reading(events_url(place), other, project="globex") as stream:
        await place.operator.call(control.TOKEN_REVOKE, control.TokenRef(id=other.view.id))
        ((name, data, _),) = await stream.rest()
        assert (name, data["reason"]) == ("end", "refused")
    await eventually(lambda: _none_left(place))


async def test_streams_end_in_words_when_the_coordinator_stops(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    listening = msgspec.structs.replace(settings, http=HttpSettings(port=0))
    async with aiohttp.ClientSession() as http:
        async with scene(listening, nats_server, start=START) as made:
            token = await make_token(made.operator)
            answer = await http.get(events_url(made), headers=bearer(token))
        assert b'"reason":"stopping"' in await answer.read()


async def test_what_happened_is_paged_from_the_newest_back(place: Scene) -> None:
    await place.make()
    token = await make_token(place.operator, project="acme")
    url, found, cursor = f"{place.url}/api/v1/events/history", [], ""
    async with aiohttp.ClientSession(headers=bearer(token)) as http:
        while True:
            query = {"types": ["backup", "service.added"], "limit": "2", **({"cursor": cursor} if cursor else {})}
            async with http.get(url, params=query) as answer:
                page = await answer.json()
                assert answer.status == 200, page
            found += [each["event"]["type"] for each in page["events"]]
            cursor = page["next_cursor"]
            if not cursor:
                break
    assert found == ["backup.completed", "backup.started", "backup.requested", "service.added"]
    assert (await refused(url, 400, "input.invalid", bearer(token), cursor="x"))["field"] == "cursor"
    assert (await refused(url, 400, "input.invalid", bearer(token), types="nonsense"))["field"] == "types"
    await refused(url, 403, "access.forbidden", bearer(token), project="globex")


async def test_silence_is_broken_by_comments(place: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "HEARTBEAT_S", 0.05)
    token = await make_token(place.operator)
    async with reading(events_url(place), token, project="globex") as stream:
        read = b""
        while read.count(b": still here\n\n") < 2:
            read += await stream.answer.content.readany()


@pytest.mark.parametrize("wakes_up", [True, False], ids=["reads-at-last", "never-reads"])
async def test_a_reader_that_takes_nothing_is_cut_off(
    place: Scene, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch, *, wakes_up: bool
) -> None:
    """What it is sent is bounded, its consumer goes, and should it read again it is told why."""
    monkeypatch.setattr(event_stream, "SLOW_S", 1.0)
    token = await make_token(place.operator)
    where = urlsplit(place.url)
    sleeping = socket.socket()
    sleeping.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sleeping.setblocking(False)
    loop = asyncio.get_running_loop()
    with sleeping:
        await loop.sock_connect(sleeping, (where.hostname, where.port))
        request = f"GET /api/v1/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token.token}\r\n\r\n"
        await loop.sock_sendall(sleeping, request.encode())
        await eventually(lambda: consumers(place.operator))
        await _flood(nats_server, megabytes=12)
        await eventually(lambda: _none_left(place), 30)
        if not wakes_up:
            return
        read = bytearray()
        while data := await loop.sock_recv(sleeping, 1 << 20):
            read += data
    assert b'"reason":"slow"' in read[-1000:]
    assert len(read) < 12_000_000


async def _flood(nats_server: NatsServer, *, megabytes: int) -> None:
    """Events of this size together, as the coordinator would store them."""
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream(timeout=5)
        for number in range(megabytes):
            event = Event(id=f"flood-{number}", type="backup.failed", at=START, project="acme", reason="x" * 1_000_000)
            await js.publish(event_subject(event.type, "acme", "orders"), encode(event))


async def _progress(place: Scene, run: BackupRecord) -> None:
    line = Progress(
        run=RunKind.BACKUP,
        project=run.project,
        service=run.service,
        run_id=run.id,
        attempt=1,
        phase="dumping",
        artifact="orders",
        artifact_index=1,
        artifact_count=1,
        plain_bytes=1,
        stored_bytes=1,
        estimate_bytes=2,
        elapsed_s=1.0,
    )
    await place.robot.client.publish(agent_progress_subject(place.robot.node), encode(line))
    await place.robot.client.flush()


async def _log(place: Scene, run: BackupRecord, event: str) -> None:
    """Returns when the line is stored: those that are passed on side by side may overtake each other."""
    js = place.operator.client.jetstream(timeout=5)

    async def stored() -> int:
        return (await js.stream_info(LOGS_STREAM)).state.messages

    before = await stored()
    line = LogLine(
        run=RunKind.BACKUP,
        project=run.project,
        service=run.service,
        run_id=run.id,
        attempt=1,
        at=utc_now(),
        level="info",
        event=event,
    )
    await place.robot.client.publish(agent_log_subject(place.robot.node), encode(line))
    await place.robot.client.flush()

    async def is_stored() -> bool:
        return await stored() > before

    await eventually(is_stored)
