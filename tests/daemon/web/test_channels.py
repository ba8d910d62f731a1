"""Channels in the pages: added, tried, changed, removed, and their addresses shown to nobody."""

from __future__ import annotations

import re
from typing import Any

from contracts import control
from contracts.access import Role
from contracts.notifications import AlertKind, Severity
from tests.daemon.notifications.receivers import webhook
from tests.daemon.web.pages import browsing, words
from tests.e2e.stage import Stage

SECRET = "s3cr3t-of-the-hook"


async def only(stage: Stage) -> control.ChannelView:
    (channel,) = (await stage.operator.call(control.CHANNEL_LIST, control.ChannelList())).channels
    return channel


FORM: dict[str, Any] = {"name": "on-call", "min_severity": "critical", "kinds": ["failed", "missed"], "enabled": "yes"}


async def test_a_channel_is_added_tried_changed_and_removed(stage: Stage) -> None:
    async with webhook() as hook, browsing(stage) as person:
        added = await person.post("/settings/notifications", url=hook.address(SECRET), **FORM)
        assert added.headers["location"] == "/settings/notifications"
        page = await person.get("/settings/notifications")
        assert "The channel on-call is added." in words(page)
        assert SECRET not in page.text
        channel = await only(stage)
        assert (channel.min_severity, channel.kinds) == (Severity.CRITICAL, (AlertKind.FAILED, AlertKind.MISSED))

        tried = await person.post(f"/settings/notifications/{channel.id}/test")
        assert "The test message was taken: on-call" in words(tried)
        assert len(hook.calls) == 1
        assert SECRET not in tried.text

        form = await person.get(f"/settings/notifications/{channel.id}")
        assert SECRET not in form.text
        assert re.search(r'value="missed" checked', form.text)
        changed = await person.post(
            f"/settings/notifications/{channel.id}", name="night shift", url="", min_severity="info", kinds="recovered"
        )
        assert changed.status_code == 303
        channel = await only(stage)
        assert (channel.name, channel.kinds, channel.enabled) == ("night shift", (AlertKind.RECOVERED,), False)
        await person.post(f"/settings/notifications/{channel.id}/test")
        assert len(hook.calls) == 2, "an address that was left empty stays"

        asked = await person.post(f"/settings/notifications/{channel.id}/delete", name="night shift")
        assert "Remove the channel night shift?" in words(asked)
        await person.post(f"/settings/notifications/{channel.id}/delete", name="night shift", confirmed="yes")
        assert "Nobody is told" in words(await person.get("/settings/notifications"))


async def test_a_test_that_does_not_arrive_says_why(stage: Stage) -> None:
    async with webhook() as hook, browsing(stage) as person:
        hook.answer = lambda _: 500
        await person.post("/settings/notifications", url=hook.address(SECRET), **FORM)
        tried = await person.post(f"/settings/notifications/{(await only(stage)).id}/test")
    assert "The test message did not arrive: on-call" in words(tried)
    assert SECRET not in tried.text


async def test_a_channel_that_makes_no_sense_is_told_of_beside_its_field(stage: Stage) -> None:
    async with browsing(stage) as person:
        wrongs: tuple[tuple[dict[str, Any], str], ...] = (
            ({"url": "nonsense"}, "url"),
            ({"url": "json://127.0.0.1/x", "name": ""}, "name"),
            ({"url": "json://127.0.0.1/x", "kinds": []}, "kinds"),
        )
        for wrong, field in wrongs:
            refused = await person.post("/settings/notifications", **{**FORM, **wrong})
            assert refused.status_code == 422, wrong
            assert f'id="field-{field}-error"' in refused.text, (wrong, words(refused))


async def test_who_may_only_look_sees_channels_and_no_buttons(stage: Stage) -> None:
    async with webhook() as hook, browsing(stage) as admin, browsing(stage, Role.VIEWER) as viewer:
        url = hook.address(SECRET)
        await admin.post("/settings/notifications", url=url, **FORM)
        page = await viewer.get("/settings/notifications")
        assert "on-call" in words(page)
        assert "Send a test" not in page.text
        assert "Add a channel" not in page.text
        channel = await only(stage)
        assert (await viewer.get(f"/settings/notifications/{channel.id}")).status_code == 403
        assert (await viewer.post(f"/settings/notifications/{channel.id}/test")).status_code == 403
        assert (await viewer.post("/settings/notifications", url=url, **FORM)).status_code == 403
