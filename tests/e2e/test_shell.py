"""What every page does in a browser: themes, keyboard, dialogs, life without scripts, and nothing that was smuggled in."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from pathlib import Path

from playwright.async_api import Browser, Page, Route, expect

from contracts import control
from contracts.access import Role
from contracts.access import TokenState as State
from daemon.embedded.ports import free_ports
from daemon.http.settings import HttpSettings
from tests.e2e.stage import Stage, standing_stage
from tests.e2e.visitors import PHONE, visitor
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket


async def ground(page: Page) -> str:
    colour: str = await page.evaluate("getComputedStyle(document.body).backgroundColor")
    return colour


async def test_a_wrong_token_is_told_of_beside_its_field(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage, role=None) as person:
        page = person.page
        await person.go("/login")
        await page.get_by_label("Token").fill("srm_nothing")
        await page.get_by_role("button", name="Log in").click()
        field = page.get_by_label("Token")
        await expect(field).to_have_attribute("aria-invalid", "true")
        await expect(field).to_have_accessible_description(re.compile("not a token that was made here"))
        await expect(page.get_by_role("alert")).to_be_focused()


async def test_a_revoked_token_ends_the_session_of_a_page_that_is_open(stage: Stage, browser: Browser) -> None:
    made = await stage.token()
    async with visitor(browser, stage, role=None) as person:
        await person.log_in(made.token)
        await person.go("/projects")
        await expect(person.page.get_by_text("Live")).to_be_visible()
        await stage.operator.call(control.TOKEN_REVOKE, control.TokenRef(id=made.view.id))
        # The next thing that happens makes the page ask for a part of itself, and that is refused.
        await stage.project("acme")
        await expect(person.page).to_have_url(re.compile(r"/login\?next=%2Fprojects"))


async def test_the_theme_follows_the_system_until_somebody_chooses_another(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage, theme="light") as person:
        page = person.page
        light = await ground(page)
        button = page.get_by_role("button", name="Dark theme")
        await expect(button).to_have_attribute("aria-pressed", "false")
        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "true")
        dark = await ground(page)
        assert dark != light
        await page.reload()
        assert await ground(page) == dark
        await page.emulate_media(color_scheme="dark")
        await button.click()
        assert await ground(page) == light
        await button.click()
        await page.emulate_media(color_scheme="light")
        assert await ground(page) == light, "what is the system's choice again follows the system"


async def test_everything_can_be_reached_by_the_keyboard_alone(stage: Stage, browser: Browser) -> None:
    await stage.project("acme")
    token = (await stage.token()).token
    async with visitor(browser, stage, role=None) as person:
        page = person.page
        keys = page.keyboard
        await person.go("/login")
        await keys.type(token)
        await keys.press("Enter")
        await expect(page.get_by_role("heading", name="Overview")).to_be_attached()

        await keys.press("Tab")
        skip = page.get_by_role("link", name="Skip to content")
        await expect(skip).to_be_focused()
        await expect(skip).to_be_in_viewport()
        await keys.press("Enter")
        await expect(page.locator("#main")).to_be_focused()

        await keys.press("/")
        await expect(page.get_by_role("searchbox", name="Find a service")).to_be_focused()
        await keys.type("nothing/g?")
        await keys.press("Enter")
        await expect(page).to_have_url(re.compile(r"/services\?search=nothing"))
        await expect(page.get_by_text("No service is like that")).to_be_visible()

        await keys.press("g")
        await keys.press("p")
        await expect(page).to_have_url(re.compile("/projects$"))
        await keys.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_visible()
        await page.get_by_label("Single keys do this").uncheck()
        await keys.press("Escape")
        await keys.press("?")
        await expect(page.get_by_role("dialog", name="Keyboard")).to_be_hidden()

        await page.get_by_role("link", name="acme", exact=True).focus()
        outline = await page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
        assert outline == "solid", "where the focus is has to be seen"
        await keys.press("Enter")
        await page.get_by_role("link", name="Delete").focus()
        await keys.press("Enter")
        await page.get_by_label("Type acme to confirm").focus()
        await keys.type("acme")
        await keys.press("Enter")
        await expect(page.get_by_role("status").first).to_contain_text("acme is deleted")


async def test_nothing_is_done_for_good_before_a_dialog_was_answered(stage: Stage, browser: Browser) -> None:
    other = await stage.token(Role.VIEWER, name="ci of acme")

    async def state() -> State:
        tokens = (await stage.operator.call(control.TOKEN_LIST, control.TokenList())).tokens
        return next(token.state for token in tokens if token.id == other.view.id)

    async with visitor(browser, stage) as person:
        page = person.page
        await person.go("/settings/tokens")
        row = page.get_by_role("row", name="ci of acme")
        await row.get_by_role("button", name="Revoke").click()
        dialog = page.get_by_role("dialog", name="Revoke the token ci of acme?")
        await expect(dialog.get_by_role("button", name="Leave it")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(dialog).to_be_hidden()
        assert await state() is State.ACTIVE
        await row.get_by_role("button", name="Revoke").click()
        await dialog.get_by_role("button", name="Revoke it").click()
        await expect(page.get_by_role("status").first).to_contain_text("lets nobody in any more")
        assert await state() is State.REVOKED
        await page.get_by_role("button", name="Dismiss").click()
        await expect(page.locator(".toast")).to_have_count(0)


async def test_a_new_token_is_shown_once_copied_and_gone_after_a_reload(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage) as person:
        page = person.page
        await person.context.grant_permissions(["clipboard-read", "clipboard-write"], origin=stage.url)
        await person.go("/settings/tokens")
        await page.get_by_label("Name").fill("backup of the CI")
        await page.get_by_label("Operator").check()
        await page.get_by_role("button", name="Make the token").click()
        secret = await page.locator("#secret").inner_text()
        assert re.fullmatch(r"srm_[a-z2-7]{10}_[A-Za-z0-9_-]{43}", secret)
        await page.get_by_role("button", name="Copy it").click()
        await expect(page.get_by_role("button", name="Copied")).to_be_visible()
        assert await page.evaluate("navigator.clipboard.readText()") == secret
        await page.reload()
        await expect(page.locator("#secret")).to_have_count(0)
        tokens = (await stage.operator.call(control.TOKEN_LIST, control.TokenList())).tokens
        assert [token.name for token in tokens].count("backup of the CI") == 1, "a reload makes no second one"


async def test_pages_change_by_themselves_and_stay_where_they_are(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage) as person:
        page = person.page
        await person.go("/projects")
        await expect(page.get_by_text("Live")).to_be_visible()
        await page.evaluate("window.isTheSamePage = true")
        search = page.get_by_role("searchbox", name="Search")
        await search.focus()
        await stage.project("acme")
        await expect(page.get_by_role("link", name="acme", exact=True)).to_be_visible()
        await expect(search).to_be_focused()
        await search.fill("glob")
        await expect(page.get_by_text("No project is called that")).to_be_visible()
        await expect(page).to_have_url(re.compile(r"/projects\?search=glob"))
        await stage.project("globex")
        await expect(page.get_by_role("link", name="globex", exact=True)).to_be_visible()
        await expect(page.get_by_role("link", name="acme", exact=True)).to_have_count(0)
        assert await page.evaluate("window.isTheSamePage") is True


async def test_what_happens_before_a_page_listens_is_not_lost(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage) as person:
        page = person.page
        asked, go_on = asyncio.Event(), asyncio.Event()

        async def hold(route: Route) -> None:
            asked.set()
            await go_on.wait()
            await route.continue_()

        await page.route("**/live*", hold)
        await page.goto(f"{stage.url}/projects", wait_until="commit")
        await asked.wait()
        await stage.project("acme")
        await expect(page.get_by_text("No project yet")).to_be_visible()
        go_on.set()
        await expect(page.get_by_role("link", name="acme", exact=True)).to_be_visible()
        await page.unroute_all(behavior="ignoreErrors")


async def test_activity_shows_what_happens_while_somebody_looks(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage, role=Role.VIEWER) as person:
        page = person.page
        await person.go("/activity?kind=fleet")
        await expect(page.get_by_text("Live")).to_be_visible()
        await stage.project("acme")
        await expect(page.get_by_role("row", name="project created").first).to_contain_text("acme")
        await expect(page.get_by_text("token created")).to_have_count(0)
        await page.get_by_text("Access", exact=True).click()
        await expect(page.get_by_role("row", name="token created").first).to_be_visible()
        await expect(page).to_have_url(re.compile(r"kind=access"))


async def test_an_open_page_finds_the_coordinator_again_and_catches_up(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket, browser: Browser
) -> None:
    (port,) = free_ports(1)
    http = HttpSettings(port=port)
    async with AsyncExitStack() as visit:
        async with standing_stage(tmp_path, nats_server, bucket, http=http) as stage:
            person = await visit.enter_async_context(visitor(browser, stage))
            await person.go("/projects")
            state = person.page.locator("[data-live-state]")
            await expect(state).to_have_attribute("data-tone", "good")
        await expect(state).to_have_attribute("data-tone", "warning")
        async with standing_stage(tmp_path, nats_server, bucket, http=http) as stage:
            await stage.project("acme")
            await expect(person.page.get_by_role("link", name="acme", exact=True)).to_be_visible(timeout=20_000)
            await expect(state).to_have_attribute("data-tone", "good")


async def test_without_scripts_everything_still_works(stage: Stage, browser: Browser) -> None:
    await stage.project("acme")
    await stage.nodes("node-1")
    async with visitor(browser, stage, scripts=False) as person:
        page = person.page
        await person.go("/services")
        await page.get_by_role("searchbox", name="Search").fill("orders")
        await page.get_by_role("button", name="Apply").click()
        await expect(page.get_by_text("No service is like that")).to_be_visible()
        await person.go("/projects/acme")
        await page.get_by_role("link", name="By service").click()
        await expect(page.get_by_text("Nothing is stored.")).to_be_visible()
        await person.go("/nodes")
        await page.get_by_role("button", name="Remove").click()
        await expect(page.get_by_role("heading", name="Remove the node node-1?")).to_be_visible()
        await page.get_by_role("button", name="Remove it").click()
        await expect(page.get_by_role("status")).to_contain_text("The node node-1 is removed.")
        await page.get_by_role("button", name="Log out").click()
        await expect(page.get_by_text("You are logged out.")).to_be_visible()


async def test_scripts_that_somebody_smuggles_in_do_not_run(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage) as person:
        page = person.page
        await page.evaluate("""() => {
            const script = document.createElement("script");
            script.textContent = "window.wasHere = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", '<img src="data:," onerror="window.wasHere = true">');
            const part = document.createElement("div");
            part.innerHTML = '<b hx-on:click="window.wasHere = true" hx-trigger="click[window.wasHere = true]">x</b>';
            document.body.append(part);
            htmx.process(part);
            part.firstChild.click();
        }""")
        await page.wait_for_function("document.images.length > 0 && document.images[0].complete")
        assert await page.evaluate("window.wasHere") is None
        assert person.complaints, "the browser says what it refused"
        person.complaints.clear()


async def test_on_a_phone_the_navigation_is_within_the_thumbs_reach(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage, size=PHONE) as person:
        page = person.page
        for name in ("Services", "Projects", "Nodes", "Activity", "Settings", "Overview"):
            link = page.get_by_role("navigation", name="Main").get_by_role("link", name=name)
            box = await link.bounding_box()
            assert box is not None
            assert box["y"] > PHONE[1] / 2
            assert min(box["width"], box["height"]) >= 44
            await link.tap()
            await expect(page).to_have_title(f"{name} · Strongroom")
