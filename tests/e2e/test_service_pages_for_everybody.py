"""A service's pages for whoever comes: with a keyboard alone, on a phone, with a screen reader, in the dark, in a hurry."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from playwright.async_api import Browser, Page, expect

from contracts import control
from contracts.access import Role
from contracts.records import BackupRecord
from contracts.wire import utc_now
from tests.e2e.painting import NODES, painted_fleet
from tests.e2e.services import HOME, back_up, ended, newest, robot_service, told
from tests.e2e.stage import Stage
from tests.e2e.visitors import PHONE, Theme, visitor

_TABS = ("", "/schedule", "/retention", "/charts", "/settings", "/delete")
_OF_BACKUP = ("", "/restore", "/delete")


def _paths(backup: BackupRecord) -> list[str]:
    return [f"{HOME}{tab}" for tab in _TABS] + [f"{HOME}/backups/{backup.id}{part}" for part in _OF_BACKUP]


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_no_page_has_a_serious_barrier(stage: Stage, browser: Browser, theme: Theme) -> None:
    async with robot_service(stage), visitor(browser, stage, theme=theme, lenient=True) as admin:
        backup = await back_up(stage, "protected")
        for path in _paths(backup):
            await admin.go(path)
            await _settled(admin.page)
            await admin.page.evaluate("document.querySelectorAll('main details').forEach(each => { each.open = true; })")
            assert await admin.accessibility() == [], path
        await admin.go(f"{HOME}/backups/{backup.id}/restore")
        await admin.page.get_by_label("Replace data that are there").check()
        await admin.page.get_by_role("button", name="See the plan").click()
        await expect(admin.page.get_by_role("heading", name="The plan")).to_be_visible()
        assert await admin.accessibility() == []


async def test_every_page_fits_a_phone(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, size=PHONE) as admin:
        backup = await back_up(stage, "a-tag-of-24-letters-long")
        for path in _paths(backup):
            await admin.go(path)
            await _settled(admin.page)
            assert await admin.overflow() == 0, path


@pytest.mark.nodes(*NODES)
async def test_pages_of_a_service_with_a_past_fit_a_phone_and_have_no_barrier(stage: Stage, browser: Browser) -> None:
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, size=PHONE, theme="dark", lenient=True) as admin:
        for path in ("acme/services/billing", "acme/services/warehouse", "globex/services/crm", "initech/services/files"):
            for tab in ("", "/schedule", "/retention", "/charts"):
                await admin.go(f"/projects/{path}{tab}")
                await _settled(admin.page)
                assert await admin.overflow() == 0, path + tab
                assert await admin.accessibility() == [], path + tab


async def test_a_backup_is_made_and_its_page_reached_with_the_keyboard_alone(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, role=Role.OPERATOR) as operator:
        page = operator.page
        await operator.go(HOME)
        await _tab_to(page, "Back up now …")
        await page.keyboard.press("Enter")
        await _tab_to(page, "", selector="#field-tags")
        await page.keyboard.type("by-keyboard")
        await page.keyboard.press("Enter")
        await expect(told(page, "was asked for")).to_be_visible()
        backup = await ended(stage, (await newest(stage)).id)
        assert backup.tags == ["by-keyboard"]
        row = page.get_by_role("row").filter(has_text="by-keyboard")
        await expect(row).to_contain_text("completed")
        await _tab_to(page, "", selector=f"#backups a[href='{HOME}/backups/{backup.id}']")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Backup of")).to_be_visible()
        await _tab_to(page, "Restore …")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="Restore the backup of")).to_be_visible()
        await _tab_to(page, "See the plan")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="The plan")).to_be_visible()


async def test_charts_tell_their_values_to_the_arrow_keys(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage) as agent, visitor(browser, stage, role=Role.VIEWER) as viewer:
        page = viewer.page
        agent.data = lambda _: b"x" * 100_000
        first = await back_up(stage)
        await back_up(stage)
        await viewer.go(f"{HOME}/charts")
        chart = page.get_by_role("application", name="Size over time")
        await expect(chart.locator("canvas")).to_be_visible()
        await chart.focus()
        await page.keyboard.press("End")
        words = page.locator("[data-chart-words=size]")
        await expect(words).to_contain_text("data 195 KiB")
        await page.keyboard.press("ArrowLeft")
        await expect(words).to_contain_text(f"{first.requested_at:%Y-%m-%d %H:%M} UTC")
        await page.keyboard.press("Enter")
        await expect(page).to_have_url(f"{stage.url}{HOME}/backups/{first.id}")


async def test_a_page_of_another_theme_redraws_its_charts(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage, role=Role.VIEWER) as viewer:
        page = viewer.page
        await back_up(stage)
        await viewer.go(f"{HOME}/charts")
        canvas = page.locator("[data-chart=size] canvas")
        await expect(canvas).to_be_visible()
        before = await canvas.evaluate("canvas => canvas.toDataURL()")
        await page.get_by_role("button", name="Dark theme").click()
        await expect(canvas).to_be_visible()
        assert await canvas.evaluate("canvas => canvas.toDataURL()") != before


async def test_a_service_is_deleted_by_its_name_and_had_back(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage) as admin:
        page = admin.page
        await back_up(stage)
        await admin.go(f"{HOME}/settings")
        await page.get_by_role("link", name="Delete the service …").click()
        await expect(page.get_by_text("1 backup of it go for good after 7 days.")).to_be_visible()
        await page.get_by_label("Type orders to confirm").fill("order")
        await page.get_by_role("button", name="Delete the service").click()
        await expect(page.get_by_text("Type orders to delete it.")).to_be_visible()
        await page.get_by_label("Type orders to confirm").fill("orders")
        await page.get_by_role("button", name="Delete the service").click()
        await expect(page.get_by_text("This service was deleted")).to_be_visible()
        await expect(page.get_by_text("Back up now …")).to_be_hidden()
        await page.get_by_role("button", name="Have it back").click()
        await expect(page.get_by_text("Back up now …")).to_be_visible()


async def test_what_is_backed_up_is_changed_in_the_settings(stage: Stage, browser: Browser) -> None:
    async with robot_service(stage), visitor(browser, stage) as admin:
        page = admin.page
        await admin.go(f"{HOME}/settings")
        await page.get_by_label("Leave out").fill("tmp_*\nscratch")
        await page.get_by_label("Hosts whose agents reach it").fill("node-1\nnobody")
        await page.get_by_role("button", name="Save the settings").click()
        await expect(page.get_by_text("There is no node 'nobody'.")).to_be_visible()
        await page.get_by_label("Hosts whose agents reach it").fill("node-1")
        await page.get_by_role("button", name="Save the settings").click()
        await expect(told(page, "The settings were changed")).to_be_visible()
        reference = control.ServiceRef(project="acme", service="orders")
        options = (await stage.operator.call(control.SERVICE_SHOW, reference)).record.options
        assert getattr(options, "exclude", None) == ["tmp_*", "scratch"]


async def _settled(page: Page) -> None:
    """Waits for what a page loads by itself."""
    history = page.get_by_role("heading", name="Log and events")
    if await history.count():
        await history.scroll_into_view_if_needed()
        await expect(page.get_by_text("Loading …")).to_be_hidden()
    for canvas in await page.locator("[data-chart]").all():
        await expect(canvas.locator("canvas")).to_be_visible()


async def _tab_to(page: Page, text: str, *, selector: str = "", most: int = 80) -> None:
    """Presses Tab until the focus is on what reads so, or is the selected one."""
    seen: list[str] = []
    for _ in range(most):
        await page.keyboard.press("Tab")
        found: Sequence[str] = await page.evaluate(
            "s => [document.activeElement.innerText || '', s && document.activeElement.matches(s) ? 'it' : '']", selector
        )
        seen.append(found[0][:30])
        if (selector and found[1]) or (not selector and found[0].strip().startswith(text)):
            return
    raise AssertionError(f"Tab never reached {text or selector}; it went over {seen}")
