"""The bytes of backups over HTTP: whole, in part, opened, and never a clean end to what is not authentic."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from contracts import control
from contracts.access import Role
from contracts.age import Decryptor, Identity, NoIdentityMatches
from contracts.records import BackupRecord
from daemon.http import bytes_answer
from daemon.http.settings import HttpSettings
from daemon.settings import CoordinatorSettings
from tests.daemon.cli.stored import Vault, running_vault, seal
from tests.daemon.http.reading import bearer, make_token
from tests.daemon.inside import catalog_of
from tests.servers.nats import NatsServer
from tests.servers.s3 import Bucket
from tests.servers.waiting import eventually

ORDERS = os.urandom(9_000_000)
ROLES = b"CREATE ROLE app;\n"


class Place:
    """A backup, and an operator's token for it."""

    def __init__(self, vault: Vault, backup: BackupRecord, token: control.NewToken, http: aiohttp.ClientSession) -> None:
        self.vault = vault
        self.backup = backup
        self.token = token
        self.http = http

    def url(self, backup_id: str = "", project: str = "acme") -> str:
        return f"{self.vault.url}/api/v1/projects/{project}/services/orders/backups/{backup_id or self.backup.id}/content"

    @asynccontextmanager
    async def get(
        self, artifact: str = "orders", form: str = "age", method: str = "GET", **headers: str
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = bearer(self.token) | {name.replace("_", "-"): value for name, value in headers.items()}
        query = {"artifact": artifact, "as": form}
        async with self.http.request(method, self.url(), params=query, headers=headers) as answer:
            yield answer

    async def refused(
        self,
        status: int,
        code: str,
        *,
        artifact: str = "orders",
        form: str = "age",
        token: control.NewToken | None = None,
        url: str = "",
    ) -> dict[str, Any]:
        headers, query = bearer(token or self.token), {"artifact": artifact, "as": form}
        async with self.http.get(url or self.url(), params=query, headers=headers) as answer:
            problem: dict[str, Any] = await answer.json(content_type="application/problem+json")
            assert (answer.status, problem["code"]) == (status, code), problem
            return problem

    async def audited(self) -> list[dict[str, Any]]:
        """The facts of every download in the audit log, oldest first."""
        found = await self.vault.operator.call(control.EVENT_LIST, control.EventList(types=["access.called"]))
        facts = [dict(stored.event.facts or {}) | {"actor": stored.event.actor} for stored in reversed(found.events)]
        return [each for each in facts if each["verb"] in ("backup.content", "backup.download")]


@asynccontextmanager
async def _place(settings: CoordinatorSettings, nats_server: NatsServer, **contents: bytes) -> AsyncIterator[Place]:
    listening = msgspec.structs.replace(settings, http=HttpSettings(port=0))
    async with running_vault(listening, nats_server) as vault, aiohttp.ClientSession() as http:
        backup = await vault.store(**contents)
        yield Place(vault, backup, await make_token(vault.operator, Role.OPERATOR, name="me"), http)


@pytest.fixture
async def place(settings: CoordinatorSettings, nats_server: NatsServer) -> AsyncIterator[Place]:
    async with _place(settings, nats_server, roles=ROLES, orders=ORDERS) as made:
        yield made


async def test_the_object_is_sent_as_it_is_stored(place: Place, bucket: Bucket) -> None:
    record = place.backup.artifacts[1]
    stored = bucket.read(record.object_key)
    async with place.get() as answer:
        assert answer.status == 200
        assert await answer.read() == stored
        assert answer.headers["ETag"] == f'"{hashlib.sha256(stored).hexdigest()}"'
        assert answer.headers["Accept-Ranges"] == "bytes"
        assert answer.content_length == len(stored)
        name = f"acme-orders-{place.backup.id}-orders.pgdump.zst.age"
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}"'
        assert "no-store" in answer.headers["Cache-Control"]
    async with place.get(method="HEAD") as answer:
        assert (answer.status, answer.content_length, await answer.read()) == (200, len(stored), b"")
    assert await place.audited() == [
        {
            "verb": "backup.content",
            "via": "http",
            "role": "operator",
            "id": place.backup.id,
            "artifact": "orders",
            "as": "age",
            "outcome": "done",
            "token_id": place.token.view.id,
            "actor": "token:me",
        }
    ]


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", slice(0, 1)),
        ("bytes=5000000-", slice(5_000_000, None)),
        ("bytes=100-4999999", slice(100, 5_000_000)),
        ("bytes=-7", slice(-7, None)),
        ("bytes=8999999-99999999999", slice(8_999_999, None)),
    ],
)
async def test_a_range_is_that_part_of_the_object(place: Place, bucket: Bucket, wanted: str, part: slice) -> None:
    stored = bucket.read(place.backup.artifacts[1].object_key)
    async with place.get(Range=wanted) as answer:
        first, end, _ = part.indices(len(stored))
        assert answer.status == 206
        assert answer.headers["Content-Range"] == f"bytes {first}-{end - 1}/{len(stored)}"
        assert await answer.read() == stored[part]
    (audited,) = await place.audited()
    assert (audited["first_byte"], audited["last_byte"]) == (first, end - 1)


