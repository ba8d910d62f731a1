"""Schedules and retention in the browser: what comes of them is seen before they are saved."""

from __future__ import annotations

from playwright.async_api import Browser, expect

from contracts import control
from contracts.access import Role
from contracts.policy.retention_policy import Minimums, RetentionPolicy
from contracts.policy.schedule import Cron, Monthly, Off
from contracts.records import BackupRecord, RunState, ServiceRecord
from tests.e2e.services import HOME, back_up, robot_service, told
from tests.e2e.stage import Stage
from tests.e2e.visitors import visitor
from tests.servers.waiting import eventually


async def test_a_cron_schedule_is_said_in_words_with_its_next_times_while_it_is_typed(
    stage: Stage, browser: Browser
) -> None:
    async with robot_service(stage), visitor(browser, stage) as admin:
        page = admin.page
        await admin.go(f"{HOME}/schedule")
        await expect(page.get_by_text("Never by itself: only people start backups.").first).to_be_visible()
        preview = page.locator("#preview")
        await page.get_by_text("Cron expression", exact=True).click()
        await expect(preview).to_contain_text("Write the five fields")
        expression = page.get_by_label("Minute, hour, day, month, weekday (UTC)")
        await expression.press_sequentially("30 3 * * 1-5")
        await expect(preview).to_contain_text("At 03:30 from Monday to Friday UTC.")
        await expect(preview.get_by_role("listitem")).to_have_count(5)
        await expression.fill("30 3 * * 1-9")
        await expect(preview).to_contain_text("weekday 9 is not within 0-7")
        await page.get_by_role("button", name="Save the schedule").click()
        await expect(page.locator("#part-expression-error")).to_contain_text("is not within 0-7")
        assert (await _orders(stage)).schedule == Off()
        await page.get_by_label("Minute, hour, day, month, weekday (UTC)").fill("*/10 * * * *")
        await expect(preview).to_contain_text("Every 10 minutes UTC.")
        await expect(preview).to_contain_text("reach back about 8 hours")
        await page.get_by_role("button", name="Save the schedule").click()
        await expect(told(page, "It is backed up every 10 minutes UTC from now on.")).to_be_visible()
        assert (await _orders(stage)).schedule == Cron(expression="*/10 * * * *")


async def test_a_schedule_is_chosen_without_scripts(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, scripts=False) as admin:
        page = admin.page
        await admin.go(f"{HOME}/schedule")
        await page.get_by_label("Monthly").check()
        await page.get_by_label("Day of the month").fill("31")
        await page.get_by_label("At (UTC)").fill("2:15")
        await page.get_by_role("button", name="Save the schedule").click()
        await expect(page.get_by_text("must be written HH:MM").first).to_be_visible()
        await page.get_by_label("At (UTC)").fill("02:15")
        await page.get_by_role("button", name="Save the schedule").click()
        await expect(page.get_by_text("On the last day of every month at 02:15 UTC.").first).to_be_visible()
        assert (await _orders(stage)).schedule == Monthly(day=31, at="02:15")


async def test_a_retention_change_shows_what_it_would_delete_and_deletes_only_when_that_is_agreed_to(
    stage: Stage, browser: Browser
) -> None:
    policy = RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0), suspicious_size_factor=0)
    async with robot_service(stage, retention=policy), visitor(browser, stage) as admin:
        page = admin.page
        first = await back_up(stage)
        kept = await back_up(stage, "protected")
        last = await back_up(stage)
        await admin.go(f"{HOME}/retention")
        preview = page.locator("#preview")
        await expect(preview).to_contain_text("Nothing: all 3 runs stay.")
        await page.get_by_label("Backups", exact=True).fill("0")
        await expect(preview).to_contain_text("total_count 0 is not within 1-")
        await page.get_by_label("Backups", exact=True).fill("2")
        await expect(preview).to_contain_text("1 backup")
        goes = preview.get_by_role("region", name="Backups that would be deleted")
        await expect(goes.get_by_role("link")).to_have_attribute("href", f"{HOME}/backups/{first.id}")
        await expect(goes).to_contain_text("beyond the total count: 2")
        await expect(preview.get_by_role("img").first).to_be_visible()

        await page.get_by_role("button", name="Save the policy").click()
        await expect(page.get_by_role("heading", name="This change deletes 1 backup")).to_be_visible()
        assert {backup.id for backup in await _completed(stage)} == {first.id, kept.id, last.id}
        assert (await _orders(stage)).retention == policy
        await page.get_by_role("button", name="Save, and delete 1 backup").click()
        await expect(told(page, "The policy was changed, and a backup goes.")).to_be_visible()

        async def is_gone() -> bool:
            return {backup.id for backup in await _completed(stage)} == {kept.id, last.id}

        await eventually(is_gone)
        assert (await _orders(stage)).retention.total_count == 2


async def test_what_was_agreed_to_is_asked_again_when_more_would_go_meanwhile(stage: Stage, browser: Browser) -> None:
    policy = RetentionPolicy(minimums=Minimums(daily=0, weekly=0, monthly=0), suspicious_size_factor=0)
    async with robot_service(stage, retention=policy), visitor(browser, stage, scripts=False) as admin:
        page = admin.page
        for _ in range(2):
            await back_up(stage)
        await admin.go(f"{HOME}/retention")
        await page.get_by_label("Backups", exact=True).fill("1")
        await page.get_by_role("button", name="Save the policy").click()
        await expect(page.get_by_role("heading", name="This change deletes 1 backup")).to_be_visible()
        await back_up(stage)
        await page.get_by_role("button", name="Save, and delete 1 backup").click()
        await expect(page.get_by_role("heading", name="This change deletes 2 backups")).to_be_visible()
        assert len(await _completed(stage)) == 3


async def test_a_viewer_sees_policies_and_reasons_and_no_way_to_change_them(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, role=Role.VIEWER, project="acme") as viewer:
        await back_up(stage)
        for part in ("", "/schedule", "/retention", "/charts", "/settings"):
            await viewer.go(HOME + part)
            await expect(viewer.page.get_by_role("heading", name="orders")).to_be_visible()
            buttons = await viewer.page.locator("main form[method=post] button").all_inner_texts()
            assert buttons == []
        refused = await viewer.page.request.post(
            f"{stage.url}{HOME}/schedule", form={"choice": "off"}, headers={"Origin": stage.url}
        )
        assert refused.status == 403


async def _orders(stage: Stage) -> ServiceRecord:
    reference = control.ServiceRef(project="acme", service="orders")
    return (await stage.operator.call(control.SERVICE_SHOW, reference)).record


async def _completed(stage: Stage) -> list[BackupRecord]:
    listing = control.BackupList(project="acme", service="orders", states=[RunState.COMPLETED])
    return (await stage.operator.call(control.BACKUP_LIST, listing)).backups
