"""A creation that is sent again is not done again, whoever answers and whenever, and nobody is told what is not so."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec

from contracts import control
from contracts.access import Role
from contracts.idempotency import KeyedRequest
from contracts.wire import utc_now
from daemon.catalog.catalog import Catalog
from daemon.http.idempotency import HEADER, IN_PROGRESS, REPLAYED_HEADER
from tests.daemon.events import stored_events
from tests.daemon.http.calling import Door, fill, open_door
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

KEY = {HEADER: "5c3e1b0a-6a0f-4a1e-9d3c-0c1f7a2b9e44"}


def code_of(answer: httpx.Response) -> str:
    return str(answer.json()["code"])


async def test_the_first_answer_is_given_again(door: Door) -> None:
    body = {"name": "acme", "quota_bytes": 5_000_000}
    first = await door.call("POST", "/projects", json=body, headers=KEY)
    again = await door.call("POST", "/projects", json=body, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert again.headers["location"] == first.headers["location"] == "/api/v1/projects/acme"
    assert REPLAYED_HEADER not in first.headers
    assert again.headers[REPLAYED_HEADER] == "true"
    calls = await stored_events(door.operator.client, "access.called")
    assert [(event.facts or {})["verb"] for event in calls].count("project.create") == 1


async def test_another_coordinator_gives_the_first_answer_too(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with open_door(tmp_path, nats_server, bucket) as here, open_door(tmp_path, nats_server, bucket) as there:
        token = await here.token()
        first = await here.call("POST", "/projects", token=token, json={"name": "acme"}, headers=KEY)
        again = await there.call("POST", "/projects", token=token, json={"name": "acme"}, headers=KEY)
    assert again.content == first.content
    assert again.headers[REPLAYED_HEADER] == "true"


async def test_of_many_at_once_one_is_carried_out(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    async with open_door(tmp_path, nats_server, bucket) as here, open_door(tmp_path, nats_server, bucket) as there:
        token = await here.token()
        calls = [
            door.call("POST", "/tokens", token=token, json={"name": "ci", "role": "viewer"}, headers=KEY)
            for door in (here, there) * 10
        ]
        answers = await asyncio.gather(*calls)
        made = [view for view in (await here.call("GET", "/tokens", token=token)).json()["tokens"] if view["name"] == "ci"]
    assert len(made) == 1
    assert [answer.status_code for answer in answers].count(201) == 1
    others = {code_of(answer) for answer in answers if answer.status_code != 201}
    assert others <= {"request.in_progress", "request.answer_gone"}


async def test_another_request_under_the_same_key_is_refused(door: Door) -> None:
    await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
    other = await door.call("POST", "/projects", json={"name": "beta"}, headers=KEY)
    elsewhere = await door.call("POST", "/nodes", json={"node": "acme"}, headers=KEY)
    for answer in (other, elsewhere):
        assert (answer.status_code, code_of(answer), answer.json()["field"]) == (422, "request.key_reused", HEADER)
    assert [each["name"] for each in (await door.call("GET", "/projects")).json()["projects"]] == ["acme"]


async def test_a_key_is_one_callers_own(door: Door) -> None:
    other = await door.token(name="somebody else")
    await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY, token=await door.token(name="first"))
    answer = await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY, token=other)
    assert (answer.status_code, code_of(answer)) == (409, "project.exists")


async def test_what_was_refused_may_be_tried_again_under_its_key(door: Door) -> None:
    path, body = "/projects/acme/services", {"name": "orders", "options": {"kind": "nats"}, "nodes": ["node-1"]}
    refused = await door.call("POST", path, json=body, headers=KEY)
    assert (refused.status_code, code_of(refused)) == (404, "project.not_found")
    await door.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="acme"))
    await door.operator.call(control.NODE_ADD, control.NodeRef(node="node-1"))
    assert (await door.call("POST", path, json=body, headers=KEY)).status_code == 201


async def test_the_secret_of_a_token_is_neither_kept_nor_shown_again(door: Door, nats_server: NatsServer) -> None:
    made = await door.call("POST", "/tokens", json={"name": "ci", "role": "viewer"}, headers=KEY)
    again = await door.call("POST", "/tokens", json={"name": "ci", "role": "viewer"}, headers=KEY)
    assert (again.status_code, code_of(again)) == (409, "request.answer_gone")
    secret = made.json()["token"].rpartition("_")[2]
    assert made.json()["view"]["id"] in again.json()["detail"]
    assert secret not in again.text
    async with nats_server.connect_coordinator() as client:
        records = await Catalog(client, client.jetstream()).idempotency.select()
    assert records
    assert secret.encode() not in msgspec.json.encode(records)


async def test_a_request_cut_off_with_its_coordinator_is_never_said_to_be_done_or_not(
    door: Door, nats_server: NatsServer
) -> None:
    """As a coordinator leaves it that is killed between the creation and its answer."""
    await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
    async with nats_server.connect_coordinator() as client:
        bucket = Catalog(client, client.jetstream()).idempotency
        (stored,) = await bucket.select()

        async def leave_it(age: timedelta) -> None:
            left = KeyedRequest(request_mac=stored.value.request_mac, began_at=utc_now() - age)
            await bucket.put(stored.key, left)

        await leave_it(timedelta(0))
        soon = await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
        assert (soon.status_code, code_of(soon), soon.headers["retry-after"]) == (409, "request.in_progress", "1")
        await leave_it(IN_PROGRESS)
        late = await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
        assert (late.status_code, code_of(late)) == (409, "request.unfinished")
        assert "look at what there is" in late.json()["detail"]


async def test_a_key_is_forgotten_by_itself(door: Door, nats_server: NatsServer) -> None:
    await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
    async with nats_server.connect_coordinator() as client:
        js = client.jetstream()
        bucket = Catalog(client, js).idempotency
        (stored,) = await bucket.select()
        message = await js.get_last_msg(f"KV_{bucket.name}", f"$KV.{bucket.name}.{stored.key}")
        assert (message.headers or {})["Nats-TTL"] in ("86400", "86400s", "24h", "24h0m0s")
        # The same record with a second left of its day.
        await bucket.update(stored.key, stored.value, stored.revision, ttl_s=1)

        async def forgotten() -> bool:
            return await bucket.get(stored.key) is None

        await eventually(forgotten)
    again = await door.call("POST", "/projects", json={"name": "acme"}, headers=KEY)
    assert code_of(again) == "project.exists"


async def test_what_cannot_be_a_key_is_refused(door: Door) -> None:
    for key in ("", "two words", "x" * 256, "schlüssel"):
        headers: Any = [(b"Authorization", f"Bearer {await door.token()}".encode()), (HEADER.encode(), key.encode())]
        answer = await door.http.post("/api/v1/projects", json={"name": "acme"}, headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (400, HEADER)


async def test_a_viewer_gets_no_answer_that_an_admin_was_given(door: Door) -> None:
    await fill(door)
    await door.call("POST", "/projects", json={"name": "beta"}, headers=KEY)
    answer = await door.call("POST", "/projects", json={"name": "beta"}, headers=KEY, token=await door.token(Role.VIEWER))
    assert code_of(answer) == "access.forbidden"
