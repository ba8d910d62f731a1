"""From a backup of a real PostgreSQL to a restored database, and to its bytes on the disk of whoever holds an identity."""

from __future__ import annotations

import hashlib
from pathlib import Path

import aiohttp
import pyrage  # type: ignore[import-untyped]
import zstandard
from playwright.async_api import Browser, Request, expect

from contracts import control
from contracts.access import Role
from contracts.age import Identity
from contracts.records import ArtifactRecord, BackupRecord
from daemon.cli.figures import size
from tests.e2e.services import HOME, back_up, real_service
from tests.e2e.stage import Stage
from tests.e2e.visitors import visitor
from tests.servers.postgres import PostgresCluster, PostgresFactory
from tests.servers.s3 import Bucket

_ROWS = 40_000


async def test_a_backup_is_restored_beside_the_original_by_a_plan_that_is_read_first(
    stage: Stage, browser: Browser, tmp_path: Path, bucket: Bucket, postgres_factory: PostgresFactory
) -> None:
    cluster = postgres_factory()
    database = cluster.create_database()
    _fill(cluster, database.name, rows=1_000)
    copy = f"{database.name}_copy"
    async with (
        real_service(stage, tmp_path, bucket, cluster),
        visitor(browser, stage, role=Role.OPERATOR) as operator,
    ):
        page = operator.page
        backup = await back_up(stage)
        await operator.go(f"{HOME}/backups/{backup.id}")
        await expect(page.get_by_role("heading", name="Inventory")).to_be_visible()
        await page.locator("summary").filter(has_text=f"Tables of {database.name}").click()
        await expect(page.get_by_role("cell", name="public.things")).to_be_visible()
        await page.get_by_role("link", name="Restore …").click()

        for artifact in backup.artifacts:
            if artifact.name != database.name:
                await page.get_by_role("checkbox", name=artifact.name).uncheck()
        row = page.locator(".artifact").filter(has_text=database.name)
        await row.get_by_label("restored as").fill(copy)
        await page.get_by_role("button", name="See the plan").click()
        await expect(page.get_by_role("heading", name="The plan")).to_be_visible()
        line = page.get_by_role("row").filter(has_text=database.name)
        await expect(line).to_contain_text(copy)
        await expect(line).to_contain_text("Is made new; refused if")
        await expect(page.get_by_text("Data that are there: nothing is replaced.")).to_be_visible()
        assert not _exists(cluster, copy)

        await page.get_by_role("button", name="Restore", exact=True).click()
        await expect(page.get_by_role("heading", name="Restore into acme/orders")).to_be_visible()
        await expect(page.get_by_text("Restored into acme/orders on node-1.")).to_be_visible(timeout=60_000)
        await expect(page.locator("#restore")).to_contain_text(copy)
        assert _count(cluster, copy) == 1_000
        await operator.go(HOME)
        await expect(page.get_by_role("table", name="Restores").get_by_role("row")).to_have_count(2)


async def test_replacing_has_to_be_confirmed_by_the_targets_name_and_then_replaces(
    stage: Stage, browser: Browser, tmp_path: Path, bucket: Bucket, postgres_factory: PostgresFactory
) -> None:
    cluster = postgres_factory()
    database = cluster.create_database()
    _fill(cluster, database.name, rows=100)
    async with (
        real_service(stage, tmp_path, bucket, cluster),
        # Without scripts: whoever replaces data must be asked in any case.
        visitor(browser, stage, role=Role.OPERATOR, scripts=False) as operator,
    ):
        page = operator.page
        backup = await back_up(stage)
        cluster.query("DELETE FROM things", database=database.name)
        await operator.go(f"{HOME}/backups/{backup.id}/restore")
        for artifact in backup.artifacts:
            if artifact.name != database.name:
                await page.get_by_role("checkbox", name=artifact.name).uncheck()
        await page.get_by_label("Replace data that are there").check()
        await page.get_by_role("button", name="See the plan").click()
        await expect(
            page.get_by_text(f"Takes the place of {database.name}, and what that holds now is lost.")
        ).to_be_visible()
        await page.get_by_label("Type acme/orders to confirm").fill("acme/other")
        await page.get_by_role("button", name="Restore and replace").click()
        await expect(page.get_by_text("Type acme/orders to replace what is there.")).to_be_visible()
        await page.get_by_role("button", name="Change something").click()
        await expect(page.get_by_label("Replace data that are there")).to_be_checked()
        await page.get_by_role("button", name="See the plan").click()
        assert _count(cluster, database.name) == 0
        await page.get_by_label("Type acme/orders to confirm").fill("acme/orders")
        await page.get_by_role("button", name="Restore and replace").click()
        reloaded = page.get_by_text("Restored into acme/orders on node-1.")
        for _ in range(60):
            if await reloaded.is_visible():
                break
            await page.reload()
        await expect(reloaded).to_be_visible()
        assert _count(cluster, database.name) == 100


