"""From the first login to a service that is backed up, in a browser, on a coordinator that has nothing yet."""

from __future__ import annotations

import re

from playwright.async_api import Browser, expect

from contracts import control
from contracts.records import RunState
from contracts.services import PostgreSQLOptions
from tests.daemon.robots import robot
from tests.e2e.stage import Stage
from tests.e2e.visitors import visitor
from tests.servers.waiting import eventually


async def test_a_person_sets_everything_up_and_makes_the_first_backup(stage: Stage, browser: Browser) -> None:
    token = (await stage.token()).token
    async with visitor(browser, stage, role=None) as person:
        page = person.page
        await person.go("/")
        await expect(page).to_have_title("Log in · Strongroom")
        await page.get_by_label("Token").fill(token)
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Nothing is backed up yet.")).to_be_visible()

        await page.get_by_role("main").get_by_role("link", name="Nodes", exact=True).click()
        await page.get_by_label("Name").fill("node-1")
        await page.get_by_role("button", name="Add the node").click()
        await expect(page.get_by_role("status")).to_contain_text("The node node-1 is known now.")
        await expect(page.get_by_role("heading", name="Set up the agent of node-1")).to_be_visible()
        await expect(page.locator("#agent-toml")).to_contain_text('node = "node-1"')

        async with robot(stage.nats_server, "node-1", "acme/orders"):
            await expect(page.locator("#nodes")).to_contain_text("alive")

            await page.get_by_role("link", name="Overview").click()
            await page.get_by_role("link", name="Create a project").click()
            await page.get_by_label("Name").fill("acme")
            await page.get_by_label("Lightweight").check()
            await page.get_by_role("button", name="Create the project").click()
            await expect(page.get_by_role("heading", name="acme", exact=True)).to_be_visible()
            await expect(page.get_by_role("meter", name="Quota")).to_have_attribute("aria-valuetext", "0 B of 5 GB")

            await page.get_by_role("link", name="Add a service").click()
            await page.get_by_role("link", name="PostgreSQL").click()
            await page.get_by_label("Name").fill("orders")
            await page.get_by_label("node-1").check()
            await page.get_by_label("Leave out").fill("scratch_*\ntest")
            await page.get_by_label("Never by itself").check()
            await page.get_by_role("button", name="Add the service").click()
            await expect(page).to_have_url(re.compile("/projects/acme/services/orders$"))
            await expect(page.get_by_role("status").first).to_contain_text(
                "strongroom-agent service add acme/orders --kind postgresql"
            )
            reference = control.ServiceRef(project="acme", service="orders")
            made = (await stage.operator.call(control.SERVICE_SHOW, reference)).record
            assert made.options == PostgreSQLOptions(exclude=["scratch_*", "test"])

            await person.go("/")
            await expect(page.get_by_text("No service is backed up by itself.")).to_be_visible()
            await person.go("/services")
            await expect(page.locator("#services")).to_contain_text("unscheduled")
            await stage.operator.call(control.BACKUP_CREATE, control.BackupCreate(project="acme", service="orders"))

            async def done() -> bool:
                view = await stage.operator.call(control.SERVICE_SHOW, reference)
                return view.last_completed is not None and view.last_completed.state is RunState.COMPLETED

            await eventually(done, 30)
            # The list hears of it by itself: nobody loads the page again.
            await expect(page.locator("#services")).to_contain_text(re.compile(r"just now|\d+ s ago"))
