"""Dead man's switches are told of good backups, and of bad ones where that is wanted."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.errors import ErrorInfo, InvalidInput, NotFound
from contracts.notifications import PingMethod, PingSignal
from daemon.notifications.calling import call, signal_url
from daemon.settings import CoordinatorSettings
from tests.daemon.notifications.conftest import QUICK
from tests.daemon.notifications.receivers import Webhook, webhook
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")
REF = control.ServiceRef(project="acme", service="orders")


async def set_ping(world: Scene, url: str | None, **fields: Any) -> control.PingView:
    request = msgspec.convert({"project": "acme", "service": "orders", "url": url, **fields}, control.PingSet)
    return await world.operator.call(control.PING_SET, request)


async def show(world: Scene) -> control.PingView:
    return await world.operator.call(control.PING_SHOW, REF)


def paths(hook: Webhook) -> list[str]:
    return [call.path for call in hook.calls]


async def test_a_good_backup_is_told_and_what_became_of_that_is_seen(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        view = await set_ping(world, hook.url("secret?key=1"))
        assert (view.target, view.last) == ("http://127.0.0.1/…", None)
        backup = await world.make()
        await eventually(lambda: hook.calls)

        async def told() -> bool:
            return (await show(world)).last is not None

        await eventually(told)
        seen = await show(world)
        assert seen.last is not None
        assert (seen.last.ok, seen.last.run_id, seen.last_ok_at) == (True, backup.id, START)
        world.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it broke")
        await world.make()
        await asyncio.sleep(10 * QUICK.every_s)
    assert [(each.method, each.path) for each in hook.calls] == [("GET", "/secret?key=1")]
    assert hook.calls[0].headers["User-Agent"].startswith("strongroom/")


async def test_start_and_failure_are_told_where_that_is_wanted(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await set_ping(world, hook.url("p/"), method="post", tell_failure=True, tell_start=True)
        world.robot.may_finish.clear()
        world.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it broke")
        await world.request()
        await eventually(lambda: paths(hook) == ["/p/start"], 20)
        world.robot.may_finish.set()
        await eventually(lambda: paths(hook) == ["/p/start", "/p/fail"], 20)
    assert {each.method for each in hook.calls} == {"POST"}
    assert b"acme/orders: backup " in hook.calls[1].body


async def test_a_switch_that_does_not_answer_is_tried_again(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    hook.answer = lambda _: 200 if len(hook.calls) >= 3 else 503
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await set_ping(world, hook.url("p"))
        await world.make()

        async def arrived() -> bool:
            last = (await show(world)).last
            return last is not None and last.ok

        await eventually(arrived, 20)
        assert len(hook.calls) == 3
        assert await world.events("notification.failed") == []


async def test_a_switch_that_never_answers_is_given_up_and_that_is_stated(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    hook.answer = lambda _: 404
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await set_ping(world, hook.url("s3cr3t"))
        await world.make()

        async def stated() -> Any:
            return await world.events("notification.failed")

        (event,) = await eventually(stated, 30)
        assert (event.project, event.service) == ("acme", "orders")
        assert event.reason == "the service answered 404: it knows no such address"
        assert "s3cr3t" not in repr(event)
        last = (await show(world)).last
        assert last is not None
        assert not last.ok


async def test_what_is_told_can_be_changed_without_naming_the_url_again(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        with pytest.raises(InvalidInput) as caught:
            await set_ping(world, None)
        assert caught.value.field == "url"
        before = await set_ping(world, hook.url("p"), tell_failure=True)
        after = await set_ping(world, None, method="post")
        assert (after.target, after.method, after.tell_failure) == (before.target, PingMethod.POST, False)
        await world.make()
        await eventually(lambda: paths(hook) == ["/p"])


async def test_a_ping_that_was_removed_is_not_sent_any_more(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await set_ping(world, hook.url("p"))
        await world.operator.call(control.PING_REMOVE, control.PingRef(project="acme", service="orders"))
        with pytest.raises(NotFound) as caught:
            await show(world)
        assert caught.value.code == "ping.not_found"
        await world.make()
        await asyncio.sleep(10 * QUICK.every_s)
    assert not hook.calls


@pytest.mark.parametrize(
    "url", ["ftp://example.org/s3cr3t", "s3cr3t", "https://", "http://169.254.169.254/s3cr3t", "http://h:x/s3cr3t"]
)
async def test_what_is_no_web_address_is_not_taken(url: str, quick: CoordinatorSettings, nats_server: NatsServer) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        with pytest.raises(InvalidInput) as caught:
            await set_ping(world, url)
        assert caught.value.field == "url"
        assert "s3cr3t" not in caught.value.message


def test_signals_are_told_below_the_path_whatever_comes_after_it() -> None:
    assert signal_url("https://h/a?x=1", PingSignal.SUCCESS) == "https://h/a?x=1"
    assert signal_url("https://h/a/?x=1", PingSignal.FAILURE) == "https://h/a/fail?x=1"
    assert signal_url("https://h/a", PingSignal.START) == "https://h/a/start"


async def test_a_redirect_is_followed_on_the_same_host_only(hook: Webhook) -> None:
    async with webhook() as other:
        hook.answer = lambda each: "/there" if each.path == "/here" else 200
        assert (await call(hook.url("here"), PingMethod.GET, "", QUICK)).ok
        assert paths(hook) == ["/here", "/there"]
        hook.answer = lambda _: other.url("x").replace("127.0.0.1", "localhost")
        outcome = await call(hook.url("here"), PingMethod.GET, "", QUICK)
        assert not outcome.ok
        assert "leads to another host" in outcome.words
        assert not other.calls
        hook.answer = lambda _: "/here"
        assert (await call(hook.url("here"), PingMethod.GET, "", QUICK)).words == "the service leads in a circle"


async def test_what_is_not_public_is_not_called_where_the_settings_forbid_it(hook: Webhook) -> None:
    strict = msgspec.structs.replace(QUICK, allow_private=False)
    for host in ("127.0.0.1", "localhost"):
        outcome = await call(hook.url("p").replace("127.0.0.1", host), PingMethod.GET, "", strict)
        assert "public addresses only" in outcome.words
    assert not hook.calls


async def test_a_host_that_does_not_answer_is_waited_for_no_longer_than_the_time(hook: Webhook) -> None:
    hook.may_answer.clear()
    hasty = msgspec.structs.replace(QUICK, ping_timeout_s=0.2)
    outcome = await call(hook.url("p"), PingMethod.GET, "", hasty)
    assert (outcome.ok, outcome.words) == (False, "the host did not answer within 0 s")
