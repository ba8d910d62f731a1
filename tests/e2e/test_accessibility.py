"""Every page for everybody: nothing that axe finds serious, in both themes; nothing wider than a phone."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser

from contracts.access import Role
from contracts.wire import utc_now
from tests.e2e.painting import NODES, painted_fleet
from tests.e2e.stage import Stage
from tests.e2e.visitors import PHONE, Theme, visitor

PAGES = (
    "/",
    "/services",
    "/services?search=nothing",
    "/projects",
    "/projects/acme",
    "/projects/acme/usage",
    "/projects/acme/quota",
    "/projects/acme/delete",
    "/projects/acme/add-service",
    "/projects/acme/add-service?kind=postgresql",
    "/projects/acme/add-service?kind=shared-storage",
    "/projects/nobody",
    "/add-project",
    "/nodes?added=db-us-1",
    "/activity",
    "/settings",
    "/settings/tokens",
    "/settings/notifications",
)
PARTS = 3
"""Tests that share them: axe takes its time."""


@pytest.mark.nodes(*NODES)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("part", range(PARTS))
async def test_axe_finds_nothing_serious(stage: Stage, browser: Browser, theme: Theme, part: int) -> None:
    found = {}
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, theme=theme, lenient=True) as person:
        for path in PAGES[part::PARTS]:
            await person.go(path)
            await person.page.wait_for_function("document.querySelector('.htmx-request') === null")
            found[path] = await person.accessibility()
    assert not {path: problems for path, problems in found.items() if problems}


@pytest.mark.parametrize("theme", ["light", "dark"])
async def test_axe_finds_nothing_serious_in_dialogs_and_with_errors(stage: Stage, browser: Browser, theme: Theme) -> None:
    found = {}
    async with visitor(browser, stage, theme=theme, lenient=True) as person:
        await person.go("/settings/tokens")
        await person.page.get_by_role("button", name="Revoke").first.click()
        found["a dialog"] = await person.accessibility()
        await person.go("/add-project")
        await person.page.get_by_label("Name").fill("Not A Name")
        await person.page.get_by_role("button", name="Create the project").click()
        await person.page.get_by_role("alert").wait_for()
        found["a form with errors"] = await person.accessibility()
        await person.go("/nodes")
        await person.page.get_by_label("Name").fill("node-1")
        await person.page.get_by_role("button", name="Add the node").click()
        await person.page.locator(".toast").wait_for()
        found["a message"] = await person.accessibility()
    async with visitor(browser, stage, role=None, theme=theme, lenient=True) as person:
        await person.go("/login")
        await person.page.get_by_label("Token").fill("x")
        await person.page.get_by_role("button", name="Log in").click()
        found["a login that failed"] = await person.accessibility()
        await person.go("/nowhere")
        found["/nowhere"] = await person.accessibility()
    assert not {path: problems for path, problems in found.items() if problems}


@pytest.mark.nodes(*NODES)
async def test_no_page_is_wider_than_a_phone_or_hides_what_is_at_its_end(stage: Stage, browser: Browser) -> None:
    wide = {}
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, role=Role.ADMIN, size=PHONE) as person:
        for path in PAGES:
            await person.go(path)
            if pixels := await person.overflow():
                wide[path] = pixels
        await person.go("/")
        await person.page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
        last = await person.page.locator("main").evaluate("main => main.getBoundingClientRect().bottom")
        navigation = await person.page.get_by_role("navigation", name="Main").bounding_box()
        assert navigation is not None
        assert last <= navigation["y"] + 60, "the end of the page is not below the navigation"
    assert not wide
