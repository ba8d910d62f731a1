"""The addresses of channels and pings hold secrets: they are nowhere but where they are sent to."""

from __future__ import annotations

import logging
from typing import Any

import msgspec
import pytest
import structlog

from contracts import control
from contracts.access import Role
from contracts.control import VERBS
from contracts.errors import Denied, ErrorInfo, NotFound, StrongroomError
from contracts.wire import encode
from daemon.access.authority import authorize
from daemon.access.caller import Caller, Via
from daemon.settings import CoordinatorSettings
from tests.daemon.inside import catalog_of
from tests.daemon.notifications.conftest import QUICK
from tests.daemon.notifications.receivers import Webhook
from tests.daemon.scene import at, scene
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")
SECRET = "hush-w0rd"


async def test_the_secrets_of_addresses_are_in_no_log_no_record_no_event_no_answer_and_no_error(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    seen: list[Any] = []
    with structlog.testing.capture_logs() as logs:
        async with scene(quick, nats_server, start=START) as world, catalog_of(nats_server) as catalog:
            ask = world.operator.call_raw
            await world.add_service()
            address = f"json://user:{SECRET}@127.0.0.1:{hook.port}/{SECRET}?+x-token={SECRET}"
            created = await ask("channel.create", encode({"name": "ops", "url": address}))
            channel = msgspec.json.decode(created, type=control.ChannelView)
            seen += [created, await ask("channel.list", b"{}")]
            ping = {"project": "acme", "service": "orders", "url": hook.url(f"{SECRET}?k={SECRET}"), "tell_failure": True}
            seen += [await ask("ping.set", encode(ping))]
            hook.answer = lambda _: 500
            world.robot.failure = lambda _: ErrorInfo(code="dump.failed", message="it broke")
            await world.make()

            async def stated() -> Any:
                return len(await world.events("notification.failed")) == 2

            await eventually(stated, 30)
            seen += [
                await ask("channel.test", encode({"id": channel.id})),
                await ask("channel.list", b"{}"),
                await ask("ping.show", encode({"project": "acme", "service": "orders"})),
            ]
            # Nothing listens there, which the libraries tell with the whole address.
            gone = f"json://user:{SECRET}@127.0.0.1:9/{SECRET}"
            seen += [await ask("channel.change", encode({"id": channel.id, "url": gone}))]
            seen += [await ask("channel.test", encode({"id": channel.id}))]
            for verb, request in (
                ("channel.create", {"name": "x", "url": f"slack://{SECRET}"}),
                ("channel.create", {"name": "x", "url": f"syslog://{SECRET}"}),
                ("channel.create", {"name": "", "url": f"json://h/{SECRET}"}),
                ("channel.change", {"id": channel.id, "url": f"discord://1/{SECRET}?template={SECRET}"}),
                ("ping.set", {"project": "acme", "service": "orders", "url": f"ftp://h/{SECRET}"}),
            ):
                with pytest.raises(StrongroomError) as caught:
                    await ask(verb, encode(request))
                seen += [caught.value, caught.value.info]
            for bucket in (catalog.channels, catalog.pings, catalog.alerts, catalog.watches):
                seen += [encode(stored.value) for stored in await bucket.select()]
            seen += [encode(event) for event in await world.events()]
    assert any("Authorization" in call.headers for call in hook.calls)
    assert any(SECRET in call.path for call in hook.calls), "the secret has to arrive"
    for place in [*seen, *logs, *(record.getMessage() for record in caplog.records), *map(str, caplog.records)]:
        assert SECRET not in (place.decode() if isinstance(place, bytes) else repr(place) + str(place))


async def test_a_sealed_address_opens_for_its_own_channel_only(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world, catalog_of(nats_server) as catalog:
        request = control.ChannelCreate(name="ops", url=hook.address(), project="acme")
        mine = await world.operator.call(control.CHANNEL_CREATE, request)
        theirs = await world.operator.call(control.CHANNEL_CREATE, control.ChannelCreate(name="x", url=hook.address("x")))
        stored, other = await catalog.channels.get(mine.id), await catalog.channels.get(theirs.id)
        assert stored is not None
        assert other is not None
        moved = msgspec.structs.replace(other.value, sealed_url=stored.value.sealed_url)
        await catalog.channels.update(other.key, moved, other.revision)
        (outcome,) = (await world.operator.call(control.CHANNEL_TEST, control.ChannelRef(id=theirs.id))).outcomes
        assert not outcome.ok
        assert "set the address again" in outcome.message
    assert not hook.calls


def caller(role: Role, project: str = "") -> Caller:
    return Caller(actor="token:ci", role=role, via=Via.HTTP, project=project)


ADMINISTERED = ("channel.create", "channel.change", "channel.delete", "channel.test", "ping.set", "ping.remove")


@pytest.mark.parametrize("name", ADMINISTERED)
def test_only_admins_change_whom_people_are_told_by(name: str) -> None:
    verb = VERBS[name]
    fields = {"name": "x", "url": "json://h", "id": "aaaaaaaaaa", "project": "acme", "service": "orders"}
    request = msgspec.convert({k: v for k, v in fields.items() if k in verb.request.__struct_fields__}, verb.request)
    for role in (Role.VIEWER, Role.OPERATOR):
        with pytest.raises(Denied):
            authorize(verb, request, caller(role))
    assert authorize(verb, request, caller(Role.ADMIN)).actor == "token:ci"
    with pytest.raises(Denied):
        authorize(verb, request, caller(Role.ADMIN, "globex"))


async def test_a_token_of_one_project_finds_and_makes_channels_of_that_project_only(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    of_acme = caller(Role.ADMIN, "acme")
    create = authorize(control.CHANNEL_CREATE, control.ChannelCreate(name="x", url=hook.address()), of_acme)
    assert create.project == "acme"
    async with scene(quick, nats_server, start=START) as world:
        for_all = await world.operator.call(control.CHANNEL_CREATE, control.ChannelCreate(name="x", url=hook.address()))
        mine = await world.operator.call(control.CHANNEL_CREATE, create)
        listed = await world.operator.call(
            control.CHANNEL_LIST, authorize(control.CHANNEL_LIST, control.ChannelList(), of_acme)
        )
        assert [view.id for view in listed.channels] == [mine.id]
        narrowed = authorize(control.CHANNEL_TEST, control.ChannelRef(id=for_all.id), of_acme)
        with pytest.raises(NotFound):
            await world.operator.call(control.CHANNEL_TEST, narrowed)


async def test_where_private_addresses_are_not_allowed_a_name_does_not_help(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    settings = msgspec.structs.replace(quick, notifications=msgspec.structs.replace(QUICK, allow_private=False))
    async with scene(settings, nats_server, start=START) as world:
        request = control.ChannelCreate(name="x", url=f"json://localhost:{hook.port}/hook")
        channel = await world.operator.call(control.CHANNEL_CREATE, request)
        (outcome,) = (await world.operator.call(control.CHANNEL_TEST, control.ChannelRef(id=channel.id))).outcomes
        assert not outcome.ok
        assert "public addresses only" in outcome.message
    assert not hook.calls


async def test_what_was_set_up_for_a_project_goes_with_it(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    settings = msgspec.structs.replace(quick, grace_days=0)
    async with scene(settings, nats_server, start=START) as world, catalog_of(nats_server) as catalog:
        await world.add_service()
        await world.operator.call(
            control.CHANNEL_CREATE, control.ChannelCreate(name="x", url=hook.address(), project="acme")
        )
        kept = await world.operator.call(control.CHANNEL_CREATE, control.ChannelCreate(name="y", url=hook.address()))
        await world.operator.call(control.PING_SET, control.PingSet(project="acme", service="orders", url=hook.url()))
        await world.operator.call(control.PROJECT_DELETE, control.ProjectDelete(project="acme"))

        async def gone() -> bool:
            left = [stored.key for stored in await catalog.channels.select()]
            return left == [kept.id] and not await catalog.pings.select()

        await eventually(gone, 30)
