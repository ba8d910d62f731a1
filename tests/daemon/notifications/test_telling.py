"""People are told of what happens to their backups: real events, a real webhook, a real mail server."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from contracts import control
from contracts.errors import ErrorInfo, InvalidInput, NotFound
from contracts.notifications import AlertKind, Severity
from contracts.policy.schedule import Daily
from contracts.requests import BackupRequest
from daemon.settings import CoordinatorSettings
from tests.daemon.inside import catalog_of
from tests.daemon.notifications.conftest import QUICK
from tests.daemon.notifications.receivers import MailServer, Webhook
from tests.daemon.robots import robot
from tests.daemon.running import running_coordinator
from tests.daemon.scene import Scene, at, scene
from tests.servers.nats import NatsServer
from tests.servers.waiting import eventually

START = at("2026-03-01 12:00")
BROKEN = ErrorInfo(code="dump.failed", message="pg_dump ended with status 1", detail="what only the host may know")
pytestmark = pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")


def breaks(_: BackupRequest) -> ErrorInfo:
    return BROKEN


def works(_: BackupRequest) -> None:
    return None


async def add_channel(world: Scene, url: str, **fields: Any) -> control.ChannelView:
    request = msgspec.convert({"name": "ops", "url": url, **fields}, control.ChannelCreate)
    return await world.operator.call(control.CHANNEL_CREATE, request)


async def channels(world: Scene) -> list[control.ChannelView]:
    return (await world.operator.call(control.CHANNEL_LIST, control.ChannelList())).channels


async def arrived(hook: Webhook, count: int) -> None:
    """Waits for so many messages, and a while for one too many."""
    await eventually(lambda: len(hook.calls) >= count, 20)
    await asyncio.sleep(3 * QUICK.window_s)
    assert len(hook.calls) == count, hook.titles


async def test_a_failure_is_told_once_with_what_to_know_at_night_and_so_is_its_end(
    linked: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(linked, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, hook.address())
        await world.make()
        world.robot.failure = breaks
        await world.make()
        await arrived(hook, 1)
        await world.make()
        await world.make()
        world.robot.failure = works
        await world.make()
        await arrived(hook, 2)
    assert hook.titles == ["acme/orders: backup failed", "acme/orders: backed up again"]
    failure, recovery = hook.calls[0].json, hook.texts[1]
    assert failure["type"] == "failure"
    for fact in (
        "dump.failed: pg_dump ended with status 1",
        "Last good backup: 2026-03-01 12:00 UTC",
        "strongroom backup show acme/orders/",
        "https://backups.example.org/projects/acme/services/orders",
    ):
        assert fact in failure["message"]
    assert "what only the host" not in failure["message"]
    assert "3 bad runs" in recovery


async def test_what_happens_to_many_services_at_once_is_one_message_with_counts_and_the_first_ten(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    settings = msgspec.structs.replace(quick, notifications=msgspec.structs.replace(QUICK, window_s=2))
    names = [f"s{number:02}" for number in range(14)]
    async with scene(settings, nats_server, start=START) as world:
        await world.robot.beat(services={})
        await add_channel(world, hook.address())
        for name in names:
            await world.add_service(name, schedule=Daily(at="12:01"))
        await world.alive()
        # Nobody was there for three days.
        world.robot.failure = breaks
        world.clock.set(at("2026-03-04 12:01"))
        await eventually(lambda: len(world.robot.taken) == len(names), 30)
        await eventually(lambda: hook.calls, 30)
        await asyncio.sleep(2 * settings.notifications.window_s)
    counted = " ".join(hook.titles)
    assert "acme: " in counted
    assert len(hook.calls) <= 3, hook.titles
    assert "14 backups missed" in counted
    listed = [line for text in hook.texts for line in text.splitlines() if line.startswith("- acme/")]
    assert len(listed) <= 2 * 10 + 3
    assert any("- and " in text and " more" in text for text in hook.texts)


async def test_a_channel_of_one_project_is_told_of_that_one_only(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="globex"))
        await add_channel(world, hook.address("all"))
        await add_channel(world, hook.address("globex"), project="globex")
        await world.add_service()
        await world.add_service("shop", project="globex")
        await world.alive()
        world.robot.failure = breaks
        await world.make()
        await world.make("shop", project="globex")
        await eventually(lambda: {call.path for call in hook.calls} == {"/all", "/globex"}, 20)
        await asyncio.sleep(3 * QUICK.window_s)
    assert not any("acme" in call.body.decode() for call in hook.calls if call.path == "/globex")


async def test_nobody_is_told_of_what_is_milder_than_wanted_or_of_another_kind(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, hook.address("missed"), kinds=["missed"])
        await add_channel(world, hook.address("off"), enabled=False)
        await add_channel(world, hook.address("failed"), kinds=["failed"], min_severity="critical")
        world.robot.failure = breaks
        await world.make()
        world.robot.failure = works
        await world.make()
        await arrived(hook, 1)
    assert [call.path for call in hook.calls] == ["/failed"]


async def test_mail_arrives_with_subject_and_text(
    quick: CoordinatorSettings, nats_server: NatsServer, mail: MailServer
) -> None:
    address = f"mailto://127.0.0.1:{mail.port}?from=strongroom@example.org&to=ops@example.org&mode=insecure"
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, address)
        world.robot.failure = breaks
        await world.make()
        await eventually(lambda: mail.mails, 20)
    (arrived_,) = mail.mails
    assert mail.recipients == ["ops@example.org"]
    assert arrived_["Subject"] == "[Strongroom] acme/orders: backup failed"
    text = arrived_.get_body(("plain",))
    assert text is not None
    assert "pg_dump ended with status 1" in text.get_content()


async def test_a_channel_that_fails_holds_up_no_other_and_is_told_everything_when_it_answers_again(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await world.add_service("shop")
        await world.alive()
        await add_channel(world, hook.address("good"))
        broken = await add_channel(world, hook.address("broken-s3cr3t"))
        hook.answer = lambda call: 500 if "broken" in call.path else 200
        world.robot.failure = breaks
        await world.make()
        await world.make("shop")
        await eventually(lambda: any(call.path == "/good" for call in hook.calls), 20)

        async def stated() -> Any:
            return await world.events("notification.failed")

        (event,) = await eventually(stated, 20)
        assert event.facts["id"] == broken.id
        assert event.reason == "the service answered 500: it has trouble of its own"
        (view,) = [view for view in await channels(world) if view.id == broken.id]
        assert view.failing_since == START
        assert "500" in view.error
        seen = len(hook.calls)
        hook.answer = lambda _: 200
        await eventually(lambda: any(call.path != "/good" for call in hook.calls[seen:]), 30)

        async def is_well() -> bool:
            return all(view.failing_since is None and view.error == "" for view in await channels(world))

        await eventually(is_well)
        assert len(await stated()) == 1
    last = hook.calls[-1].json
    assert "2 backups failed" in last["title"]


async def test_another_address_is_tried_at_once(quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook) -> None:
    settings = msgspec.structs.replace(quick, notifications=msgspec.structs.replace(QUICK, retry_s=3600))
    async with scene(settings, nats_server, start=START) as world:
        await world.add_service()
        channel = await add_channel(world, hook.address("gone"))
        hook.answer = lambda call: 404 if "gone" in call.path else 200
        world.robot.failure = breaks
        await world.make()
        await eventually(lambda: len(hook.calls) == 1, 20)
        await world.operator.call(control.CHANNEL_CHANGE, control.ChannelChange(id=channel.id, url=hook.address("here")))
        await eventually(lambda: hook.calls[-1].path == "/here", 20)


async def test_a_day_of_trouble_is_reminded_of(quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, hook.address())
        world.robot.failure = breaks
        await world.make()
        await arrived(hook, 1)
        world.clock.advance(hours=23)
        await asyncio.sleep(2 * QUICK.window_s)
        world.clock.advance(hours=1)
        await arrived(hook, 2)
    assert hook.titles[1] == "acme/orders: backups still fail (1 run)"


async def test_nobody_is_reminded_of_what_was_deleted(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world, catalog_of(nats_server) as catalog:
        await world.operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="globex"))
        await world.add_service()
        await world.add_service("shop", project="globex")
        await world.alive()
        await add_channel(world, hook.address())
        world.robot.failure = breaks
        await world.make()
        await world.make("shop", project="globex")
        await eventually(lambda: sum(title.count("failed") for title in hook.titles) == 2 or "2 backups" in str(hook.titles))
        await world.operator.call(control.PROJECT_DELETE, control.ProjectDelete(project="globex"))
        await world.operator.call(control.SERVICE_DELETE, control.ServiceDelete(project="acme", service="orders"))

        async def all_quiet() -> bool:
            return all(stored.value.is_quiet for stored in await catalog.watches.select("watch"))

        await eventually(all_quiet)
        seen = len(hook.calls)
        world.clock.advance(days=2)
        await arrived(hook, seen)


async def test_a_quota_that_fills_is_told_of_at_each_crossing(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START, quota_bytes=1_000_000) as world:
        await world.add_service()
        await world.add_service("shop")
        await world.alive()
        await add_channel(world, hook.address(), kinds=["quota_near", "recovered"])
        world.robot.data = lambda _: b"x" * 800_000
        first = await world.make()
        await arrived(hook, 1)
        world.robot.data = lambda _: b"x" * 150_000
        await world.make("shop")
        await arrived(hook, 2)
        await world.operator.call(
            control.BACKUP_DELETE,
            control.BackupDelete(project="acme", service="orders", id=first.id, reason="test", force=True),
        )
        await arrived(hook, 3)
    assert [call.json["type"] for call in hook.calls] == ["warning", "failure", "success"]
    assert hook.titles[2] == "acme: quota has room again"
    assert "KiB of 977 KiB" in hook.texts[0]


async def test_a_suspiciously_small_backup_is_told_of(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, hook.address())
        world.robot.data = lambda _: b"x" * 100_000
        for _ in range(2):
            await world.make()
            world.clock.advance(minutes=1)
        world.robot.data = lambda _: b"x"
        await world.make()
        await arrived(hook, 1)
        world.clock.advance(minutes=1)
        world.robot.data = lambda _: b"x" * 100_000
        await world.make()
        await arrived(hook, 2)
    assert hook.titles == [
        "acme/orders: newest backup is suspiciously small",
        "acme/orders: sizes of backups are as usual again",
    ]


async def test_an_agent_that_falls_silent_is_told_of_with_what_nobody_else_can_do(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.operator.call(control.NODE_ADD, control.NodeRef(node="node-2"))
        await world.add_service("alone", nodes=["node-2"])
        await world.add_service("shared", nodes=["node-1", "node-2"])
        await add_channel(world, hook.address())
        async with robot(nats_server, "node-2", "acme/alone"):
            await eventually(lambda: is_alive(world, "node-2"))
        await eventually(lambda: hook.calls, 40)
        async with robot(nats_server, "node-2", "acme/alone"):
            await arrived(hook, 2)
    assert hook.titles == ["The agent on node-2 is silent", "The agent on node-2 is back"]
    assert hook.calls[0].json["type"] == "failure"
    assert "No other agent for: acme/alone\n" in hook.texts[0]


async def is_alive(world: Scene, node: str) -> bool:
    views = (await world.operator.call(control.NODE_LIST, control.Nothing())).nodes
    return any(view.record.name == node and view.alive is not None for view in views)


async def test_a_test_message_tells_what_became_of_it(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        channel = await add_channel(world, hook.address())
        reference = control.ChannelRef(id=channel.id)
        tested = await world.operator.call(control.CHANNEL_TEST, reference)
        assert tested.ok
        assert hook.titles == ["test message"]
        hook.answer = lambda _: 403
        (outcome,) = (await world.operator.call(control.CHANNEL_TEST, reference)).outcomes
        assert (outcome.ok, outcome.target) == (False, "json://127.0.0.1")
        assert outcome.message == "the service answered 403: it refuses the credentials in the address"


async def test_channels_are_listed_changed_and_removed(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        channel = await add_channel(world, hook.address(), kinds=["failed", "failed", "recovered"], actor="jane")
        assert channel.kinds == (AlertKind.FAILED, AlertKind.RECOVERED)
        assert channel.min_severity is Severity.WARNING
        changed = await world.operator.call(
            control.CHANNEL_CHANGE, control.ChannelChange(id=channel.id, name="night", enabled=False)
        )
        assert (changed.name, changed.enabled, changed.kinds) == ("night", False, channel.kinds)
        assert await channels(world) == [changed]
        with pytest.raises(NotFound):
            await world.operator.call(control.CHANNEL_DELETE, control.ChannelRef(id=channel.id, project="acme"))
        await world.operator.call(control.CHANNEL_DELETE, control.ChannelRef(id=channel.id))
        assert await channels(world) == []
        with pytest.raises(NotFound):
            await world.operator.call(control.CHANNEL_TEST, control.ChannelRef(id=channel.id))
        with pytest.raises(NotFound):
            await add_channel(world, hook.address(), project="nowhere")
        with pytest.raises(InvalidInput) as caught:
            await add_channel(world, "dbus://")
        assert caught.value.field == "url"


async def test_what_people_are_told_goes_on_after_a_restart_where_it_was(
    quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook
) -> None:
    async with scene(quick, nats_server, start=START) as world:
        await world.add_service()
        await add_channel(world, hook.address())
        world.robot.failure = breaks
        await world.make()
        await arrived(hook, 1)
    async with scene(quick, nats_server, start=START, is_new=False) as world:
        await world.is_answered()
        await world.make()
        await arrived(hook, 1 + 1)
    assert hook.titles == ["acme/orders: backup failed", "acme/orders: backed up again"]


async def test_several_coordinators_tell_once(quick: CoordinatorSettings, nats_server: NatsServer, hook: Webhook) -> None:
    async with scene(quick, nats_server, start=START, coordinators=3) as world, running_coordinator(quick, now=world.clock):
        await world.add_service()
        await add_channel(world, hook.address())
        world.robot.failure = breaks
        await world.make()
        await arrived(hook, 1)
