"""Ten thousand services: pages stay as small, and nearly as quick, as with ten."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import timedelta
from pathlib import Path

from playwright.async_api import Browser, expect

from contracts.policy.schedule import Daily
from contracts.records import ServiceRecord
from contracts.services import PostgreSQLOptions
from contracts.wire import utc_now
from daemon.catalog.buckets import key
from daemon.catalog.catalog import Catalog
from daemon.reaper import ReaperSettings
from tests.daemon.web.pages import browsing, words
from tests.e2e.stage import Stage, standing_stage
from tests.e2e.visitors import visitor
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket

MANY = 10_000
PROJECTS = 20
AT_ONCE = 200
FIRST, SECOND = re.compile("^1.50 of 10,000 services"), re.compile("^51.100 of 10,000 services")


async def fill(stage: Stage) -> None:
    """Services as the coordinator would have written them, none of them due soon."""
    for number in range(PROJECTS):
        await stage.project(f"p{number:02}")
    due = Daily(at=f"{utc_now() - timedelta(minutes=10):%H:%M:%S}")
    async with stage.nats_server.connect_coordinator() as client:
        catalog = Catalog(client, client.jetstream(timeout=30))

        async def write(number: int) -> None:
            record = ServiceRecord(
                project=f"p{number % PROJECTS:02}",
                name=f"s{number:05}",
                created_at=utc_now(),
                options=PostgreSQLOptions(),
                nodes=["node-1"],
                schedule=due,
            )
            await catalog.services.create(key(record.project, record.name), record)

        for start in range(0, MANY, AT_ONCE):
            await asyncio.gather(*(write(number) for number in range(start, start + AT_ONCE)))


async def test_pages_of_ten_thousand_services_are_small_and_quick(
    tmp_path: Path, nats_server: NatsServer, bucket: Bucket, browser: Browser
) -> None:
    # The reaper of other tests looks at all services ten times a second.
    async with standing_stage(tmp_path, nats_server, bucket, reaper=ReaperSettings()) as stage:
        await fill(stage)
        await check_costs(stage)
        await check_pages(stage, browser)


async def check_costs(stage: Stage) -> None:
    async with browsing(stage) as person:
        await person.get("/services")
        for path in ("/", "/services", "/services?search=s00042", "/projects"):
            # Of this process, which is the coordinator and the one that asks: whatever else the machine does.
            began_s = time.process_time()
            page = await person.get(path)
            elapsed_s = time.process_time() - began_s
            assert page.status_code == 200
            assert len(page.content) < 100_000, path
            assert elapsed_s < 2, (path, elapsed_s)
        assert "s00042" in words(await person.get("/services?search=s00042"))


async def check_pages(stage: Stage, browser: Browser) -> None:
    async with visitor(browser, stage) as looking:
        page_ = looking.page
        await looking.go("/services?order=name")
        await expect(page_.locator("#services tbody tr")).to_have_count(50)
        await expect(page_.get_by_text(FIRST)).to_be_visible()
        first = await page_.locator("#services .name").first.inner_text()
        await page_.get_by_role("link", name="Next page").click()
        await expect(page_.get_by_text(SECOND)).to_be_visible()
        assert await page_.locator("#services .name").first.inner_text() != first
        await page_.go_back()
        await expect(page_.get_by_text(FIRST)).to_be_visible()
        await page_.get_by_role("searchbox", name="Search").fill("p07 node-1")
        await expect(page_.get_by_text(re.compile("^1.50 of 500 services"))).to_be_visible()
        await expect(page_).to_have_url(re.compile("search=p07(\\+|%20)node-1"))