async def test_a_range_of_other_bytes_than_these_is_all_of_them(place: Place) -> None:
    etag = f'"{place.backup.artifacts[1].sha256}"'
    async with place.get(method="HEAD", Range="bytes=0-9", If_Range=etag) as answer:
        assert (answer.status, answer.content_length) == (206, 10)
    for other in ('"of-another-day"', f"W/{etag}", "Sun, 22 Nov 2026 00:05:12 GMT"):
        async with place.get(method="HEAD", Range="bytes=0-9", If_Range=other) as answer:
            assert (answer.status, answer.content_length) == (200, place.backup.artifacts[1].stored_bytes)


async def test_a_range_behind_the_end_is_refused_with_the_size(place: Place) -> None:
    async with place.get(Range="bytes=99999999-") as answer:
        assert answer.status == 416
        assert answer.headers["Content-Range"] == f"bytes */{place.backup.artifacts[1].stored_bytes}"
        assert (await answer.json(content_type="application/problem+json"))["field"] == "Range"


async def test_the_native_dump_is_opened_on_the_way(place: Place) -> None:
    async with place.get(form="native", Range="bytes=0-9") as answer:
        assert answer.status == 200
        assert answer.headers["Accept-Ranges"] == "none"
        assert answer.content_length == len(ORDERS)
        assert answer.headers["Content-Disposition"].endswith('-orders.pgdump"')
        assert await answer.read() == ORDERS
    async with place.get("roles", form="native") as answer:
        assert await answer.read() == ROLES
    assert [(each["artifact"], each["as"]) for each in await place.audited()] == [("orders", "native"), ("roles", "native")]


async def test_latest_is_the_newest_backup(place: Place) -> None:
    async with place.http.get(
        place.url("latest"), params={"artifact": "roles", "as": "native"}, headers=bearer(place.token)
    ) as answer:
        assert await answer.read() == ROLES
        assert place.backup.id in answer.headers["Content-Disposition"]


@pytest.mark.parametrize("form", ["age", "native"])
async def test_damage_cuts_the_transfer_before_its_end(place: Place, bucket: Bucket, form: str) -> None:
    """A single bit, in the last chunk: all that came before was authentic, and yet no client takes it for the whole."""
    record = place.backup.artifacts[1]
    damaged = bytearray(bucket.read(record.object_key))
    damaged[-5] ^= 1
    bucket.write(record.object_key, bytes(damaged))
    async with place.get(form=form) as answer:
        assert answer.status == 200
        received = bytearray()
        with pytest.raises(aiohttp.ClientPayloadError):
            await _read_into(received, answer)
    assert answer.content_length is not None
    assert 0 < len(received) < answer.content_length
    # Whoever asks for the damaged bytes themselves gets them: a range promises nothing of the whole.
    async with place.get(Range="bytes=-10") as answer:
        assert await answer.read() == bytes(damaged[-10:])


async def test_damage_that_is_seen_before_the_first_byte_is_told_in_words(place: Place, bucket: Bucket) -> None:
    record = place.backup.artifacts[0]
    whole = bucket.read(record.object_key)
    bucket.write(record.object_key, whole[:-5] + b"x" + whole[-4:])
    for form in ("age", "native"):
        problem = await place.refused(500, "artifact.corrupt", artifact="roles", form=form)
        assert "damaged" in problem["detail"]
    bucket.write(record.object_key, whole[:-5])
    await place.refused(500, "artifact.corrupt", artifact="roles")
    bucket.server.blocking_client.delete_object(Bucket=bucket.name, Key=record.object_key)
    await place.refused(500, "store.missing", artifact="roles")
    assert [each["outcome"] for each in await place.audited()] == ["artifact.corrupt"] * 3 + ["store.missing"]


async def test_an_object_that_somebody_replaced_never_passes_for_the_backup(place: Place, bucket: Bucket) -> None:
    """It opens with the project's key, and has the right size outside and inside."""
    record = place.backup.artifacts[1]
    bucket.write(record.object_key, seal(os.urandom(len(ORDERS)), place.backup.recipients))
    for form in ("age", "native"):
        async with place.get(form=form) as answer:
            with pytest.raises(aiohttp.ClientPayloadError):
                await answer.read()


