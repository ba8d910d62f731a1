"""`scripts/screenshots DIRECTORY`: real servers on loopback, a fleet with a past, a browser, and pictures of the pages."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Final

from playwright.async_api import Browser

from contracts.access import Role
from contracts.logs import configure_logs
from contracts.wire import utc_now
from tests.e2e.painting import NODES, painted_fleet, painted_settings
from tests.e2e.stage import Stage, standing_stage
from tests.e2e.visitors import DESK, PHONE, Theme, running_chromium, visitor
from tests.servers.directories import server_directory
from tests.servers.nats import NatsServer
from tests.servers.s3 import S3Server

PAGES: Final = {
    "overview": "/",
    "services": "/services",
    "project": "/projects/acme",
    "service": "/projects/acme/services/orders",
    "retention": "/projects/acme/services/orders/retention",
    "schedule": "/projects/acme/services/orders/schedule",
    "charts": "/projects/acme/services/orders/charts",
    "nodes": "/nodes",
    "activity": "/activity",
    "add-service": "/projects/acme/add-service?kind=postgresql",
    "tokens": "/settings/tokens",
    "notifications": "/settings/notifications",
    "login": "/login",
}
_LOOKS: Final[tuple[tuple[str, tuple[int, int], Theme], ...]] = (
    ("light", DESK, "light"),
    ("dark", DESK, "dark"),
    ("phone", PHONE, "light"),
)
_SETTLED_MS: Final = 2_500
"""Progress is told twice a second, and parts are loaded after the page."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument("directory", type=Path, help="where the PNG files go, as NAME-LOOK.png")
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"only these of {', '.join(PAGES)}")
    parser.add_argument("--full", action="store_true", help="the whole page, however long, and not what a window shows")
    parser.add_argument("--scale", type=float, default=1, help="pixels of the picture for each of the page, such as 2")
    options = parser.parse_args()
    if unknown := sorted(set(options.pages) - PAGES.keys()):
        parser.error(f"there is no page {unknown[0]!r}; there are {', '.join(PAGES)}")
    configure_logs(level="error")
    options.directory.mkdir(parents=True, exist_ok=True)
    asyncio.run(_take_all(options.directory, options.pages or list(PAGES), full=options.full, scale=options.scale))


async def _take_all(directory: Path, pages: list[str], *, full: bool, scale: float) -> None:
    with ExitStack() as servers:
        nats_server = NatsServer(servers.enter_context(server_directory("nats")), NODES)
        servers.callback(nats_server.kill)
        nats_server.start()
        s3 = S3Server(servers.enter_context(server_directory("s3")))
        servers.callback(s3.kill)
        s3.start()
        bucket = s3.create_bucket()
        work = Path(servers.enter_context(tempfile.TemporaryDirectory()))
        async with AsyncExitStack() as stack:
            stage = await stack.enter_async_context(standing_stage(work, nats_server, bucket))
            await stack.enter_async_context(painted_fleet(stage, utc_now()))
            await painted_settings(stage)
            browser = await stack.enter_async_context(running_chromium())
            for look, size, theme in _LOOKS:
                await _take(stage, browser, directory, pages, look, size, theme, full=full, scale=scale)


async def _take(
    stage: Stage,
    browser: Browser,
    directory: Path,
    pages: list[str],
    look: str,
    size: tuple[int, int],
    theme: Theme,
    *,
    full: bool,
    scale: float,
) -> None:
    for role in (Role.ADMIN, None):
        async with visitor(browser, stage, role=role, size=size, theme=theme, scale=scale) as person:
            for name in (name for name in pages if (name == "login") == (role is None)):
                await person.go(PAGES[name])
                await person.page.wait_for_timeout(_SETTLED_MS)
                path = directory / f"{name}-{look}.png"
                await person.page.screenshot(path=path, full_page=full)
                sys.stdout.write(f"{path}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
