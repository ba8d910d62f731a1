"""The first page: the answer first, then what is wrong with what to do about it, and all of it as it happens."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Browser, expect

from contracts import control
from contracts.access import Role
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from tests.e2e.painting import NODES, painted_fleet
from tests.e2e.stage import Stage
from tests.e2e.visitors import visitor


@pytest.mark.nodes(*NODES)
async def test_the_first_page_says_what_is_wrong_and_how_to_mend_it(stage: Stage, browser: Browser) -> None:
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, role=Role.OPERATOR) as person:
        page = person.page
        await person.go("/")
        await expect(page).to_have_title("(3) Overview · Strongroom")
        await expect(page.locator(".headline")).to_have_text("3 services are not safe.")
        tiles = page.get_by_role("navigation", name="Services by standing")
        await expect(tiles.get_by_role("link", name="8 Safe")).to_be_visible()
        attention = page.get_by_role("region", name="What needs attention")
        names = await attention.locator("li .name").all_inner_texts()
        assert names == ["acme/billing", "globex/crm", "globex/ledger", "initech/files"], "the worst first"
        billing = attention.get_by_role("listitem").filter(has_text="acme/billing")
        await expect(billing).to_contain_text("pg_dump of the database invoices ended with status 1")
        await expect(page.get_by_role("region", name="Silent nodes")).to_contain_text("db-us-1")

        running = page.get_by_role("region", name="Running now")
        await expect(running.get_by_role("progressbar")).to_have_attribute("value", re.compile(r"0\.\d+"))
        await expect(running).to_contain_text(re.compile(r"dumping · [\d.]+ [GM]iB stored · [\d.]+ MiB/s · about"))

        await billing.get_by_role("button", name="Back up now").click()
        await expect(page).to_have_url(re.compile("/$"))
        await expect(page.get_by_role("region", name="Running now")).to_contain_text("acme/billing")
        await expect(billing.get_by_role("button", name="Back up now")).to_have_count(0)

        await tiles.get_by_role("link", name="3 Not safe").click()
        await expect(page.locator("#services tbody tr")).to_have_count(3)


@pytest.mark.nodes(*NODES)
async def test_a_viewer_sees_the_same_without_buttons_that_change_anything(stage: Stage, browser: Browser) -> None:
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, role=Role.VIEWER) as person:
        for path in ("/", "/projects", "/projects/acme", "/nodes", "/services"):
            await person.go(path)
            posting = person.page.locator("form[method=post] button")
            assert await posting.all_inner_texts() == ["Log out"], path
            for name in ("Add a service", "Change the quota", "Delete", "Create a project"):
                await expect(person.page.get_by_role("link", name=name, exact=True)).to_have_count(0)


@pytest.mark.nodes(*NODES)
async def test_somebody_of_one_project_is_told_of_that_alone(stage: Stage, browser: Browser) -> None:
    async with painted_fleet(stage, utc_now()), visitor(browser, stage, role=Role.OPERATOR, project="initech") as person:
        await person.go("/")
        await expect(person.page.locator(".headline")).to_have_text("1 service needs a look; nothing has failed.")
        text = await person.text("body")
        assert "globex" not in text
        assert "acme" not in text
        await expect(person.page.get_by_role("link", name="Nodes")).to_have_count(0)


async def test_what_changes_is_said_to_who_cannot_see_it(stage: Stage, browser: Browser) -> None:
    await stage.project("acme")
    await stage.nodes("node-1")
    async with visitor(browser, stage, role=Role.VIEWER) as person:
        page = person.page
        await person.go("/")
        await expect(page.get_by_text("Live")).to_be_visible()
        announcer = page.locator("#announcer")
        await expect(announcer).to_have_text("")
        add = control.ServiceAdd(project="acme", name="orders", options=PostgreSQLOptions(), nodes=["node-1"])
        await stage.operator.call(control.SERVICE_ADD, add)
        await expect(announcer).to_have_text("1 service is not safe.")
        await expect(page).to_have_title("(1) Overview · Strongroom")