async def test_the_holder_of_a_recovery_identity_decrypts_in_the_page_and_the_identity_leaves_it_nowhere(
    stage: Stage, browser: Browser, tmp_path: Path, bucket: Bucket, postgres_factory: PostgresFactory
) -> None:
    cluster = postgres_factory()
    database = cluster.create_database()
    _fill(cluster, database.name, rows=_ROWS)
    identity, stranger = Identity.generate(), Identity.generate()
    async with (
        real_service(stage, tmp_path, bucket, cluster, recovery_recipients=[str(identity.recipient)]),
        visitor(browser, stage, role=Role.OPERATOR) as operator,
    ):
        page = operator.page
        sent: list[Request] = []

        def write_down(request: Request) -> None:
            sent.append(request)

        page.on("request", write_down)
        # No browser can be told by a test where to save what a person would choose a place for.
        await page.add_init_script("delete window.showSaveFilePicker")
        backup = await back_up(stage)
        artifact = next(each for each in backup.artifacts if each.name == database.name)
        await operator.go(f"{HOME}/backups/{backup.id}")
        await page.get_by_text("in this browser, with an identity of your own").click()
        await page.get_by_label("Artifact", exact=True).select_option(
            label=f"{artifact.name} ({size(artifact.plain_bytes)})"
        )
        await page.get_by_role("button", name="Decrypt and save").click()
        await expect(page.get_by_text("Give an identity")).to_be_visible()
        await page.get_by_label("Or pasted here").fill(stranger.reveal())
        await page.get_by_role("button", name="Decrypt and save").click()
        await expect(page.get_by_text("This identity opens none of it")).to_be_visible()

        await page.get_by_label("Or pasted here").fill("")
        await page.get_by_label("Identity from a file").set_input_files(
            {"name": "key.txt", "mimeType": "text/plain", "buffer": f"# created: now\n{identity.reveal()}\n".encode()}
        )
        async with page.expect_download(timeout=90_000) as downloading:
            await page.get_by_role("button", name="Decrypt and save").click()
        download = await downloading.value
        await expect(page.get_by_text("every byte authentic")).to_be_visible()
        saved = Path(await download.path()).read_bytes()
        assert download.suggested_filename == f"acme-orders-{backup.id}-{database.name}.pgdump"
        expected = await _native(stage, backup, artifact, identity)
        assert hashlib.sha256(saved).hexdigest() == hashlib.sha256(expected).hexdigest()
        assert len(saved) == artifact.plain_bytes > 1_000_000

        async with page.expect_download() as downloading:
            await page.get_by_role("link", name=f"Native {artifact.name}").click()
        native = await downloading.value
        assert native.suggested_filename == download.suggested_filename
        assert Path(await native.path()).read_bytes() == expected

        secret = identity.reveal().removeprefix("AGE-SECRET-KEY-1")
        assert any("content?" in request.url for request in sent)
        for request in sent:
            said = f"{request.url} {request.headers} {request.post_data_buffer or b''!r}".upper()
            assert secret not in said
        stored = await page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])")
        assert secret not in stored


async def _native(stage: Stage, backup: BackupRecord, artifact: ArtifactRecord, identity: Identity) -> bytes:
    """The artifact as pg_dump wrote it, by our own code and from the bucket."""
    request = control.BackupDownload(project="acme", service="orders", id=backup.id, artifact=artifact.name)
    grant = await stage.operator.call(control.BACKUP_DOWNLOAD, request)
    async with aiohttp.ClientSession() as http, http.get(grant.url) as response:
        sealed = await response.read()
    packed = pyrage.decrypt(sealed, [pyrage.x25519.Identity.from_str(identity.reveal())])
    return zstandard.ZstdDecompressor().stream_reader(packed).read()


def _fill(cluster: PostgresCluster, database: str, *, rows: int) -> None:
    cluster.query("CREATE TABLE things (id int PRIMARY KEY, value text)", database=database)
    values = "md5(random()::text) || md5(random()::text)"
    cluster.query(f"INSERT INTO things SELECT n, {values} FROM generate_series(1, {rows}) n", database=database)


def _count(cluster: PostgresCluster, database: str) -> int:
    return int(cluster.query("SELECT count(*) FROM things", database=database)[0][0])


def _exists(cluster: PostgresCluster, database: str) -> bool:
    return bool(cluster.query("SELECT 1 FROM pg_database WHERE datname = %s", [database]))
