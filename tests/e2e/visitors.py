"""Somebody before a browser: Debian's Chromium, driven by Playwright, with everything it complains of written down."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from contracts.access import Role
from tests.e2e.stage import Stage

CHROMIUM = "/usr/bin/chromium"
AXE = Path(__file__).parents[2] / "daemon/web/node_modules/axe-core/axe.min.js"
Theme = Literal["light", "dark"]
PHONE = (360, 740)
DESK = (1280, 860)


@asynccontextmanager
async def running_chromium() -> AsyncIterator[Browser]:
    """Headless; as root it has to go without its own sandbox."""
    async with async_playwright() as playwright:
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Visitor:
    """A browser of one person, and one page open in it."""

    stage: Stage
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)
    """Errors of scripts, of the console and of the Content-Security-Policy."""

    async def go(self, path: str) -> None:
        """Opens a page of ours."""
        await self.page.goto(self.stage.url + path)

    async def log_in(self, token: str) -> None:
        """By the login page, as everybody does."""
        await self.go("/login")
        await self.page.get_by_label("Token").fill(token)
        await self.page.get_by_role("button", name="Log in").click()
        await self.page.wait_for_url(lambda url: "/login" not in url)

    async def overflow(self) -> int:
        """By how many pixels the page is wider than its window."""
        width: int = await self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth, document.body.scrollWidth) - window.innerWidth"
        )
        return max(0, width)

    async def accessibility(self) -> list[str]:
        """What axe finds serious or critical on the page as it is, by rule, with where it is.  Of a `lenient` visitor."""
        await self.page.evaluate(AXE.read_text())
        found: dict[str, Any] = await self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['target']} {node['html'][:120]} {node.get('failureSummary', '')[:300]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    async def text(self, selector: str = "main") -> str:
        """As somebody reads it."""
        return await self.page.locator(selector).inner_text()


@asynccontextmanager
async def visitor(
    browser: Browser,
    stage: Stage,
    *,
    role: Role | None = Role.ADMIN,
    project: str = "",
    size: tuple[int, int] = DESK,
    theme: Theme = "light",
    scripts: bool = True,
    lenient: bool = False,
    scale: float = 1,
) -> AsyncIterator[Visitor]:
    """Logged in with a token of that role (None: not at all).  At the end the browser must not have complained.

    `lenient`: without our Content-Security-Policy, which does not let axe in.
    """
    context = await browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        java_script_enabled=scripts,
        bypass_csp=lenient,
        device_scale_factor=scale,
        has_touch=size[0] < 500,
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(15_000)
    page = await context.new_page()
    somebody = Visitor(stage, context, page)

    def write_down(message: ConsoleMessage) -> None:
        # Chromium says of every answer that is no success that it failed to load: that is for the test to judge.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            somebody.complaints.append(f"{message.type}: {message.text}")

    context.on("console", write_down)
    context.on("weberror", lambda error: somebody.complaints.append(f"script: {error.error}"))
    try:
        if role is not None:
            await somebody.log_in((await stage.token(role, project=project)).token)
        yield somebody
        assert not somebody.complaints, somebody.complaints
    finally:
        await context.close()