async def test_who_may_not_download_gets_nothing(place: Place) -> None:
    operator = place.vault.operator
    await operator.call(control.PROJECT_CREATE, control.ProjectCreate(name="globex"))
    await place.refused(403, "access.forbidden", token=await make_token(operator, Role.VIEWER))
    await place.refused(403, "access.forbidden", token=await make_token(operator, Role.ADMIN, project="globex"))
    async with place.http.get(place.url(), params={"artifact": "orders"}) as answer:
        assert answer.status == 401
    assert {each["outcome"] for each in await place.audited()} == {"access.forbidden"}


async def test_what_cannot_be_had_is_told_in_words(place: Place) -> None:
    assert "'roles', 'orders'" in (await place.refused(404, "artifact.not_found", artifact="nothing"))["detail"]
    await place.refused(404, "backup.not_found", url=place.url("20261122T000512Z-aaaa"))
    await place.refused(404, "project.not_found", url=place.url("latest", project="nobody"))
    assert (await place.refused(400, "input.invalid", form="zip"))["field"] == "as"
    async with place.http.get(place.url(), headers=bearer(place.token)) as answer:
        assert (await answer.json(content_type=None))["field"] == "artifact"
    running = await place.vault.operator.call(control.BACKUP_CREATE, control.BackupCreate(project="acme", service="orders"))
    await place.refused(409, "backup.not_completed", url=place.url(running.id))


async def test_without_its_key_a_backup_is_only_to_be_had_encrypted(place: Place, nats_server: NatsServer) -> None:
    async with catalog_of(nats_server) as catalog:
        for stored in await catalog.keys.select("acme"):
            await catalog.keys.erase(stored.key, stored.revision)
    await place.refused(403, "key.unavailable", form="native")
    async with place.get() as answer:
        assert len(await answer.read()) == place.backup.artifacts[1].stored_bytes


async def test_the_age_file_opens_for_the_projects_identity_alone_and_the_signed_url_is_written_down_too(
    place: Place,
) -> None:
    async with place.get("roles") as answer:
        data = await answer.read()
    with pytest.raises(NoIdentityMatches):
        Decryptor([Identity.generate()]).feed(data)
    reference = {"project": "acme", "service": "orders", "id": place.backup.id, "artifact": "roles", "actor": "jane"}
    await place.vault.operator.call(control.BACKUP_DOWNLOAD, msgspec.convert(reference, control.BackupDownload))
    audited = (await place.audited())[-1]
    assert (audited["verb"], audited["actor"], audited["artifact"]) == ("backup.download", "jane", "roles")


async def test_more_at_once_than_there_is_room_for_waits_its_turn_and_a_reader_that_leaves_makes_room(
    settings: CoordinatorSettings, nats_server: NatsServer
) -> None:
    async with _place(settings, nats_server, orders=os.urandom(30_000_000)) as place:
        open_ones = [await place.http.get(place.url(), params=_NATIVE, headers=bearer(place.token)) for _ in range(4)]
        assert [answer.status for answer in open_ones] == [200] * 4
        await place.refused(503, "access.busy", form="native")
        open_ones[0].close()

        async def has_room() -> bool:
            async with place.http.get(place.url(), params=_NATIVE, headers=bearer(place.token)) as answer:
                return answer.status == 200

        await eventually(has_room)
        for answer in open_ones[1:]:
            answer.close()


async def test_a_reader_that_takes_nothing_is_cut_off(
    settings: CoordinatorSettings, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bytes_answer, "STALL_S", 0.3)
    async with _place(settings, nats_server, orders=os.urandom(30_000_000)) as place, place.get(form="native") as answer:
        assert answer.status == 200
        await asyncio.sleep(2)  # the time that the reader does nothing is what is tested
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_memory_does_not_grow_with_what_is_inside(settings: CoordinatorSettings, nats_server: NatsServer) -> None:
    """Half a gigabyte that compresses to nothing: the coordinator, which is this process, holds a few MiB of it."""
    size = 512 * 1024 * 1024
    async with _place(settings, nats_server, orders=bytes(size)) as place:
        before = _resident_bytes()
        most, received = before, 0
        async with place.get(form="native") as answer:
            async for piece in answer.content.iter_chunked(1 << 20):
                received += len(piece)
                most = max(most, _resident_bytes())
    assert received == size
    assert most - before < 100 * 1024 * 1024


async def _read_into(received: bytearray, answer: aiohttp.ClientResponse) -> None:
    while piece := await answer.content.readany():
        received += piece


_NATIVE = {"artifact": "orders", "as": "native"}


def _resident_bytes() -> int:
    match = re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) * 1024
