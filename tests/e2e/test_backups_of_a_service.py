"""Backups in the browser: asked for, watched, found, tagged, protected, deleted."""

from __future__ import annotations

import re

from playwright.async_api import Browser, expect

from contracts import control
from contracts.access import Role
from contracts.errors import ErrorInfo
from contracts.records import RunState
from tests.e2e.services import HOME, back_up, ended, newest, robot_service, tell_log, tell_progress, told
from tests.e2e.stage import Stage
from tests.e2e.visitors import visitor
from tests.servers.waiting import eventually


async def test_a_backup_is_asked_for_watched_and_then_found_in_the_list(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage) as agent, visitor(browser, stage, role=Role.OPERATOR) as operator:
        page = operator.page
        agent.may_finish.clear()
        await operator.go(HOME)
        await expect(page.get_by_text("No backup yet")).to_be_visible()
        await page.get_by_text("Back up now …").click()
        await page.get_by_label("Tags optional").fill("before-upgrade v2")
        await page.get_by_role("button", name="Back up now", exact=True).click()
        await expect(told(page, "was asked for")).to_be_visible()

        panel = page.get_by_role("region", name="Backup on node-1")
        await expect(panel).to_be_visible()
        backup = await newest(stage)
        assert backup.tags == ["before-upgrade", "v2"]
        await eventually(lambda: _runs(stage, backup.id))
        step = 0

        async def has_figures() -> bool:
            nonlocal step
            step += 1
            await tell_progress(agent, backup, step * 2_000_000, 1_000_000_000)
            text = await panel.inner_text()
            return bool(re.search(r"\d MiB of about 954 MiB", text) and "/s" in text and " left" in text)

        await eventually(has_figures, 30)
        assert await panel.get_by_role("progressbar").get_attribute("value") not in (None, "0")
        await panel.get_by_text("Log", exact=True).click()
        await tell_log(agent, backup, "artifact.closed", artifact="orders", stored_bytes=123)
        await expect(panel.get_by_role("list", name="Log lines")).to_contain_text("artifact.closed")

        agent.may_finish.set()
        await ended(stage, backup.id)
        row = page.get_by_role("row").filter(has_text="before-upgrade")
        await expect(row).to_contain_text("completed")
        await expect(panel).to_be_hidden()
        await expect(row).to_contain_text("v2")


async def test_a_backup_is_tagged_and_protected_and_the_list_says_so(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, role=Role.OPERATOR) as operator:
        page = operator.page
        backup = await back_up(stage)
        await operator.go(f"{HOME}/backups/{backup.id}")
        await page.get_by_label("Tags of your own").fill("keep-this v1.2")
        await page.get_by_role("button", name="Save the tags").click()
        await expect(page.get_by_text("must have 1 to 24 letters")).to_be_visible()
        await page.get_by_label("Tags of your own").fill("keep-this")
        await page.get_by_role("button", name="Save the tags").click()
        await expect(told(page, "The tags were changed.")).to_be_visible()
        await page.get_by_role("button", name="Protect", exact=True).click()
        await expect(told(page, "only people can delete it")).to_be_visible()

        await operator.go(HOME)
        row = page.get_by_role("row").filter(has_text="keep-this")
        await expect(row).to_contain_text("protected")
        await expect(row).to_contain_text("by its tag")
        await row.get_by_role("button", name="Unprotect").click()
        await expect(told(page, "It is not protected any more.")).to_be_visible()
        await expect(page.get_by_role("row").filter(has_text="keep-this")).to_contain_text("manual")


async def test_the_list_is_filtered_by_state_class_and_tag_without_leaving_the_page(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage) as admin:
        page = admin.page
        await back_up(stage, "blue")
        await back_up(stage, "red", "protected")
        await admin.go(HOME)
        rows = page.locator("#backups tbody tr")
        await expect(rows).to_have_count(2)
        await page.get_by_label("Tag", exact=True).fill("blue")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("blue")
        assert page.url.endswith("?tag=blue")
        await page.get_by_label("Tag", exact=True).fill("")
        await page.get_by_label("Class").select_option("protected")
        await expect(rows).to_have_count(1)
        await expect(rows).to_contain_text("red")
        await page.get_by_label("Class").select_option("")
        await page.get_by_text("Failed or missed", exact=True).click()
        await expect(page.get_by_text("No backup is like that")).to_be_visible()
        await page.reload()
        await expect(page.get_by_role("radio", name="Failed or missed")).to_be_checked()


async def test_deleting_asks_first_and_a_protected_backup_has_to_be_named(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, scripts=False) as admin:
        page = admin.page
        backup = await back_up(stage, "protected")
        await admin.go(f"{HOME}/backups/{backup.id}")
        await page.get_by_role("link", name="Delete …").click()
        await expect(page.get_by_text("It is the newest good backup")).to_be_visible()
        await page.get_by_label("Type").fill("something else")
        await page.get_by_role("button", name="Delete the backup").click()
        await expect(page.get_by_text(f"Type {backup.id} to delete a protected backup")).to_be_visible()
        assert (await newest(stage)).state is RunState.COMPLETED
        await page.get_by_label("Type").fill(backup.id)
        await page.get_by_role("button", name="Delete the backup").click()
        await expect(page.get_by_text("No backup yet")).to_be_visible()


async def test_a_backup_under_way_is_cancelled_after_a_question(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage) as agent, visitor(browser, stage, role=Role.OPERATOR) as operator:
        page = operator.page
        agent.may_finish.clear()
        create = control.BackupCreate(project="acme", service="orders")
        backup = await stage.operator.call(control.BACKUP_CREATE, create)
        await operator.go(f"{HOME}/backups/{backup.id}")
        await page.get_by_role("button", name="Cancel").click()
        await page.get_by_role("button", name="Cancel the backup").click()
        await expect(page.locator("#backup")).to_contain_text("cancelled")
        agent.may_finish.set()


async def test_what_failed_is_shown_with_the_tools_own_words(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage) as agent, visitor(browser, stage, role=Role.VIEWER) as viewer:
        agent.failure = lambda _: ErrorInfo(
            code="dump.failed", message="pg_dump ended with status 1", detail="FATAL: <b>no</b>"
        )
        create = control.BackupCreate(project="acme", service="orders", node="node-1")
        backup = await stage.operator.call(control.BACKUP_CREATE, create)
        await viewer.go(f"{HOME}/backups/{backup.id}")
        await expect(viewer.page.get_by_label("Error")).to_contain_text("FATAL: <b>no</b>")
        await viewer.page.get_by_role("heading", name="Log and events").scroll_into_view_if_needed()
        await expect(viewer.page.get_by_role("table", name="Events")).to_contain_text("backup.failed")
        await viewer.go(HOME)
        await expect(viewer.page.get_by_text("Look at the run: it has the tool's own words.")).to_be_visible()


async def _runs(stage: Stage, backup_id: str) -> bool:
    reference = control.RunRefRequest(project="acme", service="orders", id=backup_id)
    return (await stage.operator.call(control.BACKUP_RECORD, reference)).state is RunState.RUNNING
