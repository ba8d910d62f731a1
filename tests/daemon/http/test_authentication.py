"""Who is let in over HTTP, and what becomes of those who are not."""

from __future__ import annotations

import re
from typing import Any

import pytest
from litestar import Request

from contracts import control
from daemon.http.authentication import address_of
from tests.daemon.events import stored_events
from tests.daemon.http.calling import Door

WRONG = "srm_aaaaaaaaaa_" + "x" * 43


async def test_a_token_in_the_header_lets_in_and_nothing_else_does(door: Door) -> None:
    token = await door.token()
    for header in (f"Bearer {token}", f"bearer  {token}"):
        assert (await door.http.get("/api/v1/self", headers={"Authorization": header})).status_code == 200
    for header in (f"Basic {token}", token, "Bearer", f"Bearer {token}x", f"Bearer {WRONG}"):
        answer = await door.http.get("/api/v1/self", headers={"Authorization": header})
        assert (answer.status_code, answer.json()["code"]) == (401, "access.unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
    for asked in ({"params": {"token": token}}, {"headers": {"Cookie": f"token={token}"}}):
        assert (await door.call("GET", "/self", token="", **asked)).status_code in (400, 401)


async def test_a_token_that_was_ended_lets_nobody_in(door: Door) -> None:
    token = await door.token(name="leaver")
    ended = await door.call("DELETE", f"/tokens/{token.split('_')[1]}")
    assert ended.json()["state"] == "revoked"
    answer = await door.call("GET", "/self", token=token)
    assert answer.status_code == 401
    assert "revoked" in answer.json()["detail"]


async def test_an_address_that_fails_too_often_has_to_wait_whatever_it_shows(door: Door) -> None:
    for _ in range(10):
        assert (await door.call("GET", "/self", token=WRONG)).status_code == 401
    answer = await door.call("GET", "/self")
    assert (answer.status_code, answer.json()["code"]) == (429, "access.limited")
    assert int(answer.headers["retry-after"]) > 0


async def test_showing_nothing_is_no_attempt(door: Door) -> None:
    for _ in range(30):
        assert (await door.call("GET", "/self", token="")).status_code == 401
    assert (await door.call("GET", "/self")).status_code == 200


async def test_refusals_are_told_once_a_minute_and_never_with_the_token(door: Door) -> None:
    for _ in range(12):
        await door.call("GET", "/self", token=WRONG)
    told = await stored_events(door.operator.client, "access.refused")
    assert len(told) == 1
    facts = told[0].facts or {}
    assert facts == {"address": "127.0.0.1", "via": "http", "code": "access.unauthenticated", "refusals": 1}
    assert WRONG not in str(told)


async def test_nobody_may_say_who_he_is(door: Door) -> None:
    answer = await door.call("POST", "/tokens", json={"name": "x", "role": "viewer", "actor": "jane"})
    assert (answer.status_code, answer.json()["field"]) == (400, "actor")
    made = await door.call("POST", "/tokens", json={"name": "x", "role": "viewer"})
    assert made.json()["view"]["created_by"] == "token:admin of all"


async def test_a_token_of_one_project_sees_its_own_in_lists_of_all(door: Door) -> None:
    for name in ("acme", "other"):
        await door.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name=name))
    answer = await door.call("GET", "/projects", token=await door.token(project="acme"))
    assert [each["name"] for each in answer.json()["projects"]] == ["acme"]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
        (None, "unknown"),
    ],
)
def test_failures_are_counted_by_what_one_customer_has(host: str | None, address: str) -> None:
    scope: Any = {"type": "http", "client": None if host is None else (host, 4242)}
    assert address_of(Request(scope)) == address


async def test_a_browsers_session_counts_too_and_may_change_nothing_without_its_csrf_token(door: Door) -> None:
    page = {"Accept": "text/html"}
    shown = await door.http.post("/login", data={"token": await door.token()}, headers=page)
    cookie = {"Cookie": shown.headers["set-cookie"].partition(";")[0]}
    assert (await door.call("GET", "/self", token="", headers=cookie)).json()["actor"] == "token:admin of all"
    forged = await door.call("POST", "/projects", token="", headers=cookie, json={"name": "acme"})
    assert (forged.status_code, forged.json()["code"]) == (403, "access.forbidden")
    csrf = re.search(r'X-Strongroom-CSRF": "([^"]+)"', (await door.http.get("/", headers={**cookie, **page})).text)
    assert csrf is not None
    headers = {**cookie, "X-Strongroom-CSRF": csrf[1]}
    made = await door.call("POST", "/projects", token="", headers=headers, json={"name": "acme"})
    assert made.status_code == 201, made.text
    calls = await stored_events(door.operator.client, "access.called")
    facts = calls[-1].facts or {}
    assert (calls[-1].actor, facts["via"], facts["outcome"]) == ("token:admin of all", "web", "done")
    wrong = await door.call("GET", "/self", token=WRONG, headers=cookie)
    assert wrong.status_code == 401
