"""Being let in by a browser, and shut out again."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import control
from contracts.access import Role
from contracts.wire import utc_now
from daemon.http.settings import HttpSettings
from daemon.web.login_pages import safe_way
from daemon.web.sealing import Seal
from daemon.web.visits import Session
from tests.daemon.running import SetClock
from tests.daemon.web.pages import PAGE, Browsing, browsing, words
from tests.e2e.stage import Stage, standing_stage
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

KEY = bytes(range(32))
SESSION = Session(id="a" * 24, token_id="abcdefghij", started_at=1, renewed_at=2, csrf="x")


async def test_who_is_not_logged_in_is_sent_to_the_login_page_and_back(stage: Stage) -> None:
    async with browsing(stage, None) as person:
        sent = await person.get("/services?level=problem")
        assert sent.status_code == 303
        assert sent.headers["location"] == "/login?next=%2Fservices%3Flevel%3Dproblem"
        token = (await stage.token()).token
        back = await person.post("/login", csrf=False, token=token, next="/services?level=problem")
    assert (back.status_code, back.headers["location"]) == (303, "/services?level=problem")


async def test_a_wrong_token_is_refused_in_words_tied_to_its_field_and_lets_nobody_in(stage: Stage) -> None:
    async with browsing(stage, None) as person:
        refused = await person.log_in("srm_abcdefghij_" + "x" * 43)
        assert refused.status_code == 422
        assert "This is not a token that was made here" in words(refused)
        assert 'aria-invalid="true" aria-describedby="field-token-error' in refused.text
        assert "x" * 43 not in refused.text
        assert (await person.get("/")).status_code == 303


async def test_too_many_wrong_tokens_shut_an_address_out_for_a_while_whatever_it_shows(stage: Stage) -> None:
    good = (await stage.token()).token
    async with browsing(stage, None) as person:
        for _ in range(10):
            await person.log_in("srm_abcdefghij_" + "x" * 43)
        refused = await person.log_in(good)
    assert refused.status_code == 429
    assert "wait a minute" in words(refused)


async def test_a_revoked_token_ends_its_sessions_at_once(stage: Stage) -> None:
    made = await stage.token()
    async with browsing(stage, None) as person:
        await person.log_in(made.token)
        assert (await person.get("/")).status_code == 200
        await stage.operator.call(control.TOKEN_REVOKE, control.TokenRef(id=made.view.id))
        shut_out = await person.get("/")
    assert (shut_out.status_code, shut_out.headers["location"]) == (303, "/login")


async def test_a_fragment_without_a_session_takes_its_whole_page_to_the_login(stage: Stage) -> None:
    async with browsing(stage, None) as person:
        answer = await person.get("/", **{"HX-Request": "true", "HX-Current-URL": f"{stage.url}/services?search=a"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"] == "/login?next=%2Fservices%3Fsearch%3Da"


async def test_logging_out_ends_the_session_for_whoever_has_copied_its_cookie(stage: Stage) -> None:
    async with browsing(stage) as person:
        cookie = person.http.cookies["strongroom"]
        left = await person.post("/logout")
        assert left.headers["location"] == "/login"
        assert "strongroom" not in person.http.cookies
        assert "You are logged out." in words(await person.get("/login"))
        person.http.cookies.set("strongroom", cookie)
        assert (await person.get("/")).status_code == 303


async def test_a_session_ends_after_twelve_hours_without_a_page_and_lasts_longer_with_some(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    clock = SetClock(utc_now())
    async with standing_stage(tmp_path, nats_server, bucket, now=clock) as stage, browsing(stage) as person:
        for _ in range(3):
            clock.advance(hours=11)
            assert (await person.get("/settings")).status_code == 200
        clock.advance(hours=12, seconds=1)
        assert (await person.get("/settings")).status_code == 303


async def test_parts_that_a_page_loads_by_itself_do_not_keep_a_session_alive(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    clock = SetClock(utc_now())
    async with standing_stage(tmp_path, nats_server, bucket, now=clock) as stage, browsing(stage) as person:
        clock.advance(hours=11)
        assert (await person.get("/", **{"HX-Request": "true"})).status_code == 200
        clock.advance(hours=2)
        assert (await person.get("/")).status_code == 303


async def test_a_session_ends_after_a_week_however_often_it_is_used(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    clock = SetClock(utc_now())
    async with standing_stage(tmp_path, nats_server, bucket, now=clock) as stage, browsing(stage) as person:
        for _ in range(15):
            clock.advance(hours=11)
            assert (await person.get("/settings")).status_code == 200
        clock.advance(hours=5)
        assert (await person.get("/settings")).status_code == 303


async def test_a_form_without_its_token_or_of_another_session_changes_nothing(stage: Stage) -> None:
    async with browsing(stage) as person, browsing(stage) as other:
        for csrf in ("", await other.csrf()):
            refused = await person.http.post("/nodes", data={"node": "db-9", "csrf": csrf}, headers=PAGE)
            assert refused.status_code == 403
            assert "was not made in your present session" in words(refused)
        shown = await person.post("/nodes", csrf=False, headers={"X-Strongroom-CSRF": "guess"}, node="db-9")
        assert shown.status_code == 403
    assert not (await stage.operator.call(control.NODE_LIST, control.Nothing())).nodes


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
async def test_a_form_that_another_site_sends_is_refused_even_to_log_in(stage: Stage, headers: dict[str, str]) -> None:
    token = (await stage.token()).token
    async with browsing(stage, None) as person:
        refused = await person.post("/login", csrf=False, headers=headers, token=token)
        assert refused.status_code == 403
        assert "strongroom" not in person.http.cookies


async def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(stage: Stage) -> None:
    token = (await stage.token()).token
    async with browsing(stage, None) as person:
        answer = await person.log_in(token)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if each.startswith("strongroom=")]
    assert "; HttpOnly" in cookie
    assert "; SameSite=Lax" in cookie
    assert token not in cookie
    assert (await stage.token()).view.id not in cookie


async def test_behind_https_the_cookie_never_travels_without_it(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    public = HttpSettings(port=0, public_url="https://backups.example.org")
    async with standing_stage(tmp_path, nats_server, bucket, http=public) as stage:
        token = (await stage.token()).token
        async with httpx.AsyncClient(base_url=stage.url) as http:
            headers = {"Host": "backups.example.org", "Accept": "text/html", "Origin": "https://backups.example.org"}
            answer = await http.post("/login", data={"token": token}, headers=headers)
    (cookie,) = [each for each in answer.headers.get_list("set-cookie") if "flash" not in each]
    assert cookie.startswith("__Host-strongroom=")
    assert "; Secure" in cookie
    assert "; Path=/;" in cookie


async def test_the_api_takes_a_session_for_looking_and_its_csrf_header_for_changing(stage: Stage) -> None:
    async with browsing(stage) as person:
        csrf = await person.csrf()
        who = await person.http.get("/api/v1/self")
        assert (who.status_code, who.json()["role"]) == (200, "admin")
        body = {"node": "db-9"}
        assert (await person.http.post("/api/v1/nodes", json=body)).status_code == 403
        made = await person.http.post("/api/v1/nodes", json=body, headers={"X-Strongroom-CSRF": csrf})
        assert made.status_code in (200, 201), made.text


async def test_a_viewer_sees_no_buttons_and_is_refused_all_the_same(stage: Stage) -> None:
    await stage.project()
    async with browsing(stage, Role.VIEWER) as person:
        assert "Create a project" not in words(await person.get("/projects"))
        assert "Add the node" not in words(await person.get("/nodes"))
        assert (await person.get("/settings/tokens")).status_code == 403
        assert "Tokens" not in words(await person.get("/settings"))
        attempts: tuple[tuple[str, dict[str, Any]], ...] = (
            ("/nodes", {"node": "db-9"}),
            ("/add-project", {"name": "more", "plan": "custom"}),
            ("/projects/acme/delete", {"confirm": "acme"}),
            ("/projects/acme/quota", {"plan": "custom", "quota": "9GB"}),
            ("/settings/tokens", {"name": "mine", "role": "admin"}),
        )
        for path in ("/add-project", "/projects/acme/quota", "/projects/acme/delete", "/projects/acme/add-service"):
            assert (await person.get(path)).status_code == 403, path
        for path, fields in attempts:
            refused = await person.post(path, **fields)
            assert refused.status_code == 403, path
            assert "needs the role admin" in words(refused), path


async def test_a_token_of_one_project_sees_nothing_of_another(stage: Stage) -> None:
    await stage.project("acme")
    await stage.project("globex")
    async with browsing(stage, Role.ADMIN, project="acme") as person:
        for path in ("/", "/projects", "/services", "/activity"):
            page = await person.get(path)
            assert page.status_code == 200, path
            assert "globex" not in page.text, path
        assert (await person.get("/projects/globex")).status_code == 403
        assert (await person.get("/nodes")).status_code == 403
        assert "/nodes" not in (await person.get("/")).text


def test_a_seal_opens_for_its_own_key_and_purpose_only() -> None:
    sealed = Seal(KEY, "session", Session).close(SESSION)
    assert Seal(KEY, "session", Session).open(sealed) == SESSION
    assert Seal(KEY, "flash", Session).open(sealed) is None
    assert Seal(KEY[::-1], "session", Session).open(sealed) is None


@given(st.text(max_size=200))
def test_a_seal_that_somebody_makes_up_opens_to_nothing(text: str) -> None:
    assert Seal(KEY, "session", Session).open(text) is None


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_sealed_value_with_any_bit_changed_opens_to_nothing(place: int, change: int) -> None:
    sealed = Seal(KEY, "session", Session).close(SESSION)
    place %= len(sealed)
    other = chr((ord(sealed[place]) ^ change) % 128)
    damaged = sealed[:place] + other + sealed[place + 1 :]
    opened = Seal(KEY, "session", Session).open(damaged)
    assert opened is None or damaged.rstrip("=") == sealed or opened == SESSION


@pytest.mark.parametrize(
    "to",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example",
        "\\\\evil.example",
        "/\tx//evil.example",
        "javascript:alert(1)",
        "evil.example",
        "/login",
        "/logout",
        "",
        "/ok\r\nSet-Cookie: a=b",
    ],
)
def test_the_way_back_after_a_login_leads_nowhere_else(to: str) -> None:
    assert safe_way(to) == "/"


@given(st.text(max_size=60))
def test_whatever_the_way_back_says_it_stays_on_this_host(to: str) -> None:
    safe = safe_way(to)
    parts = urlsplit(safe)
    assert safe.startswith("/")
    assert not safe.startswith(("//", "/\\"))
    assert not parts.netloc
    assert safe.isprintable()


async def test_a_session_survives_a_restart_of_the_coordinator(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket
) -> None:
    async with standing_stage(tmp_path, nats_server, bucket) as stage, browsing(stage) as person:
        cookies = dict(person.http.cookies)
    async with (
        standing_stage(tmp_path, nats_server, bucket) as again,
        httpx.AsyncClient(base_url=again.url, cookies=cookies) as http,
    ):
        assert (await Browsing(http).get("/")).status_code == 200


async def test_an_open_login_page_works_though_somebody_logged_in_meanwhile(stage: Stage) -> None:
    async with browsing(stage) as person:
        again = await person.log_in((await stage.token(name="another")).token)
        assert again.status_code == 303
        assert "another" in words(await person.get("/settings"))


async def test_an_expired_token_ends_its_session(tmp_path: Path, nats_server: NatsServer, bucket: Bucket) -> None:
    clock = SetClock(utc_now())
    async with standing_stage(tmp_path, nats_server, bucket, now=clock) as stage, browsing(stage, None) as person:
        create = control.TokenCreate(name="short", role=Role.VIEWER, expires_in_days=0.1)
        await person.log_in((await stage.operator.call(control.TOKEN_CREATE, create)).token)
        assert (await person.get("/")).status_code == 200
        clock.advance(seconds=timedelta(days=0.1).total_seconds() + 1)
        assert (await person.get("/")).status_code == 303
